"""Where ONNX Runtime lays tensors out with the channels last, as its integer convolutions want."""

from __future__ import annotations

import onnx_ir as ir

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
KEEPING = frozenset(
    {"Add", "Sub", "Mul", "Div", "Concat", "Split", "Slice", "MaxPool", "AveragePool",
     "GlobalAveragePool", "Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "HardSigmoid",
     "HardSwish", "Elu"}
)  # fmt: skip
"""Operators across which ONNX Runtime takes the transposes of its convolutions."""


def follows_convolution(node: ir.Node) -> bool:
    """Return whether a convolution before a node decides the layout of what it reads."""
    waiting, seen = [node], {id(node)}
    while waiting:
        makers = (value.producer() for value in waiting.pop().inputs if value is not None)
        for maker in makers:
            if maker is None or id(maker) in seen or maker.domain:
                continue
            if maker.op_type in CONVOLUTIONS:
                return True
            seen.add(id(maker))
            if maker.op_type in KEEPING:
                waiting.append(maker)
    return False
