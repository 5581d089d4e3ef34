"""The formats each kind of group can take in OpenVINO, best first, and what is refused.

Read off the runtime graphs of OpenVINO 2026.4: an operator between DequantizeLinear and
QuantizeLinear either read and made integers, or it did not.
"""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from octavo.backends.onnxruntime import options as onnx
from octavo.backends.onnxruntime.edits import constant_shape, sizes
from octavo.backends.onnxruntime.kinds import RESCALING, SATURATING, TIED, only_moves
from octavo.backends.onnxruntime.options import Head, refused
from octavo.backends.onnxruntime.ties import holds_zero
from octavo.backends.openvino.mend import counts_padding
from octavo.graph import Capability, Role
from octavo.plan import S8, U8, Format
from octavo.target import Target

DYNAMIC = "OpenVINO runs DynamicQuantizeLinear and MatMulInteger in float"
SATURATED = "OpenVINO's INT8 product of two tensors saturates on a processor without VNNI"
PRODUCTS = frozenset({"MatMul", "Gemm"})
IN_FLOAT = frozenset({"Tile", "SpaceToDepth", "HardSigmoid"})
"""Operators that OpenVINO runs in float, of those that ONNX Runtime has an INT8 form of."""
WIDEST_STRIDE = 2  # of an INT8 ConvTranspose; with wider ones some results are wrong
FEWEST_GROUPS = 4  # of single channels that become several in INT8

FEWEST_CHANNELS = 4  # of an INT8 AveragePool; with fewer, small ones run in a kernel that is wrong

Offer = tuple[Role, tuple[Capability, ...]]


def options(head: Head, target: Target) -> Offer:
    """Return the group's role and its formats, best first."""
    if head.kind == "embedding":
        return onnx.options(head, target)
    if head.kind == "recurrent":
        return refused(f"OpenVINO runs a quantized {head.node.op_type} in float")
    if head.dtypes != {"float32"}:
        kinds = ", ".join(sorted(head.dtypes - {"float32"})) or "no tensor"
        return refused(f"only float32 tensors are quantized, here are {kinds}")
    if head.kind in ("conv", "conv_transpose"):
        return _convolution(head, target)
    if head.kind == "matmul":
        return _product(head, target)
    return _between(head)


def _convolution(head: Head, target: Target) -> Offer:
    if reason := onnx.unusable_conv(head):
        return refused(reason)
    if head.kind == "conv_transpose":
        return _transposed(head, target)
    if len(constant_shape(head.node.inputs[1]) or ()) == 5 and _groups(head.node) > 1:
        return refused("OpenVINO runs a grouped convolution in three dimensions in float")
    if _is_thin(head.node):
        return refused("OpenVINO's INT8 of so few channels in groups is not right")
    if _joins_positions(head.node.inputs[0]):
        return refused("OpenVINO runs a convolution in float that reads joined rows or columns")
    formats = onnx.static_formats(head, target, 0, U8)
    dynamic = Capability(Format("int8_dynamic"), "OpenVINO runs ConvInteger in float")
    return "compute", (*map(Capability, formats), dynamic)


def _is_thin(node: ir.Node) -> bool:
    """Return whether a convolution makes several channels of each of two or three.

    OpenVINO 2026.4 takes a kernel for most of them (`jit_gemm`) that leaves out zero points.
    """
    outputs, channels, *_ = constant_shape(node.inputs[1]) or (0, 0)
    return channels == 1 and 1 < _groups(node) < FEWEST_GROUPS and outputs > _groups(node)


def _joins_positions(value: ir.Value | None) -> bool:
    """Return whether a value was joined along another axis than that of channels.

    OpenVINO quantizes the parts, gets a scale and a zero point for every row of what it joins, and
    a convolution takes only such of channels.
    """
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "Concat":
        return False
    axis, rank = int(node.attributes.get_int("axis", 1)), len(sizes(value) or ())
    return axis % rank != 1 if rank else axis != 1


def _transposed(head: Head, target: Target) -> Offer:
    """Return the formats of a ConvTranspose, which runs on integers without a zero point only."""
    if reason := _wrong_transposed(head.node):
        return refused(reason)
    found = onnx.static_formats(head, target, 1, U8)
    formats = [replace(one, inputs=(S8,) * head.inputs) for one in found]
    return "compute", tuple(map(Capability, formats))


def _wrong_transposed(node: ir.Node) -> str | None:
    """Return why a ConvTranspose is not left to OpenVINO's INT8; None where it computes rightly.

    OpenVINO 2026.4 computes something else where a kernel is smaller than its stride, or dilated,
    for some kernels with a stride above 2, and where shapes are free and the output is padded in
    one direction only; without a word.
    """
    _, _, *kernel = constant_shape(node.inputs[1]) or (0, 0)
    strides = list(node.attributes.get_ints("strides", [1] * len(kernel)))
    dilated = any(step > 1 for step in node.attributes.get_ints("dilations", []))
    if len(kernel) != 2 or _groups(node) > 1:
        return "OpenVINO runs a ConvTranspose in float that has groups or other than two dimensions"
    small = any(size < step for size, step in zip(kernel, strides, strict=True))
    uneven = len({*node.attributes.get_ints("output_padding", [])}) > 1 or len({*strides}) > 1
    if dilated or small or uneven or strides[0] > WIDEST_STRIDE:
        return "OpenVINO's INT8 ConvTranspose is not right for this kernel and stride"
    return None


def _groups(node: ir.Node) -> int:
    return int(node.attributes.get_int("group", 1))


def _product(head: Head, target: Target) -> Offer:
    """Return the formats of a matrix product.

    OpenVINO multiplies two activations as integers only where neither has a zero point and the
    second is signed. Both are full-range then.
    """
    if head.weight is None and target.cpu.saturates:
        return refused(SATURATED)
    role, found = onnx.options(head, target)
    static = [one for one in found if one.format.compute == "int8"]
    if all(one.refused for one in static):
        return role, found
    signed = head.weight is None or _follows_concat(head.node)
    formats = [
        replace(one.format, inputs=(S8,) * head.inputs) if signed else one.format for one in static
    ]
    dynamic = Capability(Format("int8_dynamic"), DYNAMIC)
    return role, (*map(Capability, formats), dynamic)


def _follows_concat(node: ir.Node) -> bool:
    """Return whether a product reads what a Concat joined, perhaps moved after.

    OpenVINO moves the quantizer before the Concat, gets a zero point per joined part, and does not
    compile the product.
    """
    value = node.inputs[0]
    maker = value.producer() if value is not None else None
    if maker is None:
        return False
    return maker.op_type == "Concat" or (only_moves(maker) and _follows_concat(maker))


def _between(head: Head) -> Offer:
    node = head.node
    if node.op_type not in (RESCALING | TIED | SATURATING) - IN_FLOAT or node.domain:
        return refused(f"OpenVINO computes {node.op_type} in float")
    if not head.inputs:
        return refused("it reads constants only")
    if reason := _unusable(node):
        return refused(reason)
    constant = U8 if head.weight is not None else None
    wanted = Format("int8", constant, (U8,) * head.inputs, (U8,) * head.outputs)
    return "follow", (Capability(wanted),)


def _unusable(node: ir.Node) -> str | None:
    attributes = node.attributes
    if node.op_type == "Concat" and _leads_to_product(node):
        return "OpenVINO quantizes it for the matrix product behind it"
    if node.op_type == "Concat" and any(r.op_type == "ConvTranspose" for r in _readers(node)):
        return "OpenVINO quantizes it for the ConvTranspose behind it"
    if node.op_type == "AveragePool" and counts_padding(node):
        return "OpenVINO would count padding as the integer 0, which is not the zero point"
    if node.op_type == "AveragePool" and _channels(node) < FEWEST_CHANNELS:
        return "OpenVINO's INT8 average of so few channels is not right"
    if node.op_type == "AveragePool" and attributes.get_int("ceil_mode", 0):
        return "OpenVINO averages in float where ceil_mode is set"
    if node.op_type.endswith("Pool") and max(attributes.get_ints("dilations", [1])) > 1:
        return f"OpenVINO runs a dilated {node.op_type} in float"
    if node.op_type == "Pad" and attributes.get_string("mode", "constant") == "constant":
        return "OpenVINO pads with a number in float"
    if node.op_type == "Resize" and (reason := _unusable_resize(node)):
        return reason
    if node.op_type in SATURATING and not holds_zero(node):
        return "its bounds do not hold zero, which a quantized range always does"
    return None


def _channels(node: ir.Node) -> int:
    """Return the channels that a node reads, as many as anyone needs where they are not known."""
    known = sizes(node.inputs[0]) or ()
    found = known[1] if len(known) > 1 else None
    return FEWEST_CHANNELS if found is None else found


def _unusable_resize(node: ir.Node) -> str | None:
    where = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    nearest = node.attributes.get_string("mode", "nearest") == "nearest"
    if not nearest or where == "tf_crop_and_resize":
        return "OpenVINO resizes integers only by nearest neighbour"
    if len(sizes(node.inputs[0]) or ()) == 3:
        return "OpenVINO resizes a line of values in float"
    return None


def _leads_to_product(node: ir.Node) -> bool:
    """Return whether a matrix product reads what a node makes, perhaps moved before."""
    return any(
        reader.op_type in PRODUCTS or (only_moves(reader) and _leads_to_product(reader))
        for reader in _readers(node)
    )


def _readers(node: ir.Node) -> list[ir.Node]:
    return [reader for value in node.outputs for reader in value.consumers()]
