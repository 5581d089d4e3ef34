"""Corrections: `Op.linear` and `Op.scaling` tell the truth, and `edit` takes every change."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from octavo.arrays import Array
from octavo.backends.base import Bias, Change, Edit, Multiply
from octavo.backends.reference import ReferenceBackend
from octavo.correct.constants import Constants, to_blocks
from octavo.correct.rows import input_rows
from octavo.correct.scale import Scale, scale_inputs, scaled
from octavo.correct.sites import find_sites, input_channels, output_channels
from octavo.errors import ModelError
from octavo.graph import Linear, Op
from octavo.model import Model
from octavo.testing.case import Case, close


class CorrectContract:
    """What the graph says of weights and channels holds when they are changed by it."""

    def test_products_with_weights_compute_as_described(self, case: Case) -> None:
        """Rows of the input times the weight, plus the bias, are what the operator makes."""
        for op, linear in _linears(case):
            weight = case.backend.weights(case.model, [linear.weight])[linear.weight]
            blocks = to_blocks(weight, linear)
            kernels = blocks.reshape(*blocks.shape[:2], -1).swapaxes(1, 2)
            sums = [input_rows(linear, sample) @ kernels for sample in case.floats[op.inputs[0]]]
            expected = np.stack(sums) + _bias(case, linear).reshape(linear.groups, 1, -1)
            found = np.moveaxis(_result(case, case.model, op), linear.tensor_axis, -1)
            found = found.reshape(*expected.shape[:1], -1, expected.shape[1] * expected.shape[3])
            expected = np.moveaxis(expected, 1, 2).reshape(found.shape)
            assert close(found, expected), f"{op.name!r} does not compute what `linear` says"

    def test_every_constant_product_is_described(self, case: Case) -> None:
        """Each operator of the network that has a weight has a `linear` in the graph."""
        weights = {linear.weight for _, linear in _linears(case)}
        with_weight = [layer for layer in case.network.layers if layer.weights]
        assert len(weights) == len(with_weight), "weights are missing from `linear`"

    def test_factors_pass_operators_as_described(self, case: Case) -> None:
        """Factors on the inputs and constants that `scaling` names are factors on the output."""
        for op in case.graph.ops:
            scaling = op.scaling
            if scaling is None or not scaling.inputs or scaling.bounds is not None:
                continue
            entering, leaving = _channel_axes(case, op)
            if leaving is None:
                continue
            size = case.floats[scaling.inputs[0]].shape[entering]
            factor = np.geomspace(0.25, 4, size).astype(np.float32)
            changes: list[Change] = [_multiplied(case, name, factor) for name in scaling.constants]
            for name in dict.fromkeys(scaling.inputs):
                changes.append(Multiply(name, entering, factor, (op.name,)))
            (made,) = op.outputs
            found = case.watch(case.backend.edit(case.model, changes), [made])[made]
            expected = case.floats[made] * _along(factor, found.ndim, leaving)
            assert close(found, expected), f"factors do not pass {op.name!r}"

    def test_channels_can_be_scaled_where_the_network_allows(self, case: Case) -> None:
        """The graph shows as many sites as the network has."""
        reference = ReferenceBackend()
        model = reference.load(case.network)
        graph = reference.graph(model, case.target)
        expected = len(find_sites(graph, Constants(reference, model)))
        found = find_sites(case.graph, Constants(case.backend, case.model))
        assert len(found) == expected

    def test_scaled_channels_change_no_output(self, case: Case) -> None:
        """Factors between 1/16 and 16 on all channels that can be scaled leave the outputs."""
        random = np.random.default_rng(0)
        scales = []
        for site in find_sites(case.graph, Constants(case.backend, case.model)):
            name, axis = next(iter(site.axes.items()))
            scales.append(Scale(name, axis, 2.0 ** random.uniform(-4, 4, site.channels)))
        model = scaled(case.backend, case.model, case.graph, scales)
        assert close(case.output(model), case.float_output)
        for scale in scales:
            before = case.floats[scale.tensor]
            expected = before * _along(scale.factor, before.ndim, scale.axis)
            assert close(case.watch(model, [scale.tensor])[scale.tensor], expected), scale.tensor

    def test_bias_is_added_to_its_operator(self, case: Case) -> None:
        """A new bias moves the result of its operator, and the tensors keep their names."""
        for op, linear in _linears(case):
            old = _bias(case, linear)
            new = (old + np.linspace(-1, 1, _channels(case, linear))).astype(np.float32)
            model = case.backend.edit(case.model, [Bias(op.name, new)])
            moved = np.moveaxis(_result(case, model, op), linear.tensor_axis, -1)
            before = np.moveaxis(_result(case, case.model, op), linear.tensor_axis, -1)
            assert close(moved, before + (new - old)), op.name
            assert set(case.describe(model).group_by_id) == set(case.graph.group_by_id)
            built = case.backend.build(model, case.plan, case.ranges, case.target)
            assert not close(case.output(built), case.output(case.built)), op.name

    def test_product_reaches_the_readers_that_are_named(self, case: Case) -> None:
        """Channels multiplied before one reader, whose weight is divided, change no output."""
        for op, linear in _linears(case):
            weight = case.backend.weights(case.model, [linear.weight])[linear.weight]
            blocks = to_blocks(weight, linear)
            factor = np.geomspace(0.25, 4, blocks.shape[0] * blocks.shape[2]).astype(np.float32)
            product = Multiply(op.inputs[0], linear.tensor_axis, factor, (op.name,))
            divided = scale_inputs(weight, linear, 1 / factor.astype(np.float64))
            alone = case.backend.edit(case.model, [product])
            both = case.backend.edit(
                case.model, [product, Edit(linear.weight, divided.astype(np.float32))]
            )
            assert not close(case.output(alone), case.float_output), op.name
            assert close(case.output(both), case.float_output), op.name
            self._check_graph(case, alone, op)

    def _check_graph(self, case: Case, model: Model, op: Op) -> None:
        graph = case.describe(model)
        new = [group for group in graph.groups if group.id not in case.graph.group_by_id]
        assert set(case.graph.group_by_id) < set(graph.group_by_id)
        assert [group.kind for group in new] == ["mul"], f"product before {op.name!r}"
        assert new[0].inputs == op.inputs[:1]
        assert graph.op_by_name[op.name].inputs[0] == new[0].outputs[0]

    def test_changes_that_do_not_fit_are_refused(self, case: Case) -> None:
        """An unknown operator or tensor, a wrong size or dtype is an error that names it."""
        op, linear = next(_linears(case))
        channels, read = _channels(case, linear), op.inputs[0]
        bias = np.zeros(channels, np.float32)
        ones = np.ones(_inputs(case, linear), np.float32)
        axis = linear.tensor_axis
        wrong: dict[str, list[Change]] = {
            "no-such-operator": [
                Bias("no-such-operator", bias),
                Multiply(read, axis, ones, ("no-such-operator",)),
            ],
            "no-such-tensor": [Multiply("no-such-tensor", axis, ones, (op.name,))],
            op.name: [Bias(op.name, bias[1:]), Bias(op.name, bias.astype(np.float64))],
            read: [
                Multiply(read, axis, ones[1:], (op.name,)),
                Multiply(read, axis, ones.astype(np.float64), (op.name,)),
            ],
        }
        for name, changes in wrong.items():
            for change in changes:
                with pytest.raises(ModelError, match=name):
                    case.backend.edit(case.model, [change])


def _linears(case: Case) -> Iterator[tuple[Op, Linear]]:
    for op in case.graph.ops:
        if op.linear is not None:
            yield op, op.linear


def _channel_axes(case: Case, op: Op) -> tuple[int, int | None]:
    """Return the channel axis of what an operator reads, and where it is in what it makes.

    The latter is None where the operator does not keep it whole.
    """
    scaling = op.scaling
    assert scaling is not None
    rank = case.floats[scaling.inputs[0]].ndim
    entering = 1 if rank == 4 else rank - 1
    return entering, dict(scaling.axes or ((entering, entering),)).get(entering)


def _along(factor: Array, rank: int, axis: int) -> Array:
    """Return factors in a shape that multiplies one axis."""
    return factor.reshape([-1 if i == axis else 1 for i in range(rank)])


def _multiplied(case: Case, name: str, factor: Array) -> Edit:
    old = case.backend.weights(case.model, [name])[name]
    return Edit(name, old * _along(factor, old.ndim, old.ndim - 1))


def _channels(case: Case, linear: Linear) -> int:
    return output_channels(Constants(case.backend, case.model), linear)


def _inputs(case: Case, linear: Linear) -> int:
    return input_channels(Constants(case.backend, case.model), linear)


def _bias(case: Case, linear: Linear) -> Array:
    if linear.bias is None:
        return np.zeros(_channels(case, linear))
    return case.backend.weights(case.model, [linear.bias])[linear.bias].reshape(-1)


def _result(case: Case, model: Model, op: Op) -> Array:
    """Return what an operator makes of all samples, with its bias, which another may add."""
    linear = op.linear
    assert linear is not None
    adds = (other for other in case.graph.ops if linear.bias and linear.bias in other.weights)
    name = next(adds, op).outputs[0]
    return case.watch(model, [name])[name]
