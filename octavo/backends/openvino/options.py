"""The formats each kind of group can take in OpenVINO, best first, and what is refused.

They are those of ONNX Runtime, whose file OpenVINO runs, but for what is said here. Read off the
runtime graphs of OpenVINO 2026.4.

Products of two activations take signed integers: OpenVINO multiplies only where neither operand has
a zero point and the second is signed.
"""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from octavo.backends.onnxruntime import options as onnx
from octavo.backends.onnxruntime.kinds import only_moves
from octavo.backends.onnxruntime.options import Head
from octavo.backends.openvino.mend import counts_padding
from octavo.graph import Capability, Role
from octavo.plan import S8, Format
from octavo.target import Target

DYNAMIC = "OpenVINO runs DynamicQuantizeLinear and MatMulInteger in float"
PRODUCTS = frozenset({"MatMul", "Gemm"})


def options(head: Head, target: Target) -> tuple[Role, tuple[Capability, ...]]:
    """Return the group's role and its formats, best first."""
    if reason := _only_float(head):
        return "float", (Capability(Format("int8"), reason),)
    role, found = onnx.options(head, target)
    return role, tuple(_here(head, capability) for capability in found)


def _only_float(head: Head) -> str | None:
    """Return why a group that ONNX Runtime computes on integers is left alone here."""
    node = head.node
    if node.op_type == "Tile":
        return "OpenVINO repeats values in float only"
    if node.op_type == "Concat" and _leads_to_product(node):
        return "OpenVINO quantizes it for the matrix product behind it"
    if node.op_type != "AveragePool":
        return None
    if counts_padding(node):
        return "OpenVINO would count padding as the integer 0, which is not the zero point"
    if node.attributes.get_int("ceil_mode", 0):
        return "OpenVINO averages in float where ceil_mode is set"
    return None


def _leads_to_product(node: ir.Node) -> bool:
    """Return whether a matrix product reads what a node makes, perhaps moved before."""
    readers = [reader for value in node.outputs for reader in value.consumers()]
    return any(
        reader.op_type in PRODUCTS or (only_moves(reader) and _leads_to_product(reader))
        for reader in readers
    )


def _here(head: Head, capability: Capability) -> Capability:
    wanted = capability.format
    if wanted.compute == "int8_dynamic":
        return replace(capability, refused=DYNAMIC)
    if head.kind != "matmul" or capability.refused:
        return capability
    if head.weight is None or _follows_concat(head.node):
        return replace(capability, format=replace(wanted, inputs=(S8,) * head.inputs))
    return capability


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
