"""The benchmarks' networks have the size of the published ones and tell inputs apart."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from benchmarks.networks import NETWORKS, VARIANTS
from benchmarks.networks.detection import anchors
from benchmarks.networks.mobilenet_v3 import divisible_by_8
from octavo.backends.registry import get_backend
from octavo.target import Target

EVERY = {**NETWORKS, **VARIANTS}


class Published(NamedTuple):
    """Parameters as published; those an export does not hold; multiply-adds in millions.

    Left out are poolers, rows of position tables beyond 128 and of token types, and the second
    parameter per channel of a BatchNorm that is folded into one bias.
    """

    parameters: int
    left_out: int
    macs: int


def encoder_macs(layers: int, width: int, words: int = 128) -> int:
    """Return the multiply-adds of a BERT: four projections, two feed-forward, two of attention."""
    return round(layers * (12 * width * width * words + 2 * width * words * words) / 1e6)


def mobilebert_macs(words: int = 128) -> int:
    """Return those of MobileBERT: 512 wide outside, 128 within, of four feed-forward layers."""
    wide, narrow = 512, 128
    bottlenecks = 3 * wide * narrow + narrow * wide
    inside = 3 * narrow * narrow + 4 * 2 * narrow * wide
    layer = words * (bottlenecks + inside) + 2 * narrow * words * words
    return round((24 * layer + words * 3 * narrow * wide) / 1e6)


PUBLISHED = {
    "resnet50": Published(25_557_032, 26_560, 4_089),
    "vgg16": Published(138_357_544, 0, 15_470),
    "mobilenet_v2": Published(3_504_872, 17_056, 301),
    "mobilenet_v3_large": Published(5_483_032, 12_200, 217),
    "bert_base": Published(109_482_240, 768 * 769 + 384 * 768 + 2 * 768, encoder_macs(12, 768)),
    "roberta_base": Published(124_645_632, 768 * 769, encoder_macs(12, 768)),
    "distilbert_base": Published(66_362_880, 384 * 768, encoder_macs(6, 768)),
    "mobilebert": Published(24_581_888, 384 * 512 + 512, mobilebert_macs()),
}
LARGE = {"vgg16", "bert_base", "roberta_base", "distilbert_base"}


def sized(names: list[str]) -> list[object]:
    """Mark the tests of large networks as slow."""
    slow = pytest.mark.slow
    return [pytest.param(name, marks=slow) if name in LARGE else name for name in names]


def parameters(model: onnx.ModelProto) -> int:
    """Return the number of float weights; a scalar is the argument of an operator."""
    return sum(
        math.prod(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims
    )


def multiply_adds(model: onnx.ModelProto) -> float:
    backend = get_backend("onnxruntime")
    graph = backend.graph(backend.load(model), Target(threads=1))
    return sum(op.macs for op in graph.ops) / 1e6


@pytest.mark.parametrize("name", sized(list(PUBLISHED)))
def test_a_network_has_the_published_size(name: str) -> None:
    model = EVERY[name]()
    expected = PUBLISHED[name]
    assert parameters(model) == expected.parameters - expected.left_out
    assert round(multiply_adds(model)) == expected.macs


def test_ssd_has_the_published_size_to_the_digits_that_are_given() -> None:
    model = NETWORKS["ssd_mobilenet_v1"]()
    assert round((parameters(model) - anchors().size) / 1e6, 1) == 6.8
    assert round(multiply_adds(model) / 1e3, 1) == 1.2


def test_the_anchors_of_ssd_lie_on_its_six_grids() -> None:
    y, x, height, width = anchors()
    assert len(y) == 1917 == 19 * 19 * 3 + (100 + 25 + 9 + 4 + 1) * 6
    assert (min(y), max(x)) == (pytest.approx(0.5 / 19), pytest.approx(18.5 / 19))
    assert height[0] == width[0] == pytest.approx(0.1)
    assert height[-1] == width[-1] == pytest.approx((0.95 * 1.0) ** 0.5)


@pytest.mark.parametrize("name", ["HardSigmoid", "Clip", "ReduceMean"])
def test_every_export_of_mobilenet_v3_computes_the_same(name: str) -> None:
    variant = {"ReduceMean": "reduce_mean", "HardSigmoid": "hard_sigmoid", "Clip": "clip"}[name]
    other = VARIANTS[f"mobilenet_v3_large_{variant}"]()
    assert name in {node.op_type for node in other.graph.node}
    image = np.random.default_rng(0).random((1, 3, 224, 224), np.float32)
    expected, got = (
        run(model, {"image": image})[0] for model in (NETWORKS["mobilenet_v3_large"](), other)
    )
    assert np.abs(expected - got).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("channels", "rounded"), [(72 // 4, 24), (120 // 4, 32), (480 // 4, 120), (672 // 4, 168)]
)
def test_squeezed_channels_are_rounded_as_the_authors_do(channels: int, rounded: int) -> None:
    assert divisible_by_8(channels) == rounded


def run(model: onnx.ModelProto, batch: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    return session.run(None, batch)  # type: ignore[no-any-return]


def test_suppression_keeps_the_best_boxes_in_order() -> None:
    model = VARIANTS["ssd_mobilenet_v1_nms"]()
    image = np.random.default_rng(1).random((1, 300, 300, 3), np.float32)
    boxes, scores, classes = run(model, {"image": image})
    assert 0 < len(scores) == len(boxes) == len(classes) <= 100
    assert (np.diff(scores) <= 0).all() and scores[-1] > 0.3
    assert set(np.unique(classes)) <= set(range(90))


@pytest.mark.parametrize("name", sized(["distilbert_base", "mobilebert"]))
def test_words_stay_apart_through_all_layers(name: str) -> None:
    ids = np.random.default_rng(0).integers(0, 1000, (1, 128))
    (output,) = run(EVERY[name](), {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    assert np.isfinite(output).all()
    assert output.std(axis=1).mean() > 0.4 * output.std()
