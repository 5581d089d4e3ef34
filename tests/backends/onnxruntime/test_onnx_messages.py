import numpy as np
import pytest
from networks import Builder
from onnx import TensorProto
from onnx_case import BACKEND, TARGET

from octavo.backends.onnxruntime.messages import LIMIT, first_line, shorten
from octavo.errors import DataError

CODE = "[ONNXRuntimeError] : 1 : FAIL : "
RUNNING = f"{CODE}Non-zero status code returned while running"
HELPER = (
    "/onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:91 "
    "onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, "
    "onnxruntime::TensorShapeVector&, bool) input_shape_size == requested_shape_size was false. "
)
MESSAGES = {
    f"{RUNNING} Reshape node. Name:'r' Status Message: {HELPER}The input tensor cannot be reshaped "
    "to the requested shape. Input shape:{3,5,7}, requested shape:{2,48}\n": (
        f"{RUNNING} Reshape node. Name:'r' Status Message: The input tensor cannot be reshaped "
        "to the requested shape. Input shape:{3,5,7}, requested shape:{2,48}"
    ),
    f"{RUNNING} Add node. Name:'add' Status Message: /a/element_wise_ops.h:563 void "
    "onnxruntime::BroadcastIterator::Init(ptrdiff_t, ptrdiff_t) axis == 1 || axis == largest was "
    "false. Attempting to broadcast an axis by a dimension other than 1. 4 by 7": (
        f"{RUNNING} Add node. Name:'add' Status Message: Attempting to broadcast an axis by a "
        "dimension other than 1. 4 by 7"
    ),
    f"{RUNNING} MatMul node. Name:'mm' Status Message: matmul_helper.h:59 Compute MatMul dimension "
    "mismatch": f"{RUNNING} MatMul node. Name:'mm' Status Message: MatMul dimension mismatch",
    "[ONNXRuntimeError] : 10 : INVALID_GRAPH : No Op registered for Foo": (
        "[ONNXRuntimeError] : 10 : INVALID_GRAPH : No Op registered for Foo"
    ),
    "Unable to open 'weights.cc:12'": "Unable to open 'weights.cc:12'",
}


@pytest.mark.parametrize(("given", "expected"), MESSAGES.items())
def test_places_and_signatures_in_c_plus_plus_are_left_out(given, expected):
    assert first_line(RuntimeError(given)) == expected


def test_an_error_without_a_message_is_named():
    assert first_line(ValueError()) == "ValueError()"


@pytest.mark.parametrize("length", range(1, 12))
def test_a_long_text_keeps_its_beginning_and_its_end_in_whole_words(length):
    words = [f"{number:0{length}}"[-length:] for number in range(200)]
    words = ["first", *words, *words, "{2,48}"]
    shown = shorten(" ".join(words))
    assert LIMIT - 30 < len(shown) <= LIMIT or len(" ".join(words)) <= LIMIT
    start, _, end = shown.partition(" ... ")
    assert words[: len(start.split())] == start.split()
    assert words[len(words) - len(end.split()) :] == end.split()
    assert end.endswith("{2,48}")


@pytest.mark.parametrize("text", ["x" * LIMIT, "a b", ""])
def test_a_short_text_stays_as_it_is(text):
    assert shorten(text) == text


def test_a_long_text_of_one_word_is_cut():
    half = (LIMIT - 5) // 2
    assert shorten("x" * 900) == f"{'x' * half} ... {'x' * half}"


@pytest.mark.parametrize("text", ["cannot open {} for reading", "{} is gone", "no file at {}"])
def test_a_long_path_is_cut_where_the_limit_is(text):
    assert LIMIT - 10 < len(shorten(text.format("/folder" * 100))) <= LIMIT


def test_a_path_of_400_characters_is_shown_whole():
    path = "/folder" * 57
    assert path in shorten(f"cannot open {path} for reading")


def test_what_onnx_runtime_says_of_a_batch_ends_with_the_shapes():
    b = Builder()
    module = "/module/" + "a_long_name/" * 3
    shape = b.weight("shape", np.array([2, 48]))
    y = b.node("Reshape", ["x", shape], f"{module}reshape")
    proto = b.model({"x": (TensorProto.FLOAT, ["a", "b", "c"])}, {y: [2, 48]})
    session = BACKEND.open(BACKEND.load(proto), TARGET)
    with pytest.raises(DataError) as caught:
        session.run({"x": np.zeros((3, 5, 7), np.float32)})
    told = str(caught.value)
    assert "onnxruntime::" not in told
    assert f"{module}reshape" in told
    assert told.endswith("Input shape:{3,5,7}, requested shape:{2,48}")
