"""What the contract leaves open: files, groups and ties of the reference backend."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from octavo.backends.reference import ReferenceBackend
from octavo.backends.reference.load import ARRAYS, STRUCTURE, native
from octavo.backends.registry import find_backend
from octavo.errors import DataError, ModelError
from octavo.graph import Graph
from octavo.model import TensorSpec
from octavo.plan import Plan, Range
from octavo.target import Target
from octavo.testing import NETWORKS, Layer, Network
from octavo.testing.evaluator import evaluate
from octavo.testing.networks import samples

BACKEND = ReferenceBackend()
IMAGE = TensorSpec("x", "float32", ("samples", 4, 6, 6))


def network_of(*layers: Layer, weights: dict[str, np.ndarray] | None = None) -> Network:
    return Network("test", (IMAGE,), (layers[-1].output,), layers, weights or {})


def graph_of(network: Network) -> Graph:
    return BACKEND.graph(BACKEND.load(network), Target())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "mlp.refnet"
    folder.mkdir()
    BACKEND.save(BACKEND.load(NETWORKS["mlp"]()), folder)
    return folder


def test_registry_finds_it_by_object_and_by_path(saved: Path) -> None:
    assert find_backend(NETWORKS["mlp"]()).name == "reference"
    assert find_backend(saved).name == "reference"
    assert BACKEND.load(saved).source == saved


def test_truncated_arrays_are_refused(saved: Path) -> None:
    file = saved / ARRAYS
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ModelError, match=r"mlp.refnet.* not a readable"):
        BACKEND.load(saved)


@pytest.mark.parametrize("content", ["", "[1, 2", "[]", '{"version": 1}', '{"version": 99}'])
def test_broken_structure_is_refused(saved: Path, content: str) -> None:
    (saved / STRUCTURE).write_text(content)
    with pytest.raises(ModelError, match="not a readable"):
        BACKEND.load(saved)


def test_objects_in_the_arrays_are_refused(saved: Path) -> None:
    name = NETWORKS["mlp"]().layers[0].weights[0]
    weights = {f"weight/{name}": np.array([{"code": 1}], dtype=object)}
    np.savez(saved / ARRAYS, **weights)
    with pytest.raises(ModelError, match="pickle"):
        BACKEND.load(saved)


def test_unknown_operator_in_a_file_is_refused(saved: Path) -> None:
    structure = json.loads((saved / STRUCTURE).read_text())
    structure["layers"][0]["op"] = "eval"
    (saved / STRUCTURE).write_text(json.dumps(structure))
    with pytest.raises(ModelError, match="unknown operator 'eval'"):
        BACKEND.load(saved)


def test_tensor_that_nothing_makes_is_refused() -> None:
    with pytest.raises(ModelError, match="'absent', which nothing makes"):
        BACKEND.load(network_of(Layer("r", "relu", ("absent",), "y")))


def test_missing_weight_is_refused() -> None:
    with pytest.raises(ModelError, match="'w', which nothing makes"):
        BACKEND.load(network_of(Layer("c", "conv", ("x",), "y", ("w",))))


@pytest.mark.parametrize("attributes", [
    {"stride": 2}, {"padding": 2, "stride": 3}, {"groups": 2, "padding": 1}, {"groups": 4},
])  # fmt: skip
def test_convolution_computes_what_the_evaluator_does(attributes: dict[str, int]) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((8, 4 // attributes.get("groups", 1), 3, 3))
    weights = {"w": weight.astype(np.float32), "b": np.ones(8, np.float32)}
    network = network_of(Layer("c", "conv", ("x",), "y", ("w", "b"), attributes), weights=weights)
    batch = samples(network, 3)
    result = BACKEND.open(BACKEND.load(network), Target()).run(batch)["y"]
    assert np.allclose(result, evaluate(network, batch)["y"], atol=1e-5)


def test_relu_joins_the_layer_that_it_alone_reads() -> None:
    groups = graph_of(NETWORKS["residual"]()).groups
    assert [group.ops for group in groups] == [
        ("first", "first_relu"), ("second",), ("sum", "sum_relu"),
    ]  # fmt: skip


def test_relu_stays_alone_where_the_value_before_it_has_another_reader() -> None:
    add, relu = Layer("a", "add", ("x", "x"), "s"), Layer("r", "relu", ("s",), "t")
    graph = graph_of(network_of(add, relu, Layer("b", "add", ("s", "t"), "y")))
    assert [group.id for group in graph.groups] == ["a", "r", "b"]
    assert "integer form only behind" in str(graph.group_by_id["r"].refusal)


def test_relu_stays_alone_where_the_value_before_it_is_an_output() -> None:
    add, relu = Layer("a", "add", ("x", "x"), "s"), Layer("r", "relu", ("s",), "t")
    graph = graph_of(replace(network_of(add, relu), outputs=("s", "t")))
    assert [group.id for group in graph.groups] == ["a", "r"]


def test_ties_run_through_a_chain_of_moves() -> None:
    layers = (
        Layer("p", "max_pool", ("x",), "pooled"),
        Layer("r", "relu", ("pooled",), "positive"),
        Layer("c", "concat", ("pooled", "positive"), "joined"),
        Layer("f", "flatten", ("joined",), "y"),
    )
    assert [set(names) for names in graph_of(network_of(*layers)).ties.values()] == [
        {"x", "pooled", "positive", "joined", "y"}
    ]


def test_separate_moves_have_separate_ties() -> None:
    layers = (
        Layer("p", "max_pool", ("x",), "pooled"),
        Layer("a", "add", ("pooled", "pooled"), "sum"),
        Layer("f", "flatten", ("sum",), "y"),
    )
    ties = [set(names) for names in graph_of(network_of(*layers)).ties.values()]
    assert ties == [{"x", "pooled"}, {"sum", "y"}]


def test_tied_tensors_get_the_union_of_unequal_ranges() -> None:
    network = network_of(Layer("p", "max_pool", ("x",), "y"))
    model, batch = BACKEND.load(network), {"x": np.full((1, 4, 6, 6), 3, np.float32)}
    plan = Plan({"p": graph_of(network).groups[0].formats[0]})
    built = BACKEND.build(model, plan, {"x": Range(0, 1), "y": Range(0, 4)}, Target())
    assert BACKEND.open(built, Target()).run(batch)["y"].max() == pytest.approx(3, abs=4 / 255)


def test_built_weights_and_sums_are_integers() -> None:
    network = NETWORKS["mlp"]()
    model = BACKEND.load(network)
    plan = Plan({group.id: group.formats[0] for group in graph_of(network).groups})
    ranges = dict.fromkeys(graph_of(network).tensors, Range(-4, 4))
    weights = native(BACKEND.build(model, plan, ranges, Target())).network.weights
    assert {name: str(array.dtype) for name, array in weights.items()} == {
        "hidden:weight:int8": "int8", "hidden:bias:int32": "int32",
        "output:weight:int8": "int8", "output:bias:int32": "int32",
    }  # fmt: skip


def test_built_model_is_no_float_model() -> None:
    network = NETWORKS["mlp"]()
    plan = Plan({"hidden": graph_of(network).groups[0].formats[0]})
    ranges = dict.fromkeys(graph_of(network).tensors, Range(-4, 4))
    built = BACKEND.build(BACKEND.load(network), plan, ranges, Target())
    with pytest.raises(ModelError, match="quantized already"):
        BACKEND.graph(built, Target())


def test_borders_in_a_profile_belong_to_no_group() -> None:
    network = NETWORKS["mlp"]()
    model, batch = BACKEND.load(network), samples(network, 2)
    plan = Plan({"hidden": graph_of(network).groups[0].formats[0]})
    ranges = dict.fromkeys(graph_of(network).tensors, Range(-4, 4))
    built = BACKEND.build(model, plan, ranges, Target())
    times = BACKEND.profile(model, built, batch, Target())
    assert [(time.kernel, time.groups) for time in times] == [
        ("quantize:features:quantize", ()),
        ("int8_gemm:hidden", ("hidden",)),
        ("dequantize:hidden_relu.out:dequantize", ()),
        ("fp32_gemm:output", ("output",)),
    ]


def test_inputs_of_different_numbers_of_samples_are_refused() -> None:
    network = NETWORKS["attention"]()
    batch = {**samples(network, 2), "memory": samples(network, 3)["memory"]}
    with pytest.raises(DataError, match=r"'memory' is float32\[3, 6, 16\]; expected"):
        BACKEND.open(BACKEND.load(network), Target()).run(batch)


def test_model_of_another_backend_is_refused() -> None:
    model = replace(BACKEND.load(NETWORKS["mlp"]()), backend="other", native=object())
    with pytest.raises(ModelError, match="model of the other backend"):
        BACKEND.open(model, Target())
