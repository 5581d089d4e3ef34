"""Which groups of a model each kernel computed: by the names of layers, then by what is around."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

import onnx_ir as ir

from octavo.backends.openvino.kernels import Kernel
from octavo.backends.openvino.owners import Owners, joined
from octavo.backends.openvino.twins import find_twins
from octavo.graph import Graph, Group

MULTIPLYING = frozenset({"conv", "conv_transpose", "matmul"})
MATRIX_KERNELS = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul"})
STORED = frozenset({"Const", "Input", "Output"})
ROUNDED = ".quantized"
"""What is appended to the name of a tensor that is rounded."""
GLUE = STORED | {"Reorder", "Convert", "FakeQuantize", "Eltwise", "Subgraph"}
"""What OpenVINO puts between the layers of a model: where it has no name, it is no group's."""


@dataclass
class Assignment:
    """Gives kernels to groups.

    Attributes:
        graph: the float model.
        nodes: the operators of the built model, in their order.
        kernels: what OpenVINO ran, by name, in its order.
        groups: ids of the groups that each kernel computed, by the kernel's name; none for borders
            and overhead.
    """

    graph: Graph
    nodes: Sequence[ir.Node]
    kernels: dict[str, Kernel]
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.owners = Owners.of(self.graph)
        self._add_named()
        self._add_lost_products()
        self._add_nameless_kernels()
        self._add_nameless_groups()

    @cached_property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The layers that were fused into each kernel, its own name among them."""
        values = (value for node in self.nodes for value in node.outputs)
        known = frozenset(str(named.name) for named in (*self.nodes, *values))
        return {
            name: tuple(dict.fromkeys((*joined(kernel.layers, known), name)))
            for name, kernel in self.kernels.items()
        }

    @cached_property
    def written(self) -> frozenset[str]:
        """Groups that the built model has an operator of."""
        names = {str(node.name) for node in self.nodes}
        return frozenset(g.id for g in self.graph.groups if not names.isdisjoint(g.ops))

    def names(self, kernel: str, owner: Callable[[str], str | None]) -> tuple[str, ...]:
        """Return the groups that the layers of a kernel belong to, as `owner` tells."""
        if self.kernels[kernel].kind in STORED:
            return ()
        return tuple(dict.fromkeys(g for layer in self.layers[kernel] if (g := owner(layer))))

    def _homed(self) -> set[str]:
        return {group for groups in self.groups.values() for group in groups}

    def _add_named(self) -> None:
        """Give a kernel to the groups whose operators its layers are named after.

        Where there is none, the name of what a group makes will do, if no operator is called so.
        """
        self.groups = {name: self.names(name, self.owners.by_operator) for name in self.kernels}
        homed = self._homed()
        for name in self.kernels:
            made = self.names(name, self.owners.by_output_alone)
            self.groups[name] += tuple(group for group in made if group not in homed)

    def _add_lost_products(self) -> None:
        """Give a product to the kernel that is called by what scales or rounds its result."""
        homed = self._homed()
        for name, kernel in self.kernels.items():
            found = self.groups[name]
            if kernel.kind in MATRIX_KERNELS and not found:
                self.groups[name] = self._rounded_products(name, homed)
            kinds = {self.graph.group_by_id[group].kind for group in found}
            if kernel.kind in MATRIX_KERNELS and kinds and not kinds & MULTIPLYING:
                lost = self._lost_product(found[0], homed)
                self.groups[name] = found if lost is None else (lost, *found)

    def _rounded_products(self, kernel: str, homed: Set[str]) -> tuple[str, ...]:
        """Return the products without a kernel whose results are rounded in this one."""
        rounded = (layer.removesuffix(ROUNDED) for layer in self.layers[kernel])
        made = filter(None, map(self.owners.by_output, rounded))
        kinds = {group: self.graph.group_by_id[group].kind for group in made}
        return tuple(g for g, kind in kinds.items() if kind in MULTIPLYING and g not in homed)

    def _add_nameless_kernels(self) -> None:
        """Give a kernel without a name of the model to the group that alone reads it.

        OpenVINO writes some operators in several layers, of which the last has the name. A matrix
        product that lost its name to what scales it belongs to the product before that.
        """
        readers: dict[str, list[str]] = {}
        for name, kernel in self.kernels.items():
            for edge in kernel.inputs:
                readers.setdefault(edge.kernel, []).append(name)
        homed = self._homed()
        for name, kernel in reversed(self.kernels.items()):
            if self.groups[name] or kernel.kind in GLUE or self._prepares_constants(kernel):
                continue
            first = self._first_groups(name, readers)
            if len(first) != 1 or not (found := first.pop()):
                continue
            lost = self._lost_product(found[0], homed) if kernel.kind in MATRIX_KERNELS else None
            self.groups[name] = found if lost is None else (lost,)

    def _first_groups(
        self, kernel: str, readers: Mapping[str, Sequence[str]]
    ) -> set[tuple[str, ...]]:
        """Return the first group, if any, of each kernel that reads one.

        Behind a product they are those of what is nearest and has a name: OpenVINO moves arithmetic
        before a Reshape, which keeps the name of both.
        """
        passed = GLUE - STORED if self.kernels[kernel].kind in MATRIX_KERNELS else frozenset()
        pending, found = list(readers.get(kernel, ())), set()
        while pending:
            reader = pending.pop()
            if self.groups[reader] or self.kernels[reader].kind not in passed:
                found.add(self.groups[reader][:1])
            else:
                pending += readers.get(reader, ())
        return found

    def _prepares_constants(self, kernel: Kernel) -> bool:
        return all(self.kernels[edge.kernel].kind in STORED for edge in kernel.inputs)

    def _lost_product(self, group: str, homed: Set[str]) -> str | None:
        """Return the nearest product above a group that no kernel is named after."""
        for tensor in self.graph.group_by_id[group].inputs:
            producer = self.graph.producer.get(tensor)
            if producer is None or producer.id in homed:
                continue
            if producer.kind in MULTIPLYING:
                return producer.id
            if (further := self._lost_product(producer.id, homed)) is not None:
                return further
        return None

    def _add_nameless_groups(self) -> None:
        """Give a group whose name was lost in a fusion to the kernel of all that reads it.

        One that computes the same as another is where that is.
        """
        homes: dict[str, set[str]] = {}
        for name, found in self.groups.items():
            for one in found:
                homes.setdefault(one, set()).add(name)
        twins = find_twins(self.nodes)
        shared = {twin: homes[name] for name, twin in twins.items() if name in homes}
        for group in reversed(self.graph.groups):
            if group.id in homes or group.id not in self.written or group.id not in twins:
                continue
            home = shared.get(twins[group.id]) or self._common_home(group, homes)
            homes[group.id] = home
            for name in home:
                self.groups[name] = (group.id, *self.groups[name])

    def _common_home(self, group: Group, homes: Mapping[str, set[str]]) -> set[str]:
        readers = [r for tensor in group.outputs for r in self.graph.consumers.get(tensor, ())]
        places = [homes.get(reader.id, set()) for reader in readers]
        common = set.intersection(*places) if places else set()
        return common if len(common) == 1 else set()
