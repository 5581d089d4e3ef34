"""An ONNX model in neutral terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from octavo.backends.onnxruntime.carried import carried, describe_carried
from octavo.backends.onnxruntime.channels import linear_of, scaling_of
from octavo.backends.onnxruntime.kinds import ARGUMENT_INPUTS, KINDS, SATURATING, TIED
from octavo.backends.onnxruntime.load import dtype_name, native
from octavo.backends.onnxruntime.options import Head, Options, options
from octavo.backends.onnxruntime.shapes import infer, macs, shape_of
from octavo.backends.onnxruntime.structure import bodies_of
from octavo.backends.onnxruntime.ties import find_ties, holds_zero
from octavo.graph import Capability, Graph, Group, Kind, Op, Role, Tensor
from octavo.model import Model
from octavo.plan import Format
from octavo.target import Target

Values = Mapping[str, ir.Value]

IN_BODIES = "what it runs in its bodies stays in float: only the main graph is quantized"


@dataclass(frozen=True)
class Chain:
    """The operators of one group: a main one and what the runtime fuses behind it."""

    nodes: tuple[ir.Node, ...]

    @property
    def head(self) -> ir.Node:
        """The main operator."""
        return self.nodes[0]

    @property
    def tail(self) -> ir.Node:
        """The operator whose outputs leave the group."""
        return self.nodes[-1]


def describe(model: Model, target: Target, rules: Options = options) -> Graph:
    """Return the graph of a model for a target; `Backend.graph`.

    Args:
        model: the model.
        target: where it will run.
        rules: tell what a group can be in the runtime.
    """
    canonical = native(model).canonical
    values = infer(canonical, target.shapes)
    chains = find_chains(canonical.graph)
    ops = {str(node.name): _op(node, values) for node in canonical.graph}
    groups = tuple(_group(chain, ops, values, target, rules) for chain in chains)
    return Graph(
        ops=tuple(ops.values()),
        tensors=_tensors(canonical.graph, groups, ops, values),
        groups=groups,
        inputs=tuple(spec.name for spec in model.inputs),
        outputs=tuple(spec.name for spec in model.outputs),
        fingerprint=native(model).fingerprint,
        quantized=describe_carried(canonical.graph),
    )


def kind_of(node: ir.Node) -> Kind:
    """Return the neutral kind of a node."""
    if node.domain not in ("", "ai.onnx", "com.microsoft"):
        return "other"
    if node.op_type == "Gather" and _is_float_constant(node.inputs[0]):
        return "embedding"
    return KINDS.get(node.op_type, "other")


def is_constant(value: ir.Value | None) -> bool:
    """Return whether a value is an initializer."""
    return value is not None and value.const_value is not None


def _is_float_constant(value: ir.Value | None) -> bool:
    return value is not None and is_constant(value) and value.dtype == ir.DataType.FLOAT


def operands(node: ir.Node) -> Sequence[ir.Value | None]:
    """Return the inputs of a node without shapes, indices and bounds."""
    return node.inputs[:1] if node.op_type in ARGUMENT_INPUTS else node.inputs


def activations(node: ir.Node) -> list[ir.Value]:
    """Return the values a node computes with: no constants, and no shapes, indices or bounds."""
    inputs = node.inputs[1:2] if kind_of(node) == "embedding" else operands(node)
    found = [value for value in inputs if value is not None and not is_constant(value)]
    return found + captured(node)


def captured(node: ir.Node) -> list[ir.Value]:
    """Return the values of the outer graph that the bodies of a node read."""
    found = {
        id(value): value
        for body in bodies_of(node)
        for inner in body.all_nodes()
        for value in inner.inputs
        if value is not None and value.graph is node.graph and not is_constant(value)
    }
    return list(found.values())


def find_chains(graph: ir.Graph) -> list[Chain]:
    """Partition the nodes into groups, in the order of their main operators."""
    taken: set[int] = set()
    chains = []
    for node in graph:
        if id(node) in taken:
            continue
        chain = _absorb(node)
        taken.update(id(member) for member in chain.nodes)
        chains.append(chain)
    return chains


def _absorb(node: ir.Node) -> Chain:
    nodes = [node]
    kind = kind_of(node)
    if node.op_type == "MatMul" and is_constant(node.inputs[1]):
        nodes += _next(nodes[-1], _adds_bias)
    if (
        kind in ("conv", "conv_transpose", "matmul", "add", "mul", "concat", "pool")
        and node.op_type not in TIED
    ):
        nodes += _next(nodes[-1], _saturates)
    return Chain(tuple(nodes))


def _next(node: ir.Node, fits: Callable[[ir.Node], bool]) -> list[ir.Node]:
    output = node.outputs[0]
    uses = tuple(output.uses())
    if len(uses) != 1 or output.is_graph_output():
        return []
    reader = uses[0].node
    return [reader] if reader.graph is node.graph and fits(reader) else []


def _saturates(node: ir.Node) -> bool:
    bounds = [value for value in node.inputs[1:] if value is not None]
    if node.op_type not in SATURATING or node.domain or not all(map(is_constant, bounds)):
        return False
    return holds_zero(node)


def _adds_bias(node: ir.Node) -> bool:
    constants = [value for value in node.inputs if _is_float_constant(value)]
    if node.op_type != "Add" or node.domain or len(constants) != 1:
        return False
    shape = shape_of(constants[0])
    return shape is not None and len(shape) == 1


def _op(node: ir.Node, values: Values) -> Op:
    constants = [v for v in node.inputs if v is not None and _is_float_constant(v)]
    arguments = [v for v in node.inputs if v is not None and not is_constant(v)]
    shown = ("group", "kernel_shape", "strides", "axis", "perm", "transB")
    return Op(
        name=str(node.name),
        kind=kind_of(node),
        native=node.op_type,
        inputs=tuple(dict.fromkeys(str(v.name) for v in arguments + captured(node))),
        outputs=tuple(str(v.name) for v in node.outputs if v.name),
        weights=tuple(str(v.name) for v in constants),
        macs=macs(node, values),
        attributes={name: node.attributes[name].value for name in shown if name in node.attributes},
        linear=linear_of(node, values),
        scaling=scaling_of(node, values),
    )


def _group(
    chain: Chain, ops: Mapping[str, Op], values: Values, target: Target, rules: Options
) -> Group:
    names = tuple(str(node.name) for node in chain.nodes)
    inputs = activations(chain.head)
    outputs = [value for value in chain.tail.outputs if value.name]
    known = [values.get(str(value.name), value) for value in (*inputs, *outputs)]
    index, weight = _weight(chain.head)
    head = Head(
        node=chain.head,
        kind=kind_of(chain.head),
        inputs=len(inputs),
        outputs=len(outputs),
        dtypes=frozenset(dtype_name(value) for value in known),
        weight=weight,
        weight_index=index,
        saturates=chain.tail.op_type in SATURATING and len(chain.nodes) > 1,
    )
    role, capabilities = _role_and_formats(chain, head, target, rules)
    return Group(
        id=names[0],
        kind=head.kind,
        role=role,
        ops=names,
        inputs=tuple(str(value.name) for value in inputs),
        outputs=tuple(str(value.name) for value in outputs),
        options=capabilities,
        pattern=_pattern(chain, values),
        macs=sum(ops[name].macs for name in names),
    )


def _role_and_formats(
    chain: Chain, head: Head, target: Target, rules: Options
) -> tuple[Role, tuple[Capability, ...]]:
    if head.kind == "control":
        return "float", (Capability(Format("int8"), IN_BODIES),)
    multiplies = head.kind in ("conv", "conv_transpose", "matmul")
    if reason := carried(chain.head, chain.tail, multiplies=multiplies):
        return "float", (Capability(Format("int8"), reason),)
    return rules(head, target)


def _weight(node: ir.Node) -> tuple[int, ir.Value | None]:
    limit = None if node.op_type == "Concat" else 2  # the third input of others is a bias
    for index, value in enumerate(operands(node)[:limit]):
        if value is not None and _is_float_constant(value):
            return index, value
    return 0, None


def _pattern(chain: Chain, values: Values) -> str:
    def one(node: ir.Node) -> str:
        inputs = [values.get(str(v.name), v) if v is not None else None for v in node.inputs]
        shapes = ",".join(str(shape_of(value)) for value in inputs)
        attributes = ",".join(
            f"{name}={value.value}"
            for name, value in sorted(node.attributes.items())
            if value.type not in (ir.AttributeType.GRAPH, ir.AttributeType.TENSOR)
        )
        return f"{node.op_type}({shapes};{attributes})"

    return "+".join(one(node) for node in chain.nodes)


def _tensors(
    graph: ir.Graph, groups: tuple[Group, ...], ops: Mapping[str, Op], values: Values
) -> dict[str, Tensor]:
    names = dict.fromkeys(str(value.name) for value in graph.inputs)
    for op in ops.values():
        names.update(dict.fromkeys((*op.inputs, *op.outputs)))
    ties = find_ties(graph, [group for group in groups if group.formats])
    return {name: replace(_tensor(name, values), tie=ties.get(name)) for name in names}


def _tensor(name: str, values: Values) -> Tensor:
    value = values.get(name)
    shape = shape_of(value)
    channel_axis = None if shape is None or len(shape) < 2 else (1 if len(shape) > 3 else -1)
    dtype = "unknown" if value is None else dtype_name(value)
    return Tensor(name=name, dtype=dtype, shape=shape, channel_axis=channel_axis)
