"""Operators that compute the same: OpenVINO computes such things only once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir

SMALL = 1024  # bytes of constants, such as scales, that are compared by content


def find_twins(nodes: Iterable[ir.Node]) -> dict[str, str]:
    """Return, for every operator, the first one that computes the same; by names.

    Args:
        nodes: the operators, in an order in which they can run.
    """
    first: dict[tuple[object, ...], str] = {}
    same: dict[str, str] = {}  # what is equal for equal values, by the names of values
    twins = {}
    for node in nodes:
        read = tuple(_identity(value, same) for value in node.inputs)
        told = tuple(sorted((name, str(value)) for name, value in node.attributes.items()))
        twin = first.setdefault((node.op_type, node.domain, read, told), str(node.name))
        twins[str(node.name)] = twin
        for index, value in enumerate(node.outputs):
            same[str(value.name)] = f"{twin}:{index}"
    return twins


def _identity(value: ir.Value | None, same: Mapping[str, str]) -> object:
    if value is None:
        return None
    constant = value.const_value
    if constant is not None and constant.nbytes <= SMALL:
        return str(constant.dtype), tuple(constant.shape.numpy()), constant.tobytes()
    return same.get(str(value.name), str(value.name))
