"""Weights as blocks: every layout of a framework becomes [groups, outputs, inputs, taps]."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.backends.base import Edit
from octavo.correct.constants import Constants, block_shape, from_blocks, to_blocks
from octavo.graph import Linear

CONV, TRANSPOSED, GEMM, MATMUL = (
    {"input_axis": 1, "output_axis": 0},
    {"input_axis": 0, "output_axis": 1},
    {"input_axis": 1, "output_axis": 0},
    {"input_axis": 0, "output_axis": 1},
)


def linear(axes, groups=1):
    return Linear("w", None, tensor_axis=1, groups=groups, **axes)


@given(
    st.sampled_from([CONV, TRANSPOSED]),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(st.integers(1, 3), max_size=3),
)
def test_blocks_become_the_weight_again(axes, groups, outputs, inputs, taps):
    own = linear(axes, groups)
    first = axes["output_axis"] == 0
    sizes = (groups * outputs, inputs) if first else (groups * inputs, outputs)
    weight = np.arange(np.prod([*sizes, *taps]), dtype=np.float64).reshape(*sizes, *taps)
    blocks = to_blocks(weight, own)

    assert blocks.shape == (groups, outputs, inputs, np.prod(taps, dtype=int))
    assert blocks.shape == block_shape(weight.shape, own)
    assert np.array_equal(from_blocks(blocks, weight.shape, own), weight)


def test_a_grouped_convolution_counts_its_outputs_through_all_groups():
    weight = np.arange(4 * 2).reshape(4, 2, 1, 1)  # 4 outputs, 2 inputs in each of 2 groups
    blocks = to_blocks(weight, linear(CONV, groups=2))[..., 0]
    assert np.array_equal(blocks, [[[0, 1], [2, 3]], [[4, 5], [6, 7]]])


def test_a_transposed_convolution_counts_its_inputs_through_all_groups():
    weight = np.arange(4 * 2).reshape(4, 2, 1, 1)  # 4 inputs, 2 outputs in each of 2 groups
    blocks = to_blocks(weight, linear(TRANSPOSED, groups=2))[..., 0]
    assert np.array_equal(blocks, [[[0, 2], [1, 3]], [[4, 6], [5, 7]]])


@pytest.mark.parametrize("axes", [GEMM, MATMUL])
def test_a_matrix_is_turned_to_outputs_by_inputs(axes):
    weight = np.arange(6).reshape(2, 3)
    blocks = to_blocks(weight, linear(axes))[0, ..., 0]
    assert np.array_equal(blocks, weight if axes is GEMM else weight.T)


class Weights:
    """As much of a backend as `Constants` asks for."""

    def __init__(self):
        self.asked = []

    def weights(self, model, names):
        self.asked += names
        return {name: np.ones(3, np.float32) for name in names}


def test_only_what_is_asked_for_is_read_and_only_what_changed_is_edited():
    backend = Weights()
    constants = Constants(backend, None)
    constants["a"] = constants["a"] * 2
    assert constants["b"].dtype == np.float64
    (edit,) = constants.edits()

    assert isinstance(edit, Edit)
    assert (edit.weight, edit.value.dtype) == ("a", np.float32)
    assert np.array_equal(edit.value, [2, 2, 2])
    assert backend.asked == ["a", "b"]


def test_several_changes_are_rounded_once():
    constants = Constants(Weights(), None)
    for factor in (1 / 3, 3.0):
        constants["a"] = constants["a"] * factor
    assert constants.edits() == []
