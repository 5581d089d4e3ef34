"""Bytes of plans: by hand on small graphs, and against files of ONNX models."""

from dataclasses import replace

import numpy as np
import pytest
from random_spaces import forms, graph_of

from octavo.backends.onnxruntime import OnnxRuntimeBackend
from octavo.backends.onnxruntime.testing import source
from octavo.backends.reference import ReferenceBackend
from octavo.backends.reference.network import Layer, Network
from octavo.graph import Group, Linear
from octavo.measure import Statistics, tied_ranges
from octavo.model import TensorSpec
from octavo.plan import S8, U8, Format, Plan
from octavo.search.footprint import FLOAT, SCALE, Footprint, footprint
from octavo.search.initial import initial_plan, wanted_tensors
from octavo.target import Target

STATIC, FLOAT_OUTPUT = forms(1, 1)[:2]
CHANNELS = Format("int8", replace(S8, axis=0), (U8,), (U8,))


def chain(*names, sizes=None, weights=None, shapes=None):
    """Return groups in a row, `x` before the first; each makes a tensor of its name."""
    before = dict(zip(names, ("x", *names), strict=False))
    groups = [Group(n, "conv", "compute", (n,), (before[n],), (n,)) for n in names]
    graph = graph_of(groups, sizes or dict.fromkeys(("x", *names), 10), [names[-1]])
    ops = [replace(op, weights=(weights or {}).get(op.name, ())) for op in graph.ops]
    return Footprint(replace(graph, ops=tuple(ops)), shapes or {})


def test_a_weight_takes_a_byte_an_element_and_its_scales():
    sizes = chain("a", weights={"a": ("w", "b")}, shapes={"w": (8, 3, 3, 3), "b": (8,)})
    assert sizes.weights(Plan()) == 4 * (216 + 8)
    assert sizes.weights(Plan({"a": STATIC})) == 216 + SCALE + 4 * 8
    assert sizes.weights(Plan({"a": CHANNELS})) == 216 + 8 * SCALE + 4 * 8
    narrow = replace(CHANNELS, weight=replace(S8, bits=4, axis=1, block=27))
    assert sizes.weights(Plan({"a": narrow})) == 108 + 8 * SCALE + 4 * 8
    assert sizes.weights(Plan({"a": replace(CHANNELS, weight=replace(S8, bits=7))})) == 216 + 5 + 32


def test_what_the_operator_multiplies_by_is_quantized_wherever_it_comes():
    sizes = chain("a", weights={"a": ("b", "w")}, shapes={"w": (8, 4), "b": (1, 8)})
    (op,) = sizes.graph.ops
    linear = replace(op, linear=Linear("w", "b", 1, 0, -1))
    named = replace(sizes, graph=replace(sizes.graph, ops=(linear,)))
    assert named.weights(Plan({"a": STATIC})) == 32 + SCALE + 4 * 8


def test_both_weights_of_a_recurrent_layer_are_quantized_and_its_bias_is_not():
    shapes = {"w": (1, 16, 4), "r": (1, 16, 8), "b": (1, 32)}
    sizes = chain("a", weights={"a": ("w", "r", "b")}, shapes=shapes)
    dynamic = Format("int8_dynamic", S8, (U8,), (None,))
    assert sizes.weights(Plan({"a": dynamic})) == 64 + 128 + 2 * SCALE + 4 * 32


def test_a_shared_weight_is_stored_once_in_every_form():
    sizes = chain("a", "b", "c", weights=dict.fromkeys("abc", ("w",)), shapes={"w": (100,)})
    assert sizes.weights(Plan()) == 400
    assert sizes.weights(Plan(dict.fromkeys("ab", STATIC))) == 400 + 100 + SCALE
    assert sizes.weights(Plan(dict.fromkeys("abc", STATIC))) == 100 + SCALE


def test_values_are_alive_from_the_group_that_makes_them_to_the_last_reader():
    groups = [
        Group("a", "conv", "compute", ("a",), ("x",), ("a",)),
        Group("b", "conv", "compute", ("b",), ("a",), ("b",)),
        Group("c", "add", "follow", ("c",), ("b", "a"), ("c",)),
        Group("d", "conv", "compute", ("d",), ("c",), ("d",)),
    ]
    graph = graph_of(groups, {"x": 1, "a": 10, "b": 100, "c": 1000, "d": 10_000}, ["b", "d"])
    sizes = Footprint(graph, {})
    assert sizes.spans == {"x": (0, 0), "a": (0, 2), "b": (1, 3), "c": (2, 3), "d": (3, 3)}
    assert set(map(frozenset, sizes.alive)) == {
        frozenset("xa"), frozenset("abc"), frozenset("bcd")
    }  # fmt: skip
    assert sizes.peak(Plan()) == FLOAT * 11_100
    # what two groups pass on in integers takes a byte, what the user reads stays float
    both = Format("int8", S8, (U8, U8), (U8,))
    plan = Plan({"a": STATIC, "b": STATIC, "c": both, "d": FLOAT_OUTPUT})
    assert sizes.peak(plan) == 5 * 100 + 1000 + FLOAT * 10_000


def test_a_value_whose_reader_asks_for_another_form_is_held_in_both():
    sizes = chain("a", "b", sizes={"x": 1, "a": 1000, "b": 1})
    assert sizes.peak(Plan({"a": STATIC})) == 5 + 5 * 1000
    assert sizes.peak(Plan({"b": FLOAT_OUTPUT})) == 5 * 1000 + FLOAT
    assert sizes.peak(Plan({"a": STATIC, "b": FLOAT_OUTPUT})) == 5 + 1000


def test_values_of_other_types_take_what_those_take():
    sizes = chain("a", sizes={"x": 100, "a": 1})
    tensors = {**sizes.graph.tensors, "x": replace(sizes.graph.tensors["x"], dtype="int64")}
    other = replace(sizes, graph=replace(sizes.graph, tensors=tensors))
    assert other.peak(Plan()) == 800 + FLOAT
    strange = {**tensors, "x": replace(tensors["x"], dtype="unknown")}
    assert replace(sizes, graph=replace(sizes.graph, tensors=strange)).peak(Plan()) == 404


def wide():
    """Return a network of 1.6 MB, so that what files hold besides weights is small."""
    random = np.random.default_rng(0)

    def layer(name, op, entering, shape, **attributes):
        weights[f"{name}.w"] = random.standard_normal(shape).astype(np.float32)
        weights[f"{name}.b"] = random.standard_normal(shape[0]).astype(np.float32)
        names = (f"{name}.w", f"{name}.b")
        return Layer(name, op, (entering,), f"{name}.out", names, attributes)

    weights: dict[str, np.ndarray] = {}
    layers = (
        layer("first", "conv", "image", (128, 3, 3, 3), padding=1),
        layer("second", "conv", "first.out", (256, 128, 3, 3), padding=1),
        Layer("average", "global_average_pool", ("second.out",), "average.out", (), {}),
        Layer("flat", "flatten", ("average.out",), "flat.out", (), {}),
        layer("last", "gemm", "flat.out", (400, 256)),
    )
    image = TensorSpec("image", "float32", (1, 3, 4, 4))
    return Network("wide", (image,), ("last.out",), layers, weights)


@pytest.mark.parametrize("float_patterns", [["*"], [], ["second"], ["last", "first"]])
def test_the_file_of_a_plan_has_about_its_bytes(tmp_path, float_patterns):
    backend, target = OnnxRuntimeBackend(), Target()
    model = backend.load(source(wide()))
    graph = backend.graph(model, target)
    sizes = footprint(backend, model, graph)
    plan = initial_plan(graph, float_patterns=float_patterns).plan
    schemes = wanted_tensors(graph, [plan])
    statistics = Statistics(schemes)
    image = np.random.default_rng(1).standard_normal((1, 3, 4, 4)).astype(np.float32)
    backend.observe(model, [{"image": image}], statistics, target)
    ranges = tied_ranges(statistics, graph.planned(plan), plan.recipe, schemes)
    backend.save(backend.build(model, plan, ranges, target), tmp_path)
    written = sum(file.stat().st_size for file in tmp_path.rglob("*"))
    # beside weights there are operators, and in ONNX a scale for every bias
    assert 0.96 * written < sizes.weights(plan) < written


def test_the_shapes_are_those_of_every_weight():
    backend, network = ReferenceBackend(), wide()
    model = backend.load(network)
    sizes = footprint(backend, model, backend.graph(model, Target()))
    assert sizes.shapes == {name: array.shape for name, array in network.weights.items()}
    assert sizes.weights(Plan()) == 4 * sum(array.size for array in network.weights.values())
