"""Full-size networks with random weights, written as exporters write them.

Multiply-adds and numbers of parameters are those of the published networks; a test counts them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import onnx

from benchmarks.networks.convnets import mobilenet_v2, resnet50, vgg16
from benchmarks.networks.detection import ssd_mobilenet_v1
from benchmarks.networks.mobilebert import mobilebert
from benchmarks.networks.mobilenet_v3 import mobilenet_v3_large
from benchmarks.networks.transformers import (
    bert_base,
    distilbert_base,
    roberta_base,
    transformer_layer,
)

NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    "resnet50": resnet50,
    "vgg16": vgg16,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3_large,
    "ssd_mobilenet_v1": ssd_mobilenet_v1,
    "bert_base": bert_base,
    "distilbert_base": distilbert_base,
    "mobilebert": mobilebert,
}
"""What the benchmarks measure, by name."""

VARIANTS: dict[str, Callable[[], onnx.ModelProto]] = {
    "roberta_base": roberta_base,
    "ssd_mobilenet_v1_nms": partial(ssd_mobilenet_v1, suppress=True),
    "mobilenet_v3_large_hard_sigmoid": partial(mobilenet_v3_large, swish="HardSigmoid"),
    "mobilenet_v3_large_clip": partial(mobilenet_v3_large, swish="Clip"),
    "mobilenet_v3_large_reduce_mean": partial(mobilenet_v3_large, pool="ReduceMean"),
}
"""Other networks and other exports of the same ones; measured when they are named."""

__all__ = [
    "NETWORKS",
    "VARIANTS",
    "bert_base",
    "distilbert_base",
    "mobilebert",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "resnet50",
    "roberta_base",
    "ssd_mobilenet_v1",
    "transformer_layer",
    "vgg16",
]
