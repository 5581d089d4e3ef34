"""Bringing models of older operator sets to the one that quantization needs.

onnx's converter leaves the bodies of If and Loop as they are, sets no rounding for the Resize of
opset 10, and needs the whole model in one message of less than 2 GB. What changed between opsets 7
and 13 is little enough to be written down here; only older models go through the converter.

Source: the operators' version history in ONNX (docs/Changelog.md of onnx).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir
from onnx import version_converter

from octavo.arrays import Array
from octavo.backends.onnxruntime.shapes import infer_types
from octavo.backends.onnxruntime.structure import change_structure, inlined
from octavo.errors import ModelError

MINIMUM_OPSET = 13  # the first with a scale per channel in DequantizeLinear
IR_VERSION = 7  # the format of that time; before 4, constants had to be inputs too
OLDEST = 7  # before it, operands were broadcast in ways of their own


def upgrade(model: ir.Model) -> ir.Model:
    """Return a copy of a model in opset `MINIMUM_OPSET` or later, without functions of its own.

    Raises:
        ModelError: an operator cannot be brought there; it is named.
    """
    changed = inlined(model)
    if changed.opset_imports.get("", MINIMUM_OPSET) < OLDEST:
        convert = version_converter.convert_version
        changed = change_structure(changed, lambda proto: convert(proto, OLDEST))
    changed.ir_version = max(changed.ir_version, IR_VERSION)
    opset = changed.opset_imports.get("", MINIMUM_OPSET)
    if opset < MINIMUM_OPSET:
        _apply_rules(changed, opset)
    return changed


def _apply_rules(model: ir.Model, opset: int) -> None:
    nodes = [node for node in model.graph.all_nodes() if node.op_type in RULES and not node.domain]
    if not all(_is_ranked(node) for node in nodes if node.op_type in FLATTENING):
        infer_types(model)
    for node in nodes:
        until, rule = RULES[node.op_type]
        if opset < until:
            rule(node)
    for graph in model.graphs():
        graph.opset_imports[""] = MINIMUM_OPSET


def _is_ranked(node: ir.Node) -> bool:
    """Return whether the number of axes that a node reads is known."""
    return node.inputs[0] is not None and node.inputs[0].shape is not None


def _constant(node: ir.Node, part: str, array: Array) -> ir.Value:
    """Return a new constant in the graph of a node, named after it."""
    graph = node.graph
    base = name = f"{node.outputs[0].name}.{part}"
    index = 1
    while name in graph.initializers:
        name, index = f"{base}.{index}", index + 1
    tensor = ir.tensor(array, name=name)
    value = ir.Value(
        name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def _pop(node: ir.Node, name: str) -> ir.Attr | None:
    return node.attributes.pop(name, None)


def _set_input(node: ir.Node, index: int, value: ir.Value | None) -> None:
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, value)


def _numbers_to_input(attribute: str, index: int) -> Callable[[ir.Node], None]:
    """Return the rule that makes an input of an attribute that holds integers, where it is set."""

    def rule(node: ir.Node) -> None:
        if found := _pop(node, attribute):
            numbers = np.atleast_1d(np.asarray(found.value, np.int64))
            _set_input(node, index, _constant(node, attribute, numbers))

    return rule


def _clip(node: ir.Node) -> None:
    for index, attribute in enumerate(("min", "max"), start=1):
        if found := _pop(node, attribute):
            _set_input(node, index, _constant(node, attribute, _like(node, found.as_float())))


def _pad(node: ir.Node) -> None:
    _numbers_to_input("pads", 1)(node)
    if found := _pop(node, "value"):
        _set_input(node, 2, _constant(node, "value", _like(node, found.as_float())))


def _like(node: ir.Node, number: float) -> Array:
    """Return a number in the type that a node reads, float32 where that is not known."""
    source = node.inputs[0]
    dtype = None if source is None else source.dtype
    return np.asarray(number, np.float32 if dtype is None else dtype.numpy())


def _slice(node: ir.Node) -> None:
    for index, attribute in ((1, "starts"), (2, "ends"), (3, "axes")):
        _numbers_to_input(attribute, index)(node)


def _resize(node: ir.Node) -> None:
    """Say which pixels Resize takes, and leave room for the regions that it can read since.

    What opset 10 leaves open is what ONNX Runtime does in it: pixels are counted from the corner,
    and the nearest one is found by rounding down when enlarging, up when reducing.
    """
    scales = node.inputs[1] if len(node.inputs) > 1 else None
    _set_input(node, 2, scales)
    _set_input(node, 1, None)
    node.attributes["coordinate_transformation_mode"] = ir.AttrString(
        "coordinate_transformation_mode", "asymmetric"
    )
    rounding = "ceil" if _reduces(node, scales) else "floor"
    node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", rounding)


def _reduces(node: ir.Node, scales: ir.Value | None) -> bool:
    if scales is None or scales.const_value is None:
        return False
    found = scales.const_value.numpy()
    nearest = node.attributes.get_string("mode", "nearest") == "nearest"
    if nearest and found.min() < 1 < found.max():
        raise ModelError(
            f"{node.op_type} {node.name!r} enlarges and reduces at once, which opset 11 and later "
            "cannot say; export the model again with opset 11 or later"
        )
    return bool(found.min() < 1)


def _upsample(node: ir.Node) -> None:
    if found := _pop(node, "scales"):
        _set_input(node, 1, _constant(node, "scales", np.asarray(found.as_floats(), np.float32)))
    node.op_type = "Resize"
    _resize(node)


def _batch_normalization(node: ir.Node) -> None:
    spatial = _pop(node, "spatial")
    if spatial is not None and not spatial.as_int():
        raise ModelError(
            f"BatchNormalization {node.name!r} has statistics per pixel (spatial=0), which opset 9 "
            "and later do not have; export the model again with a later opset"
        )


def _scan(node: ir.Node) -> None:
    raise ModelError(
        f"Scan {node.name!r} is of opset 8, which has an axis for the batch that later ones do "
        "not have; export the model again with a later opset"
    )


def _dropout(node: ir.Node) -> None:
    _pop(node, "ratio")  # matters in training only


def _scatter(node: ir.Node) -> None:
    node.op_type = "ScatterElements"


def _flattening(node: ir.Node) -> None:
    """Let a Softmax work on one axis as it did on all axes from `axis` on.

    Where those are more than the last one, they are flattened before it and restored behind it.
    """
    axis = node.attributes.get_int("axis", 1)
    source, output = node.inputs[0], node.outputs[0]
    rank = len(source.shape) if source is not None and source.shape is not None else None
    node.attributes["axis"] = ir.AttrInt64("axis", -1)
    if source is None or (rank is not None and axis % rank == rank - 1):
        return
    shape = ir.node("Shape", [source], name=f"{node.name}.shape")
    flat = ir.node("Flatten", [source], {"axis": axis}, name=f"{node.name}.flat")
    node.replace_input_with(0, flat.outputs[0])
    restored = ir.node("Reshape", [output, shape.outputs[0]], name=f"{node.name}.restored")
    result = restored.outputs[0]
    output.replace_all_uses_with(result, replace_graph_outputs=True)
    restored.replace_input_with(0, output)
    result.name, result.type, result.shape = output.name, output.type, output.shape
    output.name, output.shape = f"{output.name}.flat", None
    node.graph.insert_before(node, [shape, flat])
    node.graph.insert_after(node, restored)


FLATTENING = frozenset({"Softmax", "LogSoftmax", "Hardmax"})

RULES: Mapping[str, tuple[int, Callable[[ir.Node], None]]] = {
    "BatchNormalization": (9, _batch_normalization),
    "Clip": (11, _clip),
    "Dropout": (12, _dropout),
    "Hardmax": (13, _flattening),
    "LogSoftmax": (13, _flattening),
    "Pad": (11, _pad),
    "ReduceSum": (13, _numbers_to_input("axes", 1)),
    "Resize": (11, _resize),
    "Scan": (9, _scan),
    "Scatter": (11, _scatter),
    "Slice": (10, _slice),
    "Softmax": (13, _flattening),
    "Split": (13, _numbers_to_input("split", 1)),
    "Squeeze": (13, _numbers_to_input("axes", 1)),
    "TopK": (10, _numbers_to_input("k", 1)),
    "Unsqueeze": (13, _numbers_to_input("axes", 1)),
    "Upsample": (10, _upsample),
}
"""For each operator, the opset that changed it and what brings it there."""
