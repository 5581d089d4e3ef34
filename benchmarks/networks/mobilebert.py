"""MobileBERT as PyTorch exports it.

Source: Sun et al., MobileBERT: a Compact Task-Agnostic BERT for Resource-Limited Devices (2020).
"""

from __future__ import annotations

import numpy as np
import onnx

from benchmarks.networks.transformers import (
    RELU_MEAN,
    additive_mask,
    attend,
    projection,
    split_heads,
    text_model,
)
from octavo.backends.onnxruntime.builder import Builder

WIDTH = 512
NARROW = 128
HEADS = 4
FEED_FORWARDS = 4
GAIN = 0.5


def mobilebert(sequence: int = 128, layers: int = 24, words: int = 30522) -> onnx.ModelProto:
    """MobileBERT (24 layers, 4 heads), 2.7 G multiply-adds at 128 words.

    The classifier's pooler only takes the first word's vector and is left out.
    """
    b = Builder()
    x = _embeddings(b, sequence, words)
    mask = additive_mask(b)
    for layer in range(layers):
        x = _layer(b, x, mask, f"l{layer}")
    return text_model(b, sequence, WIDTH, x)


def _embeddings(b: Builder, sequence: int, words: int) -> str:
    """Append the vectors of each word, the next and the one before, made 512 wide."""
    table = b.random("word_table", words, NARROW)
    x = b.node("Gather", [table, "input_ids"], "words")
    following = _shifted(b, x, "following", slice(1, sequence), [0, 0, 0, 0, 1, 0])
    before = _shifted(b, x, "before", slice(0, -1), [0, 1, 0, 0, 0, 0])
    x = b.node("Concat", [following, x, before], "trigram", axis=2)
    x = b.linear(x, "embedding", 3 * NARROW, WIDTH)
    x = b.node("Add", [x, b.random("position_table", 1, sequence, WIDTH, scale=0.3)], "positions")
    x = b.node("Add", [x, b.random("type_row", 1, 1, WIDTH, scale=0.3)], "typed")
    return _no_norm(b, x, "embedding_norm", WIDTH)


def _shifted(b: Builder, x: str, name: str, kept: slice, pads: list[int]) -> str:
    ends = {"starts": [kept.start], "ends": [kept.stop], "axes": [1]}
    arguments = [b.weight(f"{name}_{part}", np.array(value)) for part, value in ends.items()]
    y = b.node("Slice", [x, *arguments], f"{name}_slice")
    zero = b.weight(f"{name}_zero", np.float32(0.0))
    return b.node("Pad", [y, b.weight(f"{name}_pads", np.array(pads)), zero], name)


def _layer(b: Builder, x: str, mask: str, name: str) -> str:
    """Append a layer: narrow, attention, four feed-forwards, wide again."""
    narrow = _no_norm(b, b.linear(x, f"{name}_in", WIDTH, NARROW), f"{name}_in_norm", NARROW)
    shared = _no_norm(b, b.linear(x, f"{name}_qk", WIDTH, NARROW), f"{name}_qk_norm", NARROW)
    y = _attention(b, shared, x, mask, name)
    y = _residual(b, y, narrow, f"{name}_attention", NARROW)
    for index in range(FEED_FORWARDS):
        y = _feed_forward(b, y, f"{name}_f{index}")
    y = projection(b, y, f"{name}_out", (NARROW, WIDTH), gain=GAIN)
    return _residual(b, y, x, f"{name}_out", WIDTH)


def _attention(b: Builder, shared: str, x: str, mask: str, name: str) -> str:
    """Append attention whose queries and keys are narrow and whose values are wide."""
    sources = {"q": (shared, NARROW), "k": (shared, NARROW), "v": (x, WIDTH)}
    q, k, v = (
        split_heads(
            b, b.linear(source, f"{name}_{part}", n_in, NARROW), f"{name}_{part}", NARROW, HEADS
        )
        for part, (source, n_in) in sources.items()
    )
    root = b.weight(f"{name}_root", np.float32((NARROW // HEADS) ** 0.5))

    def scores(product: str) -> str:
        scaled = b.node("Div", [product, root], f"{name}_scaled")
        return b.node("Add", [scaled, mask], f"{name}_m")

    y = attend(b, (q, k, v), name, NARROW, scores)
    return projection(b, y, f"{name}_o", (NARROW, NARROW), gain=GAIN)


def _feed_forward(b: Builder, x: str, name: str) -> str:
    y = b.node("Relu", [b.linear(x, f"{name}_up", NARROW, WIDTH)], f"{name}_relu")
    y = projection(b, y, f"{name}_down", (WIDTH, NARROW), gain=GAIN, mean=RELU_MEAN)
    return _residual(b, y, x, name, NARROW)


def _residual(b: Builder, y: str, x: str, name: str, width: int) -> str:
    """Append a sum and its NoNorm, which takes back what the sum adds to the variance."""
    y = b.node("Add", [y, x], f"{name}_skip")
    return _no_norm(b, y, f"{name}_norm", width, (1 + GAIN**2) ** -0.5)


def _no_norm(b: Builder, x: str, name: str, width: int, mean: float = 1.0) -> str:
    """Append what MobileBERT has in place of LayerNorm: a factor and a shift per channel."""
    factor = (mean * b.rng.uniform(0.8, 1.2, width)).astype(np.float32)
    x = b.node("Mul", [x, b.weight(f"{name}_g", factor)], f"{name}_mul")
    return b.node("Add", [x, b.random(f"{name}_b", width, scale=0.05)], name)
