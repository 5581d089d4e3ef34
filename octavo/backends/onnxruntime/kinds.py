"""What each ONNX operator is in neutral terms, and which INT8 form ONNX Runtime has for it.

The tables were read off ONNX Runtime 1.32's optimized graphs: the operator between DequantizeLinear
and QuantizeLinear either became an integer kernel or stayed float.
"""

from __future__ import annotations

import onnx_ir as ir

from octavo.graph import Kind

_BY_KIND: dict[Kind, tuple[str, ...]] = {
    "conv": ("Conv",),
    "conv_transpose": ("ConvTranspose",),
    "matmul": ("MatMul", "Gemm"),
    "add": ("Add", "Sub", "Sum"),
    "mul": ("Mul", "Div"),
    "activation": (
        "Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Sigmoid",
        "HardSigmoid", "HardSwish", "Mish", "Gelu", "Tanh", "Softplus", "Softsign", "Erf", "Exp",
        "Log", "Sqrt", "Pow", "Neg", "Abs", "Reciprocal",
    ),
    "pool": (
        "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "GlobalLpPool",
    ),
    "concat": ("Concat",),
    "move": (
        "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Gather", "Split",
        "Pad", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "Resize", "Upsample", "Identity",
        "GatherElements", "GatherND",
    ),
    "normalize": (
        "BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization",
        "RMSNormalization", "LRN", "LpNormalization", "MeanVarianceNormalization",
        "SkipLayerNormalization",
    ),
    "softmax": ("Softmax", "LogSoftmax", "Hardmax"),
    "recurrent": ("LSTM", "GRU", "RNN"),
    "control": ("If", "Loop", "Scan", "SequenceMap"),
}  # fmt: skip

KINDS: dict[str, Kind] = {native: kind for kind, names in _BY_KIND.items() for native in names}

RESCALING = frozenset(
    {"Add", "Mul", "AveragePool", "GlobalAveragePool", "Sigmoid", "LeakyRelu", "Concat",
     "HardSigmoid", "HardSwish"}
)  # fmt: skip
"""Operators with a QLinear kernel, or a form made of such: scales on both sides are free."""

TIED = frozenset(
    {
        "MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Gather",
        "DepthToSpace", "SpaceToDepth", "Expand", "Tile", "Resize", "Split", "Pad",
    }
)  # fmt: skip
"""Operators that run on integers as they are, when input and outputs share scale and zero point."""

SATURATING = frozenset({"Relu", "Clip"})
"""Activations that the saturation of a quantized output computes for nothing."""

ARGUMENT_INPUTS = frozenset(
    {
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Slice",
        "Split",
        "Expand",
        "Tile",
        "Resize",
        "Gather",
        "Pad",
        "Clip",
    }
)
"""Operators whose later inputs are arguments (shapes, indices, bounds) and no values."""


def only_moves(node: ir.Node) -> bool:
    """Return whether a node makes nothing but values that it reads, so that it commutes with Relu.

    Resize does so by nearest neighbour alone, and where it does not fill in an extrapolation value;
    a Pad where it fills in none.
    """
    if node.domain or node.op_type not in TIED:
        return False
    if node.op_type == "Pad":
        return node.attributes.get_string("mode", "constant") != "constant"
    if node.op_type != "Resize":
        return True
    where = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    mode = node.attributes.get_string("mode", "nearest")
    return mode == "nearest" and where != "tf_crop_and_resize"
