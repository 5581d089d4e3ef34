"""Making a program ready to run: weights are packed once, and quantizers take one pass."""

from __future__ import annotations

import torch
from torch import fx

from octavo.backends.pytorch.program import Program

onednn = torch.ops.onednn
quantized = torch.ops.quantized_decomposed
PACKERS = (onednn.qconv_prepack.default, onednn.qlinear_prepack.default)


def prepared(program: Program) -> fx.GraphModule:
    """Return a module that computes the program; nodes keep their names."""
    changed = program.copy()
    constants = dict(changed.constants)
    for node in list(changed.graph.nodes):
        if node.target in PACKERS:
            args = fx.map_arg(node.args, lambda one: constants[str(one.target)])
            name = f"{node.name}_ready"
            constants[name] = node.target(*args)
            with changed.graph.inserting_before(node):
                packed = changed.graph.create_node("get_attr", name, name=f"{node.name}_ready")
            node.replace_all_uses_with(packed)
            changed.graph.erase_node(node)
        elif program.owners and node.target is quantized.quantize_per_tensor.default:
            node.target = quantize
        elif program.owners and node.target is quantized.dequantize_per_tensor.default:
            node.target = dequantize
    changed.graph.eliminate_dead_code()
    return fx.GraphModule(constants, changed.graph)


def quantize(
    values: torch.Tensor, scale: float, zero_point: int, low: int, high: int, dtype: torch.dtype
) -> torch.Tensor:
    """Return the integers of a tensor; PyTorch's own makes a new tensor for every step."""
    steps = (values * (1.0 / scale)).round_()
    return steps.add_(zero_point).clamp_(low, high).to(dtype)


def dequantize(
    integers: torch.Tensor, scale: float, zero_point: int, low: int, high: int, dtype: torch.dtype
) -> torch.Tensor:
    """Return the values that integers stand for."""
    return integers.to(torch.float32).sub_(zero_point).mul_(scale)
