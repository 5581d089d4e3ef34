"""LSTM with INT8 weights, whose activations are quantized while it runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from octavo.arrays import Array
from octavo.backends.onnxruntime.edits import FLOAT, constant_shape
from octavo.backends.onnxruntime.qdq import Writer, storage
from octavo.errors import ModelError
from octavo.measure import quantize_weight
from octavo.plan import Format, Scheme

DOMAIN = "com.microsoft"
WEIGHTS = (1, 2)  # the inputs W, for the sequence, and R, for the state


def unusable_recurrent(node: ir.Node) -> str | None:
    """Return why an LSTM cannot run in INT8; None where it can."""
    weights = [node.inputs[index] for index in WEIGHTS]
    if any(constant_shape(value) is None for value in weights):
        return "its weights are not constant"
    if any(value is None or value.dtype != FLOAT for value in (node.inputs[0], *weights)):
        return "only float32 tensors are quantized"
    if node.attributes.get_int("layout", 0):
        return "ONNX Runtime has no LSTM with the batch first"
    return None


def write_recurrent(writer: Writer, node: ir.Node, wanted: Format, *, optimize: bool) -> None:
    """Write an LSTM as ONNX Runtime's DynamicQuantizeLSTM, in its place.

    The sequence is quantized as a whole, the state at every step; what they are added up in is
    INT32, all else float. Bias, initial states, lengths, peepholes and activations stay as they
    are.

    Args:
        writer: writes into the graph of the node.
        node: the LSTM.
        wanted: the format; a scale per channel, or one for each direction.
        optimize: False writes the float LSTM of the weights that the integers stand for.
    """
    if wanted.weight is None:
        raise ModelError(f"group {node.name!r} has no format for its weights")
    parts = [_quantized(node.inputs[index], wanted.weight) for index in WEIGHTS]
    if not optimize:
        for index, (integers, scale) in zip(WEIGHTS, parts, strict=True):
            value = np.swapaxes(integers * scale[:, None], 1, 2).astype(np.float32)
            node.replace_input_with(index, writer.constant(f"{node.name}.{index}.float", value))
        return
    given = [*node.inputs, *[None] * (8 - len(node.inputs))]
    node.resize_inputs(12)
    for index, value in enumerate(given):
        node.replace_input_with(index, value)
    for index, (integers, scale) in zip(WEIGHTS, parts, strict=True):
        label = f"{node.name}.{'WR'[index - 1]}.s8"
        flat = scale if wanted.weight.axis is not None else scale[:, 0]
        node.replace_input_with(index, writer.constant(label, integers))
        zero = np.zeros(flat.shape, storage(wanted.weight))
        parameters = {"scale": flat.astype(np.float32), "zero_point": zero}
        for offset, (name, array) in enumerate(parameters.items()):
            at = 6 + 2 * index + offset
            node.replace_input_with(at, writer.constant(f"{label}.{name}", array))
    node.attributes.pop("layout", None)
    node.op_type, node.domain = "DynamicQuantizeLSTM", DOMAIN
    writer.graph.opset_imports[DOMAIN] = 1


def _quantized(value: ir.Value | None, scheme: Scheme) -> tuple[Array, Array]:
    """Return the integers [directions, inputs, gates] and the scale of each [directions, gates]."""
    if value is None or value.const_value is None:
        raise ModelError("an LSTM without constant weights was to be quantized")
    scheme = replace(scheme, axis=None if scheme.axis is None else 0)
    made = [quantize_weight(part, scheme) for part in np.asarray(value.const_value.numpy())]
    integers = np.stack([np.ascontiguousarray(part.T) for part, _ in made])
    scales = [np.broadcast_to(q.scale, (integers.shape[2],)) for _, q in made]
    return integers, np.stack(scales)
