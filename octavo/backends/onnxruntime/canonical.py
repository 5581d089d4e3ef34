"""Bringing a model into the one form that everything else reads.

Each pass changes a model in place, and none changes what it computes beyond float rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
from onnx_ir.passes import common

from octavo.backends.onnxruntime.carried import describe_carried
from octavo.backends.onnxruntime.constants import fold_constants
from octavo.backends.onnxruntime.fold import fold_affine
from octavo.backends.onnxruntime.fold_linear import fold_linear
from octavo.backends.onnxruntime.kinds import SATURATING, only_moves
from octavo.backends.onnxruntime.passes.arithmetic import merge_saturations, simplify_arithmetic
from octavo.backends.onnxruntime.passes.convolutions import (
    convolve_normalizations,
    pad_every_axis,
    shuffle_by_rows,
    take_up_padding,
)
from octavo.backends.onnxruntime.passes.einsum import multiply_einsums
from octavo.backends.onnxruntime.passes.hard import (
    fold_hard_sigmoids,
    recognize_hard_activations,
)
from octavo.backends.onnxruntime.passes.pools import average_globally
from octavo.backends.onnxruntime.passes.products import simplify_products
from octavo.backends.onnxruntime.passes.resizing import simplify_resizes
from octavo.backends.onnxruntime.qdq import Writer
from octavo.backends.onnxruntime.shapes import infer_types
from octavo.backends.onnxruntime.structure import bodies_of

OPSET = 14  # has HardSwish; all else of 13 that inference needs is the same in it


def canonicalize(model: ir.Model) -> ir.Model:
    """Rewrite `model` in place and return it.

    Requires: it calls no functions of its own.

    Ensures: every node and value has a unique name, constants and what is computed of constants are
    initializers that are no inputs, no Identity or inference Dropout is left, operators are spelled
    as ONNX Runtime's integer kernels want them, what scales and shifts the channels of a
    convolution is folded into it, and its activation follows it before values are pooled or moved.
    """
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.RemoveInitializersFromInputsPass()(model)
    drop_passing(model.graph)
    drop_unused_values(model.graph)
    name_nodes(model.graph)
    fold_constants(model.graph)
    if describe_carried(model.graph) is None:  # what keeps a quantized model fast is left alone
        respell(model)
    fold_affine(model.graph)
    fold_linear(model.graph)
    raise_saturations(model.graph)
    common.RemoveUnusedNodesPass()(model)
    return model


def respell(model: ir.Model) -> None:
    """Bring operators into the forms for which ONNX Runtime has integer kernels."""
    for graph in model.graphs():
        graph.opset_imports[""] = max(graph.opset_imports.get("", OPSET), OPSET)
    infer_types(model)
    writer = Writer(model.graph)
    for step in _SPELLINGS:
        step(writer)
        common.RemoveUnusedNodesPass()(model)  # else values seem to have more readers
    model.graph.sort()
    infer_types(model)


def _fold(writer: Writer) -> None:
    fold_affine(writer.graph)


_SPELLINGS: tuple[Callable[[Writer], None], ...] = (
    simplify_arithmetic,
    merge_saturations,
    multiply_einsums,
    simplify_products,
    average_globally,
    take_up_padding,
    pad_every_axis,
    recognize_hard_activations,
    _fold,
    convolve_normalizations,
    _fold,
    fold_hard_sigmoids,
    merge_saturations,
    simplify_resizes,
    shuffle_by_rows,
)


def drop_passing(graph: ir.Graph) -> None:
    """Replace Identity and Dropout, which pass their input on at inference, by what they read.

    One stays where that would take a name from an input, a constant or another output of the model.
    Bodies of If and Loop keep theirs: what a body returns has to be made in it.
    """
    for node in list(graph):
        if node.domain or node.op_type not in ("Identity", "Dropout"):
            continue
        source, output = node.inputs[0], node.outputs[0]
        masked = any(mask.uses() or mask.is_graph_output() for mask in node.outputs[1:])
        named = output.is_graph_output()
        stays = masked or _trains(node) or (named and not _may_be_renamed(source))
        if source is None or stays:
            continue
        output.replace_all_uses_with(source, replace_graph_outputs=named)
        graph.remove(node, safe=True)
        if named:
            source.name = output.name


def drop_unused_values(graph: ir.Graph) -> None:
    """Take the value from a Pad whose mode fills in none; both runtimes look at it in INT8."""
    for node in graph:
        constant = node.attributes.get_string("mode", "constant") == "constant"
        if node.op_type == "Pad" and not node.domain and not constant and len(node.inputs) > 2:
            node.replace_input_with(2, None)


def _trains(node: ir.Node) -> bool:
    """Return whether a Dropout drops values, or may do so."""
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    return mode is not None and (mode.const_value is None or bool(mode.const_value.numpy().item()))


def _may_be_renamed(value: ir.Value | None) -> bool:
    return value is not None and value.producer() is not None and not value.is_graph_output()


def name_nodes(graph: ir.Graph) -> None:
    """Give every node a unique name, the same at every load; names that are unique stay.

    Nodes in the bodies of If and Loop come last, so that they do not change the names of groups.
    """
    bodies = [body for node in graph for body in bodies_of(node)]
    nodes = [*graph, *(node for body in bodies for node in body.all_nodes())]
    taken: set[str] = set()
    for index, node in enumerate(nodes):
        base = node.name or f"{node.op_type}_{index}"
        name, suffix = base, 1
        while name in taken:
            name, suffix = f"{base}_{suffix}", suffix + 1
        taken.add(name)
        node.name = name


def raise_saturations(graph: ir.Graph) -> None:
    """Move each Relu or Clip in front of the MaxPool or other mover of values that it reads.

    The result is the same. Behind a MaxPool, which runs on integers as they are, no quantizer can
    stand for the activation; behind a convolution one does.
    """
    for node in list(graph):
        while (mover := _mover_before(node)) is not None:
            _swap(graph, mover, node)


def _mover_before(node: ir.Node) -> ir.Node | None:
    read = node.inputs[0] if node.op_type in SATURATING and not node.domain else None
    mover = read.producer() if read is not None else None
    if read is None or mover is None or not only_moves(mover) or len(mover.outputs) != 1:
        return None
    source = mover.inputs[0]
    made_here = source is not None and source.producer() is not None
    constant = all(value is None or value.const_value is not None for value in node.inputs[1:])
    alone = len(read.uses()) == 1 and not read.is_graph_output() and mover.graph is node.graph
    return mover if made_here and constant and alone else None


def _swap(graph: ir.Graph, mover: ir.Node, activation: ir.Node) -> None:
    source, last, end = mover.inputs[0], mover.outputs[0], activation.outputs[0]
    if source is None:
        return
    name = end.name
    end.replace_all_uses_with(last, replace_graph_outputs=True)
    activation.replace_input_with(0, source)
    mover.replace_input_with(0, end)
    graph.remove(activation)
    graph.insert_before(mover, activation)
    end.name, end.shape, last.name = f"{source.name}.{activation.name}", source.shape, name
