"""Programs: a graph of ATen operators with its constants, and the way to ExportedProgram and back.

The graph is that of `torch.export`, with constants as attributes in place of inputs: it can be
called with tensors alone, and be rewritten without a signature to keep in step.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch._export.verifier import TrainingIRVerifier
from torch.export import ExportedProgram
from torch.export.exported_program import ModuleCallEntry, ModuleCallSignature
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.utils import _pytree as pytree

from octavo.errors import ModelError

_OPERATORS = "quantized_decomposed"
_STATE = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


@dataclass(frozen=True)
class Shown:
    """Where the values of a tensor of the float model are in a rewritten graph.

    Attributes:
        node: name of the node that makes them.
        scale: what its integers are multiplied by; None where it makes the values themselves.
        zero_point: the integer that stands for zero.
    """

    node: str
    scale: float | None = None
    zero_point: int = 0


@dataclass(frozen=True)
class Program:
    """A graph that can be run.

    Attributes:
        graph: placeholders for inputs, `get_attr` for constants, ATen operators, a flat output.
        constants: values of the attributes, by target.
        bounds: what `torch.export` knows of free dimensions.
        shown: where tensors of the float model are that a rewriting moved.
        owners: the group that each node computes, by the node's name; of a built graph.
    """

    graph: fx.Graph = field(repr=False)
    constants: Mapping[str, torch.Tensor] = field(repr=False)
    bounds: Mapping[Any, Any] = field(default_factory=dict, repr=False)
    shown: Mapping[str, Shown] = field(default_factory=dict, repr=False)
    owners: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def inputs(self) -> list[fx.Node]:
        """The placeholders."""
        return [node for node in self.graph.nodes if node.op == "placeholder"]

    @property
    def outputs(self) -> list[fx.Node]:
        """The nodes whose values are returned."""
        return list(self.graph.output_node().args[0])

    @property
    def is_quantized(self) -> bool:
        """Whether it holds integers that stand for real values."""
        return any(is_quantizer(node) for node in self.graph.nodes)

    def copy(self) -> Program:
        """Return a program whose graph can be changed; the constants are shared."""
        return Program(
            copy.deepcopy(self.graph),
            dict(self.constants),
            self.bounds,
            dict(self.shown),
            dict(self.owners),
        )

    def module(self) -> fx.GraphModule:
        """Return a module that runs a copy of the graph."""
        return fx.GraphModule(dict(self.constants), copy.deepcopy(self.graph))


def is_quantizer(node: fx.Node) -> bool:
    """Return whether a node turns real values into integers or back."""
    return node.op == "call_function" and getattr(node.target, "namespace", "") == _OPERATORS


def value_of(node: fx.Node) -> Any:
    """Return the fake value of a node: a tensor, a number, or a tuple of them."""
    return node.meta.get("val")


def unlifted(exported: ExportedProgram) -> Program:
    """Return a program from an ExportedProgram, which is not changed.

    Raises:
        ModelError: it changes its own buffers or inputs, or has no tensor outputs.
    """
    signature = exported.graph_signature
    _check_outputs(signature.output_specs)
    graph = copy.deepcopy(exported.graph)
    held = {**exported.constants, **exported.state_dict}
    constants: dict[str, torch.Tensor] = {}
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for spec, node in zip(signature.input_specs, placeholders, strict=True):
        if spec.kind in _STATE:
            constants[str(spec.target)] = held[str(spec.target)].detach()
            _to_attribute(graph, node, str(spec.target))
        elif not isinstance(value_of(node), torch.Tensor) and not node.users:
            graph.erase_node(node)  # a constant argument, which export has put into the graph
    output = graph.output_node()
    returned = (one for one in output.args[0] if isinstance(one, fx.Node))
    output.args = (tuple(dict.fromkeys(returned)),)
    graph.eliminate_dead_code()
    return Program(graph, constants, dict(exported.range_constraints))


def _check_outputs(specs: Iterable[OutputSpec]) -> None:
    kinds = {spec.kind for spec in specs}
    if kinds - {OutputKind.USER_OUTPUT}:
        raise ModelError(
            "the model changes its own buffers or inputs when it runs; expected a function of its "
            "inputs: capture it in evaluation mode"
        )


def _to_attribute(graph: fx.Graph, node: fx.Node, target: str) -> None:
    """Put an attribute in the place of a placeholder."""
    with graph.inserting_before(node):
        attribute = graph.create_node("get_attr", target, name=node.name)
    attribute.meta = dict(node.meta)
    node.replace_all_uses_with(attribute)
    graph.erase_node(node)


def lifted(program: Program) -> ExportedProgram:
    """Return a program as an ExportedProgram; every node has the name that it has there."""
    graph, nodes = fx.Graph(), {}
    attributes = [node for node in program.graph.nodes if node.op == "get_attr"]
    first = {node.target: node for node in reversed(attributes)}
    for target, node in sorted(first.items()):
        nodes[target] = graph.create_node("placeholder", node.name, name=node.name)
        nodes[target].meta = {"val": value_of(node)}
    placed: dict[fx.Node, fx.Node] = {}
    for node in program.graph.nodes:
        if node.op == "get_attr":
            placed[node] = nodes[node.target]
        elif node.op == "output":
            graph.output(fx.map_arg(node.args[0], placed.__getitem__))
        else:
            placed[node] = graph.node_copy(node, placed.__getitem__)
    state = {str(target): program.constants[str(target)] for target in nodes}
    return ExportedProgram(
        root=torch.nn.Module(),
        graph=graph,
        graph_signature=_signature(program, nodes, placed),
        state_dict=state,
        range_constraints=dict(program.bounds),
        module_call_graph=[ModuleCallEntry("", _call(program))],
        example_inputs=None,
        constants={},
        verifiers=[TrainingIRVerifier],  # the dialect of torch.export, whose operators may write
    )


def _signature(
    program: Program, nodes: Mapping[Any, fx.Node], placed: Mapping[fx.Node, fx.Node]
) -> ExportGraphSignature:
    state = [
        InputSpec(InputKind.BUFFER, TensorArgument(node.name), str(target), persistent=True)
        for target, node in nodes.items()
    ]
    inputs = [
        InputSpec(InputKind.USER_INPUT, TensorArgument(placed[node].name), None)
        for node in program.inputs
    ]
    outputs = [
        OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(placed[node].name), None)
        for node in program.outputs
    ]
    return ExportGraphSignature(state + inputs, outputs)


def _call(program: Program) -> ModuleCallSignature:
    def structure(nodes: list[fx.Node]) -> pytree.TreeSpec:
        return pytree.tree_structure(tuple(0 for _ in nodes))

    inputs = pytree.tree_structure((tuple(0 for _ in program.inputs), {}))
    return ModuleCallSignature([], [], inputs, structure(program.outputs))
