"""The formats each kind of group can take in ONNX Runtime, best first, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import onnx_ir as ir

from octavo.backends.onnxruntime.convolved import follows_convolution
from octavo.backends.onnxruntime.edits import constant_shape
from octavo.backends.onnxruntime.forms.convolution import is_depthwise, merged_groups
from octavo.backends.onnxruntime.forms.pool import unequal_windows
from octavo.backends.onnxruntime.forms.transposed import no_convolution
from octavo.backends.onnxruntime.kinds import RESCALING, SATURATING, TIED
from octavo.backends.onnxruntime.recurrent import unusable_recurrent
from octavo.backends.onnxruntime.refusals import SLOW, refusal
from octavo.backends.onnxruntime.ties import holds_zero
from octavo.graph import Capability, Kind, Role
from octavo.plan import S8, U8, Compute, Format, Scheme
from octavo.target import Target

FEW = 3  # input channels with which an INT8 convolution begins to pay
FEW_3D = 12  # the same in three dimensions
LARGE_TABLE = 16_384  # values; below, storing an embedding in INT8 saves nothing worth having


@dataclass(frozen=True)
class Head:
    """What the options of a group depend on.

    Attributes:
        node: its main operator.
        kind: the neutral kind of it.
        inputs: how many activation tensors enter the group.
        outputs: how many tensors leave it.
        dtypes: element types of all of those.
        weight: the constant it multiplies by or looks up in, None where there is none.
        weight_index: which input of `node` that is.
        saturates: a Relu or Clip ends the group.
    """

    node: ir.Node
    kind: Kind
    inputs: int
    outputs: int
    dtypes: frozenset[str]
    weight: ir.Value | None
    weight_index: int
    saturates: bool


Options: TypeAlias = Callable[[Head, Target], tuple[Role, tuple[Capability, ...]]]
"""What a group can be in one runtime: its role and its formats, best first."""


def options(head: Head, target: Target) -> tuple[Role, tuple[Capability, ...]]:
    """Return the group's role and its formats, best first."""
    if head.node.domain not in ("", "ai.onnx"):
        return refused(refusal(head.node.op_type, head.node.domain))
    if head.kind == "embedding":
        return _embedding(head)
    if head.kind == "recurrent":
        return _recurrent(head, target)
    if head.dtypes != {"float32"}:
        if "float32" in head.dtypes and head.node.op_type in SLOW:
            return refused(SLOW[head.node.op_type])
        kinds = ", ".join(sorted(head.dtypes - {"float32"})) or "no tensor"
        return refused(f"only float32 tensors are quantized, here are {kinds}")
    if head.kind == "conv":
        return _conv(head, target)
    if head.kind == "conv_transpose":
        return _conv_transpose(head, target)
    if head.kind == "matmul":
        return _matmul(head, target)
    return _between(head)


def refused(reason: str) -> tuple[Role, tuple[Capability, ...]]:
    """Return the options of a group that stays float, with the reason."""
    return "float", (Capability(Format("int8"), reason),)


def weight_scheme(target: Target, axis: int | None) -> Scheme:
    """Return the weight scheme for a processor: 7 bits where 8 would saturate the products."""
    return replace(S8, bits=7 if target.cpu.saturates else 8, axis=axis)


def _static(head: Head, weight: Scheme, output: Scheme | None) -> Format:
    return Format("int8", weight, (U8,) * head.inputs, (output,) * head.outputs)


def static_formats(
    head: Head, target: Target, axis: int | None, *outputs: Scheme | None
) -> list[Format]:
    """Return the static formats of a group with a constant weight, best first.

    Args:
        head: the group.
        target: where it will run.
        axis: the channels of the weight, None where it has one scale.
        outputs: the schemes that what it makes can have.
    """
    axes = [axis, None] if axis is not None else [None]
    return [_static(head, weight_scheme(target, a), out) for a in axes for out in outputs]


def unusable_conv(head: Head) -> str | None:
    """Return why weight or bias of a convolution cannot be quantized; None where both can."""
    if head.weight is None or head.weight_index != 1:
        return "its weight is not constant"
    bias = _bias(head.node)
    return "its bias is not constant" if bias is not None and bias.const_value is None else None


def _bias(node: ir.Node) -> ir.Value | None:
    return node.inputs[2] if len(node.inputs) > 2 else None


def _conv(head: Head, target: Target) -> tuple[Role, tuple[Capability, ...]]:
    if reason := unusable_conv(head):
        return refused(reason)
    slow = Capability(Format("int8_dynamic"), "ConvInteger runs 5 to 10 times slower than float")
    formats = static_formats(head, target, 0, U8)
    return _role_of_conv(head.node), (*map(Capability, formats), slow)


def _role_of_conv(node: ir.Node) -> Role:
    """Return whether INT8 gains by itself; not where a weight has little to multiply at a time.

    Measured over float: 0.35 to 0.55 with one or two input channels, 0.15 to 0.85 in three
    dimensions with 8 or fewer, 0.6 where each channel makes several; a 1x1 depthwise one moves as
    much memory as it computes.
    """
    outputs, channels, *window = constant_shape(node.inputs[1]) or (0, 0)
    groups = node.attributes.get_int("group", 1)
    if is_depthwise((outputs, channels), groups):
        return "follow" if set(window) == {1} else "compute"
    channels *= merged_groups(channels, groups)
    few = channels < FEW_3D if len(window) == 3 else channels < FEW
    return "follow" if few or (groups > 1 and channels == groups) else "compute"


def _conv_transpose(head: Head, target: Target) -> tuple[Role, tuple[Capability, ...]]:
    reason = unusable_conv(head) or no_convolution(head.node)
    if reason:
        return refused(f"ONNX Runtime has no INT8 ConvTranspose, and {reason}")
    return "compute", tuple(map(Capability, static_formats(head, target, 1, U8)))


def _matmul(head: Head, target: Target) -> tuple[Role, tuple[Capability, ...]]:
    if reason := _unusable(head):
        return refused(reason)
    if head.weight is None:
        # ONNX Runtime turns an S8 activation into U8, so nothing is gained by asking for one
        return "compute", (
            Capability(Format("int8", None, (U8, U8), (None,))),
            Capability(Format("int8_dynamic"), "dynamic quantization needs a constant weight"),
        )
    axis = _output_axis(head.node, head.weight)
    static = [
        Capability(wanted, _fused_in_float(head, wanted))
        for wanted in static_formats(head, target, axis, *_output_choices(head))
    ]
    compute: Compute = "int8_dynamic"
    dynamic = Format(compute, weight_scheme(target, axis), (U8,), (None,))
    reason = None if axis is not None else "MatMulInteger needs a weight of two axes"
    return "compute", (*static, Capability(dynamic, reason))


def _output_choices(head: Head) -> tuple[Scheme | None, ...]:
    """Return schemes of the output, best first; a quantizer computes a saturation for nothing."""
    return (U8, None) if head.node.op_type == "Gemm" or head.saturates else (None, U8)


def _fused_in_float(head: Head, wanted: Format) -> str | None:
    saturates = head.saturates or _alone_saturated(head.node)
    if head.node.op_type == "Gemm" and saturates and wanted.outputs == (None,):
        return "ONNX Runtime fuses Gemm and Relu in float unless the output is quantized"
    return None


def _alone_saturated(node: ir.Node) -> bool:
    """Return whether a Relu is all that reads what a node makes, beside the model's user."""
    readers = [use.node for use in node.outputs[0].uses()]
    return len(readers) == 1 and readers[0].op_type in SATURATING


def _unusable(head: Head) -> str | None:
    node = head.node
    if head.weight is not None and head.weight_index != 1:
        return "its first operand is the constant one"
    if node.op_type != "Gemm":
        return None
    if head.weight is None:
        return "its weight is not constant"
    if node.attributes.get_int("transA", 0):
        return "it transposes its first operand"
    scales = (node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0))
    if scales != (1.0, 1.0):
        return "it scales its operands (alpha or beta is not 1)"
    return None if _is_row(_bias(node)) else "its bias is not one constant row"


def _is_row(bias: ir.Value | None) -> bool:
    """Return whether a bias is absent, or the same for every row of the output."""
    if bias is None:
        return True
    if bias.const_value is None:
        return False
    shape = bias.const_value.shape.numpy()
    return len(shape) == 0 or math.prod(shape) == shape[-1]


def _output_axis(node: ir.Node, weight: ir.Value) -> int | None:
    if weight.shape is None or len(weight.shape) != 2:
        return None
    transposed = node.op_type == "Gemm" and node.attributes.get_int("transB", 0)
    return 0 if transposed else 1


def _embedding(head: Head) -> tuple[Role, tuple[Capability, ...]]:
    table = head.weight
    if table is None or table.dtype != ir.DataType.FLOAT or table.const_value is None:
        return refused("its table is not a float32 constant")
    shape = table.const_value.shape.numpy()
    if math.prod(shape) < LARGE_TABLE:
        return refused("its table is too small to be worth storing in INT8")
    axis = len(shape) - 1
    if head.node.attributes.get_int("axis", 0) % len(shape) == axis:
        return refused("it looks up single values, not rows")
    weight = replace(S8, axis=axis)
    inputs, outputs = (None,) * head.inputs, (None,) * head.outputs
    return "compute", (Capability(Format("int8_weight", weight, inputs, outputs)),)


def _recurrent(head: Head, target: Target) -> tuple[Role, tuple[Capability, ...]]:
    if head.node.op_type != "LSTM":
        return refused(refusal(head.node.op_type, head.node.domain))
    inputs = (U8, *[None] * (head.inputs - 1))
    outputs = (None,) * head.outputs
    formats = [
        Format("int8_dynamic", weight_scheme(target, axis), inputs, outputs) for axis in (1, None)
    ]
    reason = unusable_recurrent(head.node)
    return "compute", (
        *(Capability(wanted, reason) for wanted in formats),
        Capability(Format("int8"), "ONNX Runtime's INT8 LSTM finds the ranges while it runs"),
    )


def _between(head: Head) -> tuple[Role, tuple[Capability, ...]]:
    node = head.node
    if node.op_type not in RESCALING | TIED | SATURATING or node.domain:
        return refused(refusal(node.op_type, node.domain))
    if not head.inputs:
        return refused("it reads constants only")
    if reason := _unusable_between(node):
        return refused(reason)
    constant = U8 if head.weight is not None else None
    formats = Format("int8", constant, (U8,) * head.inputs, (U8,) * head.outputs)
    return "follow", (Capability(formats),)


def _unusable_between(node: ir.Node) -> str | None:
    """Return why an operator between others cannot be INT8, or would be slower."""
    native, attributes = node.op_type, node.attributes
    if native == "Resize":
        return _unusable_resize(node)
    if native == "AveragePool" and (reason := unequal_windows(node)):
        return f"ONNX Runtime's INT8 AveragePool is slower than the float one, and {reason}"
    if native == "MaxPool" and not follows_convolution(node):
        return (
            "ONNX Runtime's INT8 MaxPool is 10 times slower than the float one where no "
            "convolution is before it"
        )
    if native == "Pad" and len(node.inputs) > 2 and not _is_known(node.inputs[2]):
        return "the value it pads with is not constant"
    if native == "HardSigmoid" and attributes.get_float("alpha", 0.2) <= 0:
        return "its slope is not above zero"
    if native in SATURATING and not holds_zero(node):
        return "its bounds do not hold zero, which a quantized range always does"
    return None


def _is_known(value: ir.Value | None) -> bool:
    return value is None or value.const_value is not None


def _unusable_resize(node: ir.Node) -> str | None:
    if node.attributes.get_string("mode", "nearest") != "nearest":
        return "ONNX Runtime resizes integers only by nearest neighbour"
    where = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    if where == "tf_crop_and_resize":
        return "it fills in a value that stands for itself in float only"
    return None
