"""Encoders of text as PyTorch exports them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto

from octavo.backends.onnxruntime.builder import Builder

GELU_MEAN = 0.282
RELU_MEAN = 0.399
"""Expected values of Gelu and Relu of a standard normal variable."""


def text_model(b: Builder, sequence: int, width: int, output: str) -> onnx.ModelProto:
    """Return the model of an encoder that gives a vector per word."""
    ids = (TensorProto.INT64, ["batch", sequence])
    inputs = {"input_ids": ids, "attention_mask": ids}
    return b.model(inputs, {output: ["batch", sequence, width]})


def bert_base(
    sequence: int = 128, layers: int = 12, width: int = 768, heads: int = 12, words: int = 30522
) -> onnx.ModelProto:
    """BERT-base without pooler, erf Gelu, attention mask added to the scores.

    The exporter has added the embedding of the one token type to that of the positions.
    """
    b = Builder()
    x = b.node("Gather", [b.random("word_table", words, width, scale=0.05), "input_ids"], "words")
    x = b.node("Add", [x, b.random("position_table", 1, sequence, width, scale=0.05)], "positions")
    x = b.layer_norm(x, "embedding_norm", width)
    mask = additive_mask(b)
    for layer in range(layers):
        x = transformer_layer(b, x, mask, f"l{layer}", width, heads)
    return text_model(b, sequence, width, x)


def roberta_base(
    sequence: int = 128, layers: int = 12, width: int = 768, heads: int = 12, words: int = 50265
) -> onnx.ModelProto:
    """RoBERTa-base without pooler: BERT whose positions are counted from the words (padding 1)."""
    b = Builder()
    x = b.node("Gather", [b.random("word_table", words, width, scale=0.05), "input_ids"], "words")
    padding = b.weight("padding", np.array(1))
    real = b.node("Not", [b.node("Equal", ["input_ids", padding], "padded")], "real")
    real = b.node("Cast", [real], "real_int", to=TensorProto.INT32)
    count = b.node("CumSum", [real, b.weight("count_axis", np.array(1))], "count")
    place = b.node("Cast", [b.node("Mul", [count, real], "place")], "place_long", to=7)
    place = b.node("Add", [place, padding], "place_ids")
    table = b.random("position_table", 514, width, scale=0.05)
    x = b.node("Add", [x, b.random("type_row", width, scale=0.05)], "typed")
    x = b.node("Add", [x, b.node("Gather", [table, place], "position_rows")], "positions")
    x = b.layer_norm(x, "embedding_norm", width)
    mask = additive_mask(b)
    for layer in range(layers):
        x = transformer_layer(b, x, mask, f"l{layer}", width, heads)
    return text_model(b, sequence, width, x)


def distilbert_base(
    sequence: int = 128, layers: int = 6, width: int = 768, heads: int = 12, words: int = 30522
) -> onnx.ModelProto:
    """DistilBERT-base: queries are scaled, scores are masked by Where."""
    b = Builder()
    x = b.node("Gather", [b.random("word_table", words, width, scale=0.05), "input_ids"], "words")
    x = b.node("Add", [x, b.random("position_table", 1, sequence, width, scale=0.05)], "positions")
    x = b.layer_norm(x, "embedding_norm", width)

    for layer in range(layers):
        name = f"l{layer}"
        x = _add_and_norm(b, _distil_attention(b, x, name, width, heads), x, f"{name}_1", width)
        x = _add_and_norm(b, _feed_forward(b, x, name, width), x, f"{name}_2", width)
    return text_model(b, sequence, width, x)


def projection(
    b: Builder, x: str, name: str, sizes: tuple[int, int], gain: float, mean: float = 0.0
) -> str:
    """Append a linear layer onto a residual path.

    Random weights would let all words of a sentence grow alike from layer to layer: what the words
    have in common passes attention in full and the rest does not, and the mean of an activation is
    common to all. A gain below one and a bias against the mean keep them apart.

    Args:
        b: the builder.
        x: what it reads.
        name: of the layer.
        sizes: width of what it reads and of what it makes.
        gain: standard deviation of what it makes, for inputs of one.
        mean: of what it reads.
    """
    w = b.rng.normal(size=sizes) * gain * sizes[0] ** -0.5
    shift = b.rng.normal(size=sizes[1]) * 0.05 - mean * w.sum(axis=0)
    weight = b.weight(f"{name}_w", w.astype(np.float32))
    bias = b.weight(f"{name}_b", shift.astype(np.float32))
    return b.node("Add", [b.node("MatMul", [x, weight], name), bias], f"{name}_bias")


def additive_mask(b: Builder) -> str:
    """Append what turns `attention_mask` into -10000 where a word is padding; return its name."""
    mask = b.node("Cast", ["attention_mask"], "mask_float", to=TensorProto.FLOAT)
    mask = b.node("Sub", [b.weight("one_mask", np.float32(1.0)), mask], "mask_inverse")
    mask = b.node("Mul", [mask, b.weight("low", np.float32(-10000.0))], "mask_scaled")
    return b.node("Unsqueeze", [mask, b.weight("axes", np.array([1, 2]))], "mask")


def transformer_layer(b: Builder, x: str, mask: str, name: str, width: int, heads: int) -> str:
    """Append attention and feed-forward, LayerNorm behind each; return the output's name."""
    q, k, v = (
        split_heads(b, b.linear(x, f"{name}_{part}", width, width), f"{name}_{part}", width, heads)
        for part in "qkv"
    )
    root = b.weight(f"{name}_root", np.float32((width // heads) ** -0.5))

    def scores(product: str) -> str:
        scaled = b.node("Mul", [product, root], f"{name}_scaled")
        return b.node("Add", [scaled, mask], f"{name}_m")

    y = attend(b, (q, k, v), name, width, scores)
    y = projection(b, y, f"{name}_o", (width, width), gain=0.3)
    x = _add_and_norm(b, y, x, f"{name}_1", width)
    return _add_and_norm(b, _feed_forward(b, x, name, width), x, f"{name}_2", width)


def split_heads(b: Builder, x: str, name: str, width: int, heads: int) -> str:
    """Append the split of the last axis into heads; the keys come out transposed."""
    y = b.reshape(x, f"{name}_split", 0, 0, heads, width // heads)
    perm = [0, 2, 3, 1] if name.endswith("_k") else [0, 2, 1, 3]
    return b.node("Transpose", [y], f"{name}_t", perm=perm)


def attend(
    b: Builder, parts: tuple[str, str, str], name: str, width: int, scores: Callable[[str], str]
) -> str:
    """Append attention over heads, up to their merger.

    Args:
        b: the builder.
        parts: queries, transposed keys and values.
        name: of the layer.
        width: of all heads together.
        scores: appends scale and mask to the product of queries and keys.
    """
    q, k, v = parts
    weights = scores(b.node("MatMul", [q, k], f"{name}_scores"))
    weights = b.node("Softmax", [weights], f"{name}_softmax", axis=-1)
    y = b.node("MatMul", [weights, v], f"{name}_mix")
    y = b.node("Transpose", [y], f"{name}_merge_t", perm=[0, 2, 1, 3])
    return b.reshape(y, f"{name}_merge", 0, 0, width)


def _distil_attention(b: Builder, x: str, name: str, width: int, heads: int) -> str:
    q, k, v = (
        split_heads(b, b.linear(x, f"{name}_{part}", width, width), f"{name}_{part}", width, heads)
        for part in "qkv"
    )
    root = b.weight(f"{name}_root", np.float32((width // heads) ** 0.5))
    q = b.node("Div", [q, root], f"{name}_scaled")

    def scores(product: str) -> str:
        hidden = b.node(
            "Equal", ["attention_mask", b.weight(f"{name}_zero", np.array(0))], f"{name}_hidden"
        )
        hidden = b.reshape(hidden, f"{name}_hidden_4d", 0, 1, 1, -1)
        shape = b.node("Shape", [product], f"{name}_shape")
        hidden = b.node("Expand", [hidden, shape], f"{name}_hidden_all")
        low = b.weight(f"{name}_low", np.finfo(np.float32).min)
        return b.node("Where", [hidden, low, product], f"{name}_m")

    y = attend(b, (q, k, v), name, width, scores)
    return projection(b, y, f"{name}_o", (width, width), gain=0.3)


def _feed_forward(b: Builder, x: str, name: str, width: int) -> str:
    y = b.gelu(b.linear(x, f"{name}_up", width, 4 * width), f"{name}_gelu")
    return projection(b, y, f"{name}_down", (4 * width, width), gain=0.5, mean=GELU_MEAN)


def _add_and_norm(b: Builder, y: str, x: str, name: str, width: int) -> str:
    return b.layer_norm(b.node("Add", [y, x], f"{name}_skip"), f"{name}_norm", width)
