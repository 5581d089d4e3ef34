"""The formats each kind of group can take in ONNX Runtime, best first, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import onnx_ir as ir

from octavo.backends.onnxruntime.kinds import RESCALING, SATURATING, SLOW, TIED
from octavo.backends.onnxruntime.ties import holds_zero
from octavo.graph import Capability, Kind, Role
from octavo.plan import S8, U8, Compute, Format, Scheme
from octavo.target import Target

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


def options(head: Head, target: Target) -> tuple[Role, tuple[Capability, ...]]:
    """Return the group's role and its formats, best first."""
    if head.kind == "embedding":
        return _embedding(head)
    if head.dtypes != {"float32"}:
        kinds = ", ".join(sorted(head.dtypes - {"float32"})) or "no tensor"
        return _refused(f"only float32 tensors are quantized, here are {kinds}")
    if head.kind == "conv":
        return _conv(head, target)
    if head.kind == "matmul":
        return _matmul(head, target)
    return _between(head)


def _refused(reason: str) -> tuple[Role, tuple[Capability, ...]]:
    return "float", (Capability(Format("int8"), reason),)


def weight_scheme(target: Target, axis: int | None) -> Scheme:
    """Return the weight scheme for a processor: 7 bits where 8 would saturate the products.

    Without VNNI, x86 sums pairs of U8 x S8 products in 16 bits (vpmaddubsw): 2 * 255 * 127
    overflows, 2 * 255 * 63 does not.
    """
    x86 = target.cpu.architecture == "x86_64"
    return replace(S8, bits=7 if x86 and not target.cpu.has_vnni else 8, axis=axis)


def _static(head: Head, weight: Scheme, output: Scheme | None) -> Format:
    return Format("int8", weight, (U8,) * head.inputs, (output,) * head.outputs)


def _both(head: Head, target: Target, axis: int | None, *outputs: Scheme | None) -> list[Format]:
    axes = [axis, None] if axis is not None else [None]
    return [_static(head, weight_scheme(target, a), out) for a in axes for out in outputs]


def _unusable_conv(head: Head) -> str | None:
    if head.weight is None or head.weight_index != 1:
        return "its weight is not constant"
    bias = _bias(head.node)
    return "its bias is not constant" if bias is not None and bias.const_value is None else None


def _bias(node: ir.Node) -> ir.Value | None:
    return node.inputs[2] if len(node.inputs) > 2 else None


def _conv(head: Head, target: Target) -> tuple[Role, tuple[Capability, ...]]:
    if reason := _unusable_conv(head):
        return _refused(reason)
    slow = Capability(Format("int8_dynamic"), "ConvInteger runs 5 to 10 times slower than float")
    formats = _both(head, target, 0, U8)
    return "compute", (*map(Capability, formats), slow)


def _matmul(head: Head, target: Target) -> tuple[Role, tuple[Capability, ...]]:
    if reason := _unusable(head):
        return _refused(reason)
    if head.weight is None:
        # ONNX Runtime turns an S8 activation into U8, so nothing is gained by asking for one
        return "compute", (
            Capability(Format("int8", None, (U8, U8), (None,))),
            Capability(Format("int8_dynamic"), "dynamic quantization needs a constant weight"),
        )
    axis = _output_axis(head.node, head.weight)
    static = [
        Capability(wanted, _fused_in_float(head, wanted))
        for wanted in _both(head, target, axis, *_output_choices(head))
    ]
    compute: Compute = "int8_dynamic"
    dynamic = Format(compute, weight_scheme(target, axis), (U8,), (None,))
    reason = None if axis is not None else "MatMulInteger needs a weight of two axes"
    return "compute", (*static, Capability(dynamic, reason))


def _output_choices(head: Head) -> tuple[Scheme | None, ...]:
    """Return schemes of the output, best first; a quantizer computes a saturation for nothing."""
    return (U8, None) if head.node.op_type == "Gemm" or head.saturates else (None, U8)


def _fused_in_float(head: Head, wanted: Format) -> str | None:
    if head.node.op_type == "Gemm" and head.saturates and wanted.outputs == (None,):
        return "ONNX Runtime fuses Gemm and Relu in float unless the output is quantized"
    return None


def _unusable(head: Head) -> str | None:
    node = head.node
    if head.weight is not None and head.weight_index != 1:
        return "its first operand is the constant one"
    if node.op_type != "Gemm":
        return None
    if head.weight is None:
        return "its weight is not constant"
    if node.attributes.get_int("transA", 0):
        return "it transposes its input"
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
        return _refused("its table is not a float32 constant")
    shape = table.const_value.shape.numpy()
    if math.prod(shape) < LARGE_TABLE:
        return _refused("its table is too small to be worth storing in INT8")
    axis = len(shape) - 1
    if head.node.attributes.get_int("axis", 0) % len(shape) == axis:
        return _refused("it looks up single values, not rows")
    weight = replace(S8, axis=axis)
    inputs, outputs = (None,) * head.inputs, (None,) * head.outputs
    return "compute", (Capability(Format("int8_weight", weight, inputs, outputs)),)


def _between(head: Head) -> tuple[Role, tuple[Capability, ...]]:
    native = head.node.op_type
    usable = native in RESCALING | TIED | SATURATING and not head.node.domain
    if not usable:
        return _refused(SLOW.get(native, f"ONNX Runtime has no INT8 kernel for {native}"))
    if native == "Resize" and head.node.attributes.get_string("mode", "nearest") != "nearest":
        return _refused("ONNX Runtime resizes integers only by nearest neighbour")
    if native == "AveragePool" and max(head.node.attributes.get_ints("dilations", [1])) > 1:
        return _refused("ONNX Runtime's INT8 AveragePool has no dilation")
    if native == "AveragePool" and _counts_padding_beyond_the_end(head.node):
        return _refused("ONNX Runtime's INT8 AveragePool miscounts padding with ceil_mode")
    if native in SATURATING and not holds_zero(head.node):
        return _refused("its bounds do not hold zero, which a quantized range always does")
    if not head.inputs:
        return _refused("it reads constants only")
    constant = U8 if head.weight is not None else None
    formats = Format("int8", constant, (U8,) * head.inputs, (U8,) * head.outputs)
    return "follow", (Capability(formats),)


def _counts_padding_beyond_the_end(node: ir.Node) -> bool:
    attributes = node.attributes
    return bool(attributes.get_int("ceil_mode", 0) and attributes.get_int("count_include_pad", 0))
