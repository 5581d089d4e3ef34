"""Making a program ready to run: weights are packed once, and quantizers take one pass."""

from __future__ import annotations

import torch
from torch import fx

from octavo.backends.pytorch.program import Program

onednn = torch.ops.onednn
quantized = torch.ops.quantized_decomposed
PACKERS = (onednn.qconv_prepack.default, onednn.qlinear_prepack.default)


def prepared(program: Program) -> fx.GraphModule:
    """Return a module that computes the program; nodes keep their names.

    A float oracle, which has no integer kernels, runs as it is written.
    """
    changed = program.copy()
    constants = dict(changed.constants)
    nodes = changed.graph.nodes
    faster = FASTER if any(node.target in PACKERS for node in nodes) else {}
    for node in list(changed.graph.nodes):
        if node.target in PACKERS:
            args = fx.map_arg(node.args, lambda one: constants[str(one.target)])
            name = f"{node.name}_ready"
            constants[name] = node.target(*args)
            with changed.graph.inserting_before(node):
                packed = changed.graph.create_node("get_attr", name, name=f"{node.name}_ready")
            node.replace_all_uses_with(packed)
            changed.graph.erase_node(node)
        elif node.target in faster:
            node.target = faster[node.target]
    changed.graph.eliminate_dead_code()
    return fx.GraphModule(constants, changed.graph)


def choose(
    values: torch.Tensor, low: int, high: int, smallest: float, dtype: torch.dtype
) -> tuple[float, int]:
    """Return the scale and the zero point of a tensor's own range, widened to hold zero."""
    if not values.numel():
        return 1.0, low
    least, most = (float(end) for end in torch.aminmax(values))
    least, most = min(least, 0.0), max(most, 0.0)
    scale = max((most - least) / (high - low), smallest)
    return scale, min(max(low + round(-least / scale), low), high)


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


FASTER = {
    quantized.quantize_per_tensor.default: quantize,
    quantized.quantize_per_tensor.tensor: quantize,
    quantized.dequantize_per_tensor.default: dequantize,
    quantized.choose_qparams.tensor: choose,
    onednn.qlinear_pointwise.tensor: onednn.qlinear_pointwise.default,
}
"""What operators are replaced by: PyTorch's quantizers are written for compilers. Scales that are
found while the model runs are numbers here, in place of tensors."""
