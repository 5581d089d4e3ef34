import json

import numpy as np
import pytest

from octavo.workflow.compare import LOWEST_DB, Comparison, Difference, _Capture, _Energy


def sqnr(expected, actual):
    energy = _Energy()
    energy.add(np.asarray(expected, np.float32), np.asarray(actual, np.float32))
    return energy.reported_db


def test_a_tenth_of_the_energy_is_ten_decibels():
    assert sqnr([1, 3], [0, 3]) == pytest.approx(10.0)


def test_equal_tensors_have_no_number():
    assert sqnr([0, 1], [0, 1]) is None


@pytest.mark.parametrize("actual", [[0.0, 0.1], [0.0, np.nan], [np.inf, 0.0]])
def test_a_tensor_that_is_zero_in_fp32_only_has_a_number_that_json_takes(actual):
    value = sqnr([0, 0], actual)
    assert value == LOWEST_DB
    rows = [Difference("t", "g", "int8", value, False)]
    assert json.dumps(Comparison(rows, 1, "d").to_json(), allow_nan=False)


def test_nothing_is_below_the_lowest():
    assert sqnr([1e-15, 0], [0, 1e15]) == LOWEST_DB


LEAST = float(np.finfo(np.float32).min)


def masked(*pairs):
    energy = _Energy()
    energy.add(*(np.array(side, np.float32) for side in zip((1, 0), (3, 3), *pairs, strict=True)))
    return energy


@pytest.mark.parametrize(
    "pair", [(LEAST, LEAST), (-1e9, -1e9), (-np.inf, -np.inf), (-np.inf, LEAST), (np.nan, np.nan)]
)
def test_masks_of_both_models_hide_no_difference_of_the_rest(pair):
    energy = masked(pair, pair)
    assert energy.reported_db == pytest.approx(10.0)
    assert energy.left_out == 2


@pytest.mark.parametrize(
    ("pair", "decibels"),
    [
        ((LEAST, 0), 0),
        ((-1e9, -1.01e9), 40),
        ((-np.inf, np.inf), LOWEST_DB),
        ((np.nan, 0), LOWEST_DB),
        ((0, -np.inf), LOWEST_DB),
    ],
)
def test_a_mask_of_one_model_only_is_a_difference(pair, decibels):
    energy = masked(pair)
    assert energy.reported_db == pytest.approx(decibels, abs=0.1)
    assert energy.left_out == 0


def test_large_numbers_that_are_no_masks_are_compared():
    assert masked((1e7, 1e7)).left_out == 0


@pytest.mark.parametrize("shape", [(41, 4), (1, 4)])
def test_tensors_of_other_sizes_are_not_compared_and_not_broadcast(shape):
    energy = _Energy()
    energy.add(np.ones((43, 4)), np.ones(shape))
    energy.add(np.ones((42, 4)), np.ones((40, 4)))
    assert energy.sizes == f"the sizes differ ([43, 4] and {list(shape)})"
    assert (energy.signal, energy.noise) == (0, 0)


def test_parts_of_changing_size_are_joined():
    capture = _Capture(["boxes"])
    capture.update("boxes", np.ones((1, 3, 2)))
    capture.update("boxes", np.ones((1, 2, 2)))
    assert capture["boxes"].shape == (10,)
