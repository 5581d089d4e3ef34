"""Bringing a captured graph into the form that is described, edited and rewritten.

Nodes get the names of the modules that they come from, constants are computed once, BatchNorm is
folded, and every product of rows with a constant matrix is an `aten.linear`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode

from octavo.backends.pytorch.channels import argument, is_constant, spread
from octavo.backends.pytorch.kinds import CONVOLUTIONS, native_of
from octavo.backends.pytorch.program import Program, value_of

aten = torch.ops.aten


COUNTED = {
    aten.conv1d.padding: aten.conv1d.default,
    aten.conv2d.padding: aten.conv2d.default,
    aten.conv3d.padding: aten.conv3d.default,
}
"""Convolutions whose padding is a word, and those whose padding is numbers."""


def canonical(program: Program) -> Program:
    """Return the same function in canonical form; the given program is not changed."""
    changed = program.copy()
    _reshape_views(changed)
    _count_padding(changed)
    _compute_constants(changed)
    _spell_products(changed)
    _fold_normalizations(changed)
    _tidy(changed)
    return changed


def named(program: Program) -> Program:
    """Return a copy whose nodes are called after the modules that they come from."""
    graph = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    ordered = [*program.inputs, *(n for n in program.graph.nodes if n.op != "placeholder")]
    for node in ordered:
        if node.op == "output":
            graph.output(fx.map_arg(node.args[0], placed.__getitem__))
            continue
        copied = graph.create_node(
            node.op,
            node.target,
            fx.map_arg(node.args, placed.__getitem__),
            fx.map_arg(node.kwargs, placed.__getitem__),
            name=_name_of(node),
        )
        copied.meta = dict(node.meta)
        placed[node] = copied
    return Program(graph, dict(program.constants), program.bounds)


def _name_of(node: fx.Node) -> str:
    if node.op != "call_function":
        return str(node.name)
    path, kind = next(reversed(_stack(node)), ("", ""))
    leaf = kind.startswith("torch.nn.modules.") and not kind.startswith(
        "torch.nn.modules.container"
    )
    words = path if leaf and path else f"{path}.{native_of(node)}"
    return words.strip(".").replace(".", "_")


def _stack(node: fx.Node) -> list[tuple[str, str]]:
    """Return path and type of every module that a node is inside of, the innermost last."""
    found = node.meta.get("nn_module_stack") or {}
    names = (
        (path, kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}")
        for path, kind in found.values()
    )
    return [(path.removeprefix("L['self']").strip("."), kind) for path, kind in names]


def _reshape_views(program: Program) -> None:
    """Let a view copy where it has to: integer kernels lay channels out last."""
    for node in program.graph.nodes:
        if node.target is aten.view.default:
            node.target = aten.reshape.default


def _count_padding(program: Program) -> None:
    """Give the padding of convolutions in numbers, where it is the same on both sides."""
    for node in program.graph.nodes:
        overload = COUNTED.get(node.target)
        word = argument(node, 4, "padding")
        if overload is None or not isinstance(word, str):
            continue
        rank = value_of(node).ndim - 2
        kernel = value_of(node.args[1]).shape[2:]
        reach = zip(spread(argument(node, 5, "dilation", 1), rank), kernel, strict=True)
        sizes = [dilation * (taps - 1) if word == "same" else 0 for dilation, taps in reach]
        if all(size % 2 == 0 for size in sizes):
            node.target = overload
            node.update_arg(4, [size // 2 for size in sizes])


def _compute_constants(program: Program) -> None:
    """Compute what depends on constants alone."""

    def held(node: fx.Node) -> torch.Tensor:
        return program.constants[str(node.target)]

    for node in list(program.graph.nodes):
        inputs = node.all_input_nodes
        if node.op != "call_function" or not inputs or not isinstance(value_of(node), torch.Tensor):
            continue
        if all(is_constant(one) for one in inputs):
            args, kwargs = fx.map_arg((node.args, node.kwargs), held)
            with torch.no_grad():
                value = node.target(*args, **kwargs).contiguous()
            only = inputs[0] if len(inputs) == 1 else None
            name = _own_name(program, only, f"{node.name}_value")
            put(program, node, name, value)


def put(program: Program, node: fx.Node, name: str, value: torch.Tensor) -> fx.Node:
    """Put a constant in the place of a node and return it."""
    attribute = attribute_before(program, node, name, value)
    node.replace_all_uses_with(attribute)
    program.graph.erase_node(node)
    return attribute


def attribute_before(program: Program, node: fx.Node, name: str, value: torch.Tensor) -> fx.Node:
    """Return a new constant, to be read by `node` and what comes after it."""
    constants = program.constants
    assert isinstance(constants, dict)
    constants[name] = value.detach()
    with program.graph.inserting_before(node):
        attribute = program.graph.create_node("get_attr", name, name=name.replace(".", "_"))
    mode = mode_of(program)
    attribute.meta["val"] = (
        mode.from_tensor(value, static_shapes=True) if mode is not None else value
    )
    return attribute


def mode_of(program: Program) -> FakeTensorMode | None:
    """Return what makes the fake values of a program; None where it has none."""
    for node in program.graph.nodes:
        mode = getattr(value_of(node), "fake_mode", None)
        if mode is not None:
            return mode
    return None


def constant_of(program: Program, node: Any) -> torch.Tensor | None:
    """Return the value of a constant; None for all other nodes."""
    if isinstance(node, fx.Node) and node.op == "get_attr":
        return program.constants[str(node.target)]
    return None


def free_name(program: Program, name: str) -> str:
    """Return `name`, with a number behind it where the program has such a constant."""
    names = (name, *(f"{name}_{number}" for number in range(1, len(program.constants) + 2)))
    return next(one for one in names if one not in program.constants)


def _spell_products(program: Program) -> None:
    """Write products with a constant matrix as `aten.linear`, whose weight is transposed."""
    for node in list(program.graph.nodes):
        if node.op != "call_function":
            continue
        native = native_of(node)
        if native in ("matmul", "mm"):
            rows, weight, bias = node.args[0], node.args[1], None
        elif native == "addmm" and not node.kwargs:
            bias, rows, weight = node.args[:3]
        else:
            continue
        matrix, added = constant_of(program, weight), constant_of(program, bias)
        if matrix is None or matrix.ndim != 2 or constant_of(program, rows) is not None:
            continue
        if bias is None or (added is not None and added.ndim == 1):
            _write_linear(program, node, rows, weight, bias)


def _write_linear(
    program: Program, node: fx.Node, rows: Any, weight: Any, bias: fx.Node | None
) -> None:
    matrix = program.constants[str(weight.target)].t().contiguous()
    name = _own_name(program, weight, str(weight.target))
    turned = attribute_before(program, node, name, matrix)
    node.target = aten.linear.default
    node.args = (rows, turned, bias) if bias is not None else (rows, turned)


def _fold_normalizations(program: Program) -> None:
    """Fold a BatchNorm that alone reads a convolution or a linear layer into its constants."""
    for node in list(program.graph.nodes):
        if not isinstance(node.target, OpOverload) or "batch_norm" not in native_of(node):
            continue
        normalized = _statistics(program, node)
        source = node.args[0]
        if normalized is None or not isinstance(source, fx.Node) or source.op != "call_function":
            continue
        if native_of(source) in CONVOLUTIONS and len(source.users) == 1:
            readers = list(node.users) if native_of(node).startswith("_native") else [node]
            if _fold(program, source, *normalized):
                for reader in readers:
                    reader.replace_all_uses_with(source)


def _statistics(program: Program, node: fx.Node) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return what a BatchNorm multiplies by and adds; None where it is not constant."""
    given = [constant_of(program, one) for one in node.args[1:5]]
    mean, variance = given[2:]
    native = native_of(node).startswith("_native")
    if node.target is not aten.batch_norm.default and not native:
        return None
    training = False if native else bool(node.args[5])
    if mean is None or variance is None or training:
        return None
    epsilon = float(node.args[6 if native else 7])
    factor = (variance.double() + epsilon).rsqrt()
    factor = factor if given[0] is None else factor * given[0].double()
    shift = -mean.double() * factor
    return factor, shift if given[1] is None else shift + given[1].double()


def _fold(program: Program, node: fx.Node, factor: torch.Tensor, shift: torch.Tensor) -> bool:
    weight = constant_of(program, node.args[1])
    given = node.args[2] if len(node.args) > 2 else None
    bias = constant_of(program, given)
    if weight is None or (given is not None and bias is None):
        return False
    scaled = weight.double() * factor.reshape(-1, *[1] * (weight.ndim - 1))
    added = shift if bias is None else bias.double() * factor + shift
    stem = str(node.args[1].target).removesuffix(".weight")
    bias_name = f"{stem}.bias" if stem != str(node.args[1].target) else f"{node.name}_bias"
    name = _own_name(program, node.args[1], f"{node.name}_weight")
    new = attribute_before(program, node, name, scaled.to(weight.dtype))
    name = _own_name(program, given, bias_name)
    row = attribute_before(program, node, name, added.to(weight.dtype))
    node.args = (node.args[0], new, row, *node.args[3:])
    return True


def _own_name(program: Program, constant: fx.Node | None, otherwise: str) -> str:
    """Return the name of a constant that has one reader, else a new one."""
    if constant is not None and len(constant.users) == 1:
        return str(constant.target)
    return free_name(program, otherwise)


def _tidy(program: Program) -> None:
    """Remove what nothing reads, nodes and constants."""
    program.graph.eliminate_dead_code()
    used = {str(node.target) for node in program.graph.nodes if node.op == "get_attr"}
    constants = program.constants
    assert isinstance(constants, dict)
    for name in set(constants) - used:
        del constants[name]
    program.graph.lint()
