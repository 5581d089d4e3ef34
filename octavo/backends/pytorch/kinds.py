"""What the ATen operators are in neutral terms."""

from __future__ import annotations

import operator
from collections.abc import Mapping

from torch import fx
from torch._ops import HigherOrderOperator, OpOverload

from octavo.graph import Kind

CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d"})
PRODUCTS = frozenset(
    {"linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "scaled_dot_product_attention", "einsum"}
)
MOVES = frozenset(
    {"view", "reshape", "flatten", "unflatten", "transpose", "permute", "t", "unsqueeze", "squeeze",
     "slice", "select", "narrow", "split", "split_with_sizes", "chunk", "unbind", "contiguous",
     "clone", "numpy_T", "movedim", "expand", "repeat"}
)  # fmt: skip
"""Operators whose output holds values of their input and nothing else."""

NOTHING = frozenset({"dropout", "alias", "detach", "alpha_dropout", "identity"})
"""Operators that return what they read when a model is evaluated."""

HOMOGENEOUS = frozenset(
    {"relu", "leaky_relu", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "max_pool1d",
     "adaptive_max_pool2d"}
)  # fmt: skip
"""Operators with f(c * x) = c * f(x) for every c > 0, channel by channel."""

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(CONVOLUTIONS, "conv"),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), "conv_transpose"),
    **dict.fromkeys(PRODUCTS, "matmul"),
    **dict.fromkeys(MOVES, "move"),
    **dict.fromkeys(("add", "sub"), "add"),
    **dict.fromkeys(("mul", "div"), "mul"),
    **dict.fromkeys(
        ("relu", "hardtanh", "relu6", "hardswish", "hardsigmoid", "silu", "gelu", "sigmoid", "tanh",
         "clamp", "elu", "leaky_relu", "prelu", "exp", "neg", "abs", "sqrt", "rsqrt", "pow", "erf",
         "mish", "softplus", "log"),
        "activation",
    ),
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
         "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "mean"),
        "pool",
    ),
    **dict.fromkeys(
        ("layer_norm", "batch_norm", "_native_batch_norm_legit_no_training", "group_norm",
         "instance_norm", "rms_norm"),
        "normalize",
    ),
    **dict.fromkeys(("softmax", "log_softmax"), "softmax"),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), "recurrent"),
    "cat": "concat",
    "embedding": "embedding",
}  # fmt: skip


def native_of(node: fx.Node) -> str:
    """Return the name of a node's operator, without namespace and overload."""
    if node.target is operator.getitem:
        return native_of(node.args[0]) if isinstance(node.args[0], fx.Node) else "getitem"
    if isinstance(node.target, OpOverload):
        return node.target._schema.name.rpartition("::")[2]
    if isinstance(node.target, HigherOrderOperator):
        return node.target.name()
    return str(getattr(node.target, "__name__", node.target))


def kind_of(node: fx.Node) -> Kind:
    """Return the neutral kind of a node."""
    if isinstance(node.target, HigherOrderOperator):
        return "control"
    if isinstance(node.target, OpOverload) and node.target.namespace != "aten":
        return "other"
    return KINDS.get(native_of(node), "other")
