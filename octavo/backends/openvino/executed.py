"""The precision that the groups of a model ran in.

Whether a group computed on integers is read off the types of the values that enter and leave its
kernel. Between layers that were fused into one kernel no value is stored: there it counts whether
the kernel holds the quantizer of the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from octavo.backends.onnxruntime.load import native
from octavo.backends.openvino.assign import MATRIX_KERNELS, MULTIPLYING, Assignment
from octavo.backends.openvino.kernels import Edge, Kernel
from octavo.backends.openvino.quantizers import Quantizers
from octavo.graph import Graph, Group
from octavo.model import Model
from octavo.plan import Compute


class Executed:
    """What became of a model's groups.

    Attributes:
        kernels: what OpenVINO ran, by name, in its order.
    """

    def __init__(self, graph: Graph, built: Model, kernels: Sequence[Kernel]) -> None:
        nodes = list(native(built).canonical.graph)
        self.kernels = {kernel.name: kernel for kernel in kernels}
        self._graph = graph
        self._assigned = Assignment(graph, nodes, self.kernels)
        self._quantizers = Quantizers.of(nodes)

    def of(self, group: Group) -> tuple[Kernel, ...]:
        """Return the kernels that computed a group, in their order."""
        return tuple(k for k in self.kernels.values() if group.id in self.groups_of(k))

    def groups_of(self, kernel: Kernel) -> tuple[str, ...]:
        """Return ids of the groups that a kernel computed; none for borders and overhead."""
        return self._assigned.groups[kernel.name]

    def compute(self, group: Group) -> Compute:
        """Return the precision that a group ran in."""
        kernels = self.of(group)
        if not kernels:
            return "int8" if self._is_left_out(group) else "fp32"
        kernel = self._home(group, kernels)
        found: Compute | None
        if group.kind in MULTIPLYING:
            found = self._product(group, kernel)
        elif group.kind == "embedding":
            found = "int8_weight" if kernel.inputs[0].integer else None
        else:
            found = "int8" if self._keeps_integers(group, kernel) else None
        return found or ("bf16" if kernel.precision == "bf16" else "fp32")

    def _home(self, group: Group, kernels: Sequence[Kernel]) -> Kernel:
        """Return the kernel that does a group's main work, of those that computed it."""
        owner = self._assigned.owners.by_operator
        named = [k for k in kernels if group.id in self._assigned.names(k.name, owner)]
        usual = MATRIX_KERNELS if group.kind in MULTIPLYING else frozenset[str]()
        for choice in (named, kernels):
            if matrix := [kernel for kernel in choice if kernel.kind in usual]:
                return matrix[-1]
        return (named or list(kernels))[-1]

    def _is_left_out(self, group: Group) -> bool:
        """Return whether the quantizer of its output computed a group, which has no operator."""
        rounded = set[str]().union(*self._quantizers.tensors.values())
        return group.id not in self._assigned.written and bool(rounded & set(group.outputs))

    def _product(self, group: Group, kernel: Kernel) -> Compute | None:
        """Return the compute of a product; None where it multiplied floats."""
        if kernel.kind in MATRIX_KERNELS and len(kernel.inputs) > 1:
            data, weight = (edge.integer for edge in kernel.inputs[:2])
        else:
            data = all(self._reads_integers(name, kernel) for name in group.inputs)
            weight = self._weight_is_integer(group, kernel)
        if data and weight:
            return "int8"
        return "int8_weight" if weight and self._graph.op_by_name[group.id].weights else None

    def _weight_is_integer(self, group: Group, kernel: Kernel) -> bool:
        """Return whether the constant that a product multiplies by is integers, if it has one."""
        names = self._graph.op_by_name[group.id].weights[:1]
        stored = {
            f"{name}{end}" for name in names for end in ("", ".s8", f".{group.id}")
        }  # as the rewriter calls it
        found = [edge.integer for edge in kernel.inputs if edge.kernel.split("/")[0] in stored]
        return all(found) and bool(found or not names)

    def _keeps_integers(self, group: Group, kernel: Kernel) -> bool:
        """Return whether all that a group reads and makes is integers."""
        reads = [self._reads_integers(name, kernel) for name in group.inputs]
        makes = [self._makes_integers(name, kernel) for name in group.outputs]
        return bool(reads) and all(reads) and all(makes)

    def _reads_integers(self, tensor: str, kernel: Kernel) -> bool:
        """Return whether a tensor is integers where a kernel reads it."""
        if self._is_quantized_inside(tensor, kernel):
            return True
        producer = self._producer(tensor)
        if producer is not None and producer.id in self.groups_of(kernel):
            moves = producer.kind == "move"
            return moves and all(self._reads_integers(name, kernel) for name in producer.inputs)
        entering = self._data(kernel)
        doors = [edge for edge in entering if self._leads_to(edge, tensor)] or entering
        return bool(doors) and all(edge.integer for edge in doors)

    def _makes_integers(self, tensor: str, kernel: Kernel) -> bool:
        """Return whether a tensor is integers when it leaves the group that makes it."""
        if self._is_quantized_inside(tensor, kernel):
            return True
        readers = self._readers(tensor)
        inside = [reader for reader in readers if reader.id in self.groups_of(kernel)]
        if readers and len(inside) == len(readers):  # folded into an integer product behind it
            return all(r.kind in MULTIPLYING and self._product(r, kernel) for r in inside)
        return kernel.makes_integers

    def _is_quantized_inside(self, tensor: str, kernel: Kernel) -> bool:
        layers = self._assigned.layers[kernel.name]
        return any(self._quantizers.rounds(layer, tensor) for layer in layers)

    def _producer(self, tensor: str) -> Group | None:
        """Return the group that makes a tensor, before it is quantized.

        The described model may be the built one itself, where the float model is not at hand.
        """
        found = self._graph.producer.get(tensor)
        if found is None or found.id in self._quantizers.dequantizers:
            return self._graph.producer.get(self._quantizers.source(tensor))
        return found

    def _readers(self, tensor: str) -> list[Group]:
        """Return the groups that read a tensor, or what is dequantized from it."""
        return self._read_by.get(self._quantizers.source(tensor), [])

    @cached_property
    def _read_by(self) -> dict[str, list[Group]]:
        found: dict[str, list[Group]] = {}
        for name, groups in self._graph.consumers.items():
            readers = [group for group in groups if group.id not in self._quantizers.tensors]
            found.setdefault(self._quantizers.source(name), []).extend(readers)
        return found

    def _data(self, kernel: Kernel) -> list[Edge]:
        """Return what a kernel reads but constants."""
        return [edge for edge in kernel.inputs if self.kernels[edge.kernel].kind != "Const"]

    def _leads_to(self, edge: Edge, tensor: str) -> bool:
        """Return whether what comes in at an edge was made from a tensor, and by no other group."""
        producer = self._producer(tensor)
        groups = self.groups_of(self.kernels[edge.kernel])
        if groups:
            return producer is not None and producer.id in groups
        above = self._data(self.kernels[edge.kernel])
        if not above:
            return producer is None and edge.kernel == self._quantizers.source(tensor)
        return any(self._leads_to(other, tensor) for other in above)
