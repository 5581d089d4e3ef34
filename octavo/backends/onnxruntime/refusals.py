"""Why operators stay in float: what was measured, or what ONNX Runtime 1.32 does not have."""

from __future__ import annotations

SLOW = {
    "Softmax": "QLinearSoftmax is about 8 times slower than the float kernel",
    "Where": "QLinearWhere is slower than the float kernel",
    "ArgMax": "ONNX Runtime's ArgMax is slower on integers than in float",
    "TopK": "ONNX Runtime has no INT8 TopK worth using, and indices need exact values",
    "ReduceMax": "ONNX Runtime's ReduceMax is hardly faster on integers",
    "ReduceMin": "ONNX Runtime's ReduceMin is hardly faster on integers",
    "GatherElements": "ONNX Runtime's GatherElements is no faster on integers",
    "GRU": "ONNX Runtime has no INT8 GRU, as it has for LSTM",
    "RNN": "ONNX Runtime has no INT8 RNN, as it has for LSTM",
    "BatchNormalization": "ONNX Runtime has no INT8 BatchNormalization, and it follows no "
    "convolution or Gemm that it could be folded into",
    "PRelu": "ONNX Runtime has no INT8 PRelu with a slope per channel",
    "Sub": "ONNX Runtime has no INT8 Sub of two tensors",
    "Div": "ONNX Runtime has no INT8 Div",
    "Einsum": "ONNX Runtime has no INT8 Einsum, and it is no product of two matrices",
}
"""By operator; for the others there is no kernel, and no more to say."""


def refusal(native: str, domain: str = "") -> str:
    """Return the reason why an operator has no INT8 form."""
    if domain not in ("", "ai.onnx"):
        return f"{native} is an operator of {domain}, which is taken as it is"
    return SLOW.get(native, f"ONNX Runtime has no INT8 kernel for {native}")
