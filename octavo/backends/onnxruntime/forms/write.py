"""Which operator has a form of its own, and writing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from octavo.backends.onnxruntime.forms.convolution import write_convolution
from octavo.backends.onnxruntime.forms.hard import write_hard_sigmoid, write_hard_swish
from octavo.backends.onnxruntime.forms.moves import write_moved
from octavo.backends.onnxruntime.forms.pool import write_average
from octavo.backends.onnxruntime.forms.resize import write_resize
from octavo.backends.onnxruntime.forms.shuffle import write_depth_to_space
from octavo.backends.onnxruntime.forms.transposed import write_transposed
from octavo.backends.onnxruntime.qdq import Writer
from octavo.measure import Quantization

Form = Callable[[Writer, ir.Node, Quantization], None]

FORMS: Mapping[str, Form] = {
    "Conv": write_convolution,
    "ConvTranspose": write_transposed,
    "AveragePool": write_average,
    "Resize": write_resize,
    "DepthToSpace": write_depth_to_space,
    "SpaceToDepth": write_moved,
    "Pad": write_moved,
    "HardSigmoid": write_hard_sigmoid,
    "HardSwish": write_hard_swish,
}


def write_form(writer: Writer, node: ir.Node, output: Quantization) -> None:
    """Write the INT8 form of a node in its place.

    Args:
        writer: writes into the graph of the node.
        node: reads dequantized values; a quantizer reads what it makes. It stays in the graph, with
            its name and perhaps as another operator, for weights to be quantized on.
        output: how what it makes is quantized.
    """
    form = FORMS.get(node.op_type)
    if form is not None and not node.domain:
        form(writer, node, output)
