"""Loading and describing: `owns`, `load`, `graph`, `features`, `versions`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import get_args

from octavo.backends.base import Feature
from octavo.backends.reference.network import Layer, Network
from octavo.graph import Graph, Group
from octavo.testing.case import Case, close


class DescribeContract:
    """A loaded model computes the network, and its graph tells the truth about it."""

    def test_backend_owns_what_it_loads(self, case: Case) -> None:
        """`owns` says yes to the backend's models and no to other objects."""
        assert case.backend.owns(case.source(case.network))
        assert not case.backend.owns(object())

    def test_every_feature_and_its_versions_are_told(self, case: Case) -> None:
        """Every feature is there or has a reason, and the packages behind it have versions."""
        assert set(case.backend.features()) == set(get_args(Feature))
        versions = case.backend.versions()
        assert versions and all(versions.values()), "results depend on packages: name them"

    def test_float_model_computes_the_network(self, case: Case) -> None:
        """The loaded model computes what the network does, up to float rounding."""
        outputs = case.run(case.model)
        assert set(outputs) == {spec.name for spec in case.model.outputs}
        for name in map(case.rename, case.network.outputs):
            assert close(outputs[name], case.expected[name]), f"output {name!r} is wrong"

    def test_every_operator_is_in_one_group(self, case: Case) -> None:
        """The groups partition the operators, and their ids are unique."""
        members = Counter(name for group in case.graph.groups for name in group.ops)
        assert members == Counter(op.name for op in case.graph.ops)
        assert set(members.values()) == {1}
        assert len(case.graph.group_by_id) == len(case.graph.groups), "group ids are not unique"

    def test_operators_can_run_in_their_order(self, case: Case) -> None:
        """Every operator comes after those that make what it reads."""
        known = set(case.graph.inputs)
        for op in case.graph.ops:
            assert set(op.inputs) <= known, f"{op.name!r} runs before what it reads is made"
            known |= set(op.outputs)
        assert set(case.graph.outputs) <= known

    def test_every_tensor_is_described(self, case: Case) -> None:
        """`Graph.tensors` holds what operators read and make, and nothing else."""
        used = {name for op in case.graph.ops for name in (*op.inputs, *op.outputs)}
        assert used == set(case.graph.tensors)
        for group in case.graph.groups:
            assert {*group.inputs, *group.outputs} <= used, f"group {group.id!r}"

    def test_group_borders_follow_from_its_operators(self, case: Case) -> None:
        """A group's inputs and outputs are what crosses its border."""
        for group in case.graph.groups:
            assert set(group.inputs) == _entering(case.graph, group), f"inputs of {group.id!r}"
            assert set(group.outputs) == _leaving(case.graph, group), f"outputs of {group.id!r}"

    def test_every_format_fits_its_group(self, case: Case) -> None:
        """A format has one scheme, or None, for every input and output of its group."""
        for group in case.graph.groups:
            for chosen in group.formats:
                assert not chosen.is_float, f"group {group.id!r} lists a float format"
                assert len(chosen.inputs) == len(group.inputs), f"inputs of {group.id!r}"
                assert len(chosen.outputs) == len(group.outputs), f"outputs of {group.id!r}"

    def test_float_groups_give_a_reason(self, case: Case) -> None:
        """A group stays float if and only if it says why, in words for the report."""
        for group in case.graph.groups:
            assert (group.role == "float") == (group.refusal is not None), f"group {group.id!r}"
            assert group.refusal is None or len(group.refusal) > 10

    def test_something_can_be_quantized(self, case: Case) -> None:
        """Every one of the networks has something that gains from INT8."""
        assert any(group.role == "compute" for group in case.groups)

    def test_multiply_adds_are_counted(self, case: Case) -> None:
        """`macs` counts the multiply-adds of one sample, for operators, groups and graph."""
        assert case.graph.macs == _macs(case)
        assert sum(group.macs for group in case.graph.groups) == case.graph.macs

    def test_moved_values_are_tied(self, case: Case) -> None:
        """Integers that are moved and not computed keep their scale, so the tensors need one."""
        for layer in case.network.layers:
            if layer.op not in ("max_pool", "concat", "transpose", "flatten"):
                continue
            names = [case.rename(name) for name in (*layer.inputs, layer.output)]
            ties = {case.graph.tensors[name].tie for name in names}
            group = case.graph.producer[names[-1]]
            assert not group.formats or (len(ties) == 1 and None not in ties), (
                f"{', '.join(names)} are not tied"
            )

    def test_equal_models_have_equal_graphs(self, case: Case) -> None:
        """Loading the same network again gives the same names, groups and fingerprint."""
        assert case.describe(case.load(case.network)) == case.graph

    def test_other_weights_change_the_fingerprint(self, case: Case) -> None:
        """The fingerprint covers the weights."""
        name = next(iter(case.network.weights))
        weights = dict(case.network.weights)
        weights[name] = weights[name] * 1.001
        other = replace(case.network, weights=weights)
        assert case.describe(case.load(other)).fingerprint != case.graph.fingerprint

    def test_other_structure_changes_the_fingerprint(self, case: Case) -> None:
        """The fingerprint covers the operators."""
        other = case.describe(case.load(_longer(case.network)))
        assert other.fingerprint != case.graph.fingerprint


def _entering(graph: Graph, group: Group) -> set[str]:
    ops = [graph.op_by_name[name] for name in group.ops]
    made = {name for op in ops for name in op.outputs}
    return {name for op in ops for name in op.inputs} - made


def _leaving(graph: Graph, group: Group) -> set[str]:
    made = {name for op in group.ops for name in graph.op_by_name[op].outputs}
    others = (op for op in graph.ops if op.name not in group.ops)
    read = {name for op in others for name in op.inputs} | set(graph.outputs)
    return made & read


def _macs(case: Case) -> int:
    """Return the multiply-adds of one sample from the shapes that the evaluator found."""
    total = 0
    for layer in case.network.layers:
        size = case.expected[case.rename(layer.output)][0].size
        if layer.op == "conv":
            total += size * case.network.constants(layer)[0][0].size
        elif layer.op in ("gemm", "matmul"):
            total += size * case.expected[case.rename(layer.inputs[0])].shape[-1]
    return total


def _longer(network: Network) -> Network:
    """Return the network with one more ReLU before its output."""
    relu = Layer("last_relu", "relu", network.outputs[:1], "last_relu.out")
    return replace(network, layers=(*network.layers, relu), outputs=("last_relu.out",))
