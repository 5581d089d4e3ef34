"""The amounts of features of small plans, counted by hand."""

import pytest
from random_spaces import forms, graph_of

from octavo.graph import Group
from octavo.plan import FP32, Plan
from octavo.search.price.features import (
    RUN,
    border_features,
    features,
    group_feature,
    is_border,
    pattern_key,
)

STATIC, FLOAT_OUTPUT, FLOAT_SECOND, DYNAMIC, WEIGHTS = forms(2, 1)
MILLION = 1_000_000


def group(name, kind, inputs, outputs, pattern=None):
    return Group(name, kind, "compute", (name,), inputs, outputs, (), pattern or name)


FIRST = group("first", "conv", ("x", "y"), ("t",))
CONV = group("conv", "conv", ("t", "y"), ("a",), "same")
TWIN = group("twin", "conv", ("t", "y"), ("b",), "same")
PRODUCT = group("product", "matmul", ("t", "x"), ("c",))
SIZES = {"x": MILLION, "y": 2 * MILLION, "t": 3 * MILLION, "a": 10, "b": 10, "c": 10}
GRAPH = graph_of([FIRST, CONV, TWIN, PRODUCT], SIZES, ["a", "b", "c"])


def borders(graph=GRAPH, **formats):
    found = border_features(graph, Plan(formats))
    return {name: amount for name, amount in found.items() if amount >= 1}


def test_a_float_plan_has_its_groups_a_run_and_another_layout_for_the_product():
    found = features(GRAPH, Plan())
    assert found[RUN] == 1
    assert found[group_feature(CONV, FP32)] == 2
    assert borders() == {"reorder spatial>flat": 3}


def test_a_model_input_is_quantized_once_for_all_that_read_it_as_integers():
    found = borders(conv=FLOAT_OUTPUT, twin=FLOAT_OUTPUT)
    assert found["quantize flat>spatial"] == 2  # y, which both convolutions read
    assert found["quantize spatial>spatial"] == 3  # t
    assert found["reorder spatial>flat"] == 3  # the product still reads floats


def test_the_quantizer_of_readers_of_both_sides_is_a_spatial_one():
    found = borders(conv=FLOAT_OUTPUT, product=FLOAT_OUTPUT)
    assert found["quantize spatial>spatial"] == 3
    assert found["quantize flat>flat"] == 1  # x, which the product alone asks for
    assert "quantize spatial>flat" not in found
    assert "reorder spatial>flat" not in found


def test_integers_are_dequantized_for_each_reader_in_float():
    assert borders(first=STATIC) == {
        "quantize flat>spatial": 1 + 2,
        "dequantize spatial>spatial": 3 + 3,
        "dequantize spatial>flat": 3,
    }


def test_integers_between_groups_cross_no_border_but_that_of_the_layout():
    found = borders(first=STATIC, conv=STATIC, twin=STATIC, product=FLOAT_OUTPUT)
    assert found == {
        "quantize flat>spatial": 1 + 2,  # x and y; x once, for the product too
        "reorder-int8 spatial>flat": 3,
    }


def test_an_output_of_the_model_is_dequantized():
    outputs = graph_of([FIRST], {"x": MILLION, "y": 10, "t": 3 * MILLION}, ["t"])
    assert borders(outputs, first=STATIC)["dequantize spatial>flat"] == 3
    assert "dequantize spatial>flat" not in borders(outputs, first=FLOAT_OUTPUT)
    read = graph_of([FIRST, CONV], dict(SIZES), ["a", "t"])
    assert borders(read, first=STATIC, conv=FLOAT_OUTPUT)["dequantize spatial>flat"] == 3


def test_an_input_that_a_format_leaves_float_is_not_quantized():
    assert "quantize flat>spatial" not in borders(conv=FLOAT_SECOND)


@pytest.mark.parametrize("chosen", [DYNAMIC, WEIGHTS])
def test_forms_that_keep_activations_in_float_cross_no_borders(chosen):
    assert borders(first=chosen, conv=chosen, product=chosen) == borders()


def test_equal_patterns_share_a_feature_unless_they_differ_in_what_is_quantized():
    assert group_feature(CONV, STATIC) == group_feature(TWIN, STATIC)
    seen = {group_feature(CONV, one) for one in (FP32, *forms(2, 1))}
    assert len(seen) == 6
    assert group_feature(FIRST, STATIC) not in seen
    assert all(name.startswith(pattern_key(CONV)) for name in seen)


def test_borders_are_told_from_groups_by_their_names():
    found = features(GRAPH, Plan({"first": STATIC, "conv": STATIC}))
    assert {name for name in found if is_border(name)} == {
        *borders(first=STATIC, conv=STATIC),
        "dequantize spatial>flat",
    }
    assert not is_border(RUN)
