"""Export small TensorFlow and Keras networks by tf2onnx, for the tests of the backend.

    make exports                                  # in environments of their own, or by hand:

    pip install -r tests/backends/onnxruntime/exports/tf2onnx.txt
    python tests/backends/onnxruntime/exports/make_tf2onnx.py

Made with tensorflow-cpu 2.21.0, Keras 3.15.1 and tf2onnx 1.17.0. A file is called
`tf2onnx_<network>_<opset>.onnx`; weights are drawn from a fixed seed.
"""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers

HERE = Path(__file__).parent


def norm(x: Any, activation: str | None = "relu") -> Any:
    """Add BatchNorm and an activation."""
    x = layers.BatchNormalization()(x)
    return layers.Activation(activation)(x) if activation else x


def residual(x: Any, width: int) -> Any:
    """Add two convolutions and what they read."""
    y = norm(layers.Conv2D(width, 3, padding="same", use_bias=False)(x))
    y = norm(layers.Conv2D(width, 3, padding="same", use_bias=False)(y), None)
    return layers.Activation("relu")(layers.Add()([x, y]))


def resnet() -> keras.Model:
    """Return a residual network: NHWC, padding "same", a dense head."""
    image = keras.Input((32, 32, 3), name="image")
    x = norm(layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(image))
    x = residual(layers.MaxPooling2D(2)(x), 8)
    x = norm(layers.Conv2D(16, 3, 2, padding="same", use_bias=False)(x))
    x = layers.GlobalAveragePooling2D()(residual(x, 16))
    return keras.Model(image, layers.Dense(10)(x))


def inverted(x: Any, expanded: int, outputs: int, stride: int) -> Any:
    """Add MobileNetV2's block: expand, depthwise, project, and the residual."""
    y = norm(layers.Conv2D(expanded, 1, use_bias=False)(x), "relu6")
    y = norm(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(y), "relu6")
    y = norm(layers.Conv2D(outputs, 1, use_bias=False)(y), None)
    return layers.Add()([x, y]) if stride == 1 and x.shape[-1] == outputs else y


def mobile_features(image: Any) -> tuple[Any, Any]:
    """Return the maps of two scales that a small MobileNetV2 makes."""
    x = norm(layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(image), "relu6")
    x = inverted(inverted(x, 24, 8, 1), 24, 16, 2)
    shallow = inverted(x, 48, 16, 1)
    return shallow, inverted(shallow, 48, 24, 2)


def mobilenet() -> keras.Model:
    """Return a MobileNetV2 of four blocks with a softmax."""
    image = keras.Input((32, 32, 3), name="image")
    x = layers.GlobalAveragePooling2D()(norm(mobile_features(image)[1], "relu6"))
    return keras.Model(image, layers.Dense(10, activation="softmax")(layers.Dropout(0.2)(x)))


def unet() -> keras.Model:
    """Return a small U-Net with a transposed convolution, bilinear upsampling and concats."""
    image = keras.Input((16, 16, 3), name="image")
    first = norm(layers.Conv2D(8, 3, padding="same")(image))
    x = norm(layers.Conv2D(16, 3, padding="same")(layers.MaxPooling2D(2)(first)))
    second = x
    x = norm(layers.SeparableConv2D(16, 3, padding="same")(layers.AveragePooling2D(2)(x)))
    x = layers.Conv2DTranspose(16, 2, 2, padding="same")(x)
    x = norm(layers.Conv2D(8, 3, padding="same")(layers.Concatenate()([x, second])))
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.Conv2D(8, 3, padding="same")(layers.Concatenate()([x, first]))
    return keras.Model(image, layers.Conv2D(2, 1)(layers.LeakyReLU(negative_slope=0.1)(x)))


def recurrent() -> keras.Model:
    """Return an LSTM, a GRU and two dense layers on a signal."""
    signal = keras.Input((12, 8), name="signal")
    x = layers.LSTM(16, return_sequences=True)(layers.Dense(16, activation="relu")(signal))
    return keras.Model(signal, layers.Dense(5)(layers.GRU(16)(x)))


def anchors(sizes: list[int]) -> np.ndarray:
    """Return three boxes per cell of square grids: centres and sizes, in units of the image."""
    found = []
    for size in sizes:
        centres = (np.arange(size) + 0.5) / size
        for y, x in np.stack(np.meshgrid(centres, centres, indexing="ij"), -1).reshape(-1, 2):
            found += [(y, x, h / size, w / size) for h, w in ((1, 1), (2, 1), (1, 2))]
    return np.array(found, np.float32)


def raw_ssd(classes: int = 4) -> keras.Model:
    """Return the convolutional part of a detector: deltas of boxes, and scores."""
    image = keras.Input((64, 64, 3), name="image")
    deltas, scores = [], []
    for x in mobile_features(image):
        box = layers.Conv2D(3 * 4, 3, padding="same")(x)
        deltas.append(layers.Reshape((-1, 4))(box))
        score = layers.Conv2D(3 * classes, 3, padding="same")(x)
        scores.append(layers.Reshape((-1, classes))(score))
    return keras.Model(image, [layers.Concatenate(1)(deltas), layers.Concatenate(1)(scores)])


def decoded(deltas: tf.Tensor) -> tf.Tensor:
    """Return boxes as corners, decoded from deltas as SSD does (arXiv:1512.02325)."""
    grid = tf.constant(anchors([16, 8]))
    centre = deltas[..., :2] * 0.1 * grid[:, 2:] + grid[:, :2]
    half = tf.exp(deltas[..., 2:] * 0.2) * grid[:, 2:] * 0.5
    return tf.concat([centre - half, centre + half], -1)


def ssd(combined: bool) -> tuple[keras.Model, Callable[[tf.Tensor], Any]]:
    """Return the network and the function of a whole detector, with suppression inside."""
    network = raw_ssd()

    def combined_suppression(image: tf.Tensor) -> dict[str, tf.Tensor]:
        deltas, logits = network(image, training=False)
        boxes, scores = decoded(deltas), tf.sigmoid(logits)
        found = tf.image.combined_non_max_suppression(
            boxes[:, :, None, :], scores, max_output_size_per_class=5, max_total_size=10
        )
        return {"boxes": found[0], "scores": found[1], "classes": found[2], "raw": boxes}

    def suppression(image: tf.Tensor) -> dict[str, tf.Tensor]:
        deltas, logits = network(image, training=False)
        boxes, scores = decoded(deltas)[0], tf.nn.softmax(logits)[0]
        best, kept = tf.math.top_k(tf.reduce_max(scores[:, 1:], -1), 100)
        boxes = tf.gather(boxes, kept)
        chosen = tf.image.non_max_suppression(boxes, best, 10)
        return {
            "boxes": tf.gather(boxes, chosen), "scores": tf.gather(best, chosen),
            "raw": decoded(deltas),
        }  # fmt: skip

    return network, combined_suppression if combined else suppression


def settle(network: keras.Model) -> None:
    """Draw all weights from one seed and give BatchNorm statistics that fit them."""
    rng = np.random.default_rng(0)
    for weight in network.weights:
        shape = tuple(weight.shape)
        if weight.name == "gamma":
            weight.assign(rng.uniform(0.5, 1.5, shape))
        elif weight.name in ("beta", "bias"):
            weight.assign(rng.normal(0.0, 0.2, shape))
        elif "kernel" in weight.name:
            fan = np.prod(shape[:2] if "depthwise" in weight.path else shape[:-1])
            weight.assign(rng.normal(0.0, (2.0 / fan) ** 0.5, shape))
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    size = tuple(network.inputs[0].shape[1:])
    network(rng.normal(size=(64, *size)).astype(np.float32), training=True)


def export(name: str, opset: int, made: Any, batch: int | None = None) -> Path:
    """Write one export and return its path.

    Args:
        name: of the network.
        opset: of the file.
        made: a Keras network, or one with the function to export.
        batch: the batch size, None for a free one.
    """
    network, function = made if isinstance(made, tuple) else (made, None)
    settle(network)
    source = network.inputs[0]
    spec = tf.TensorSpec((batch, *source.shape[1:]), tf.float32, name=source.name)
    traced = tf.function(
        function or (lambda *arguments: network(*arguments, training=False)),
        input_signature=[spec],
    )
    path = HERE / f"tf2onnx_{name}_{opset}.onnx"
    proto, _ = tf2onnx.convert.from_function(traced, input_signature=[spec], opset=opset)
    onnx.save(proto, path)
    return path


EXPORTS: list[tuple[str, list[int], Callable[[], Any], int | None]] = [
    ("resnet", [11, 17], resnet, None),
    ("mobilenet", [11, 18], mobilenet, None),
    ("unet", [15], unet, None),
    ("recurrent", [14], recurrent, None),
    ("ssd", [13], lambda: ssd(combined=False), 1),
    ("ssd_combined", [16], lambda: ssd(combined=True), 1),
]


def main() -> None:
    """Write every export."""
    logging.disable(logging.WARNING)
    for name, opsets, make, batch in EXPORTS:
        for opset in opsets:
            path = export(name, opset, make(), batch)
            print(f"{path.stat().st_size:8d}  {path.name}")


if __name__ == "__main__":
    main()
