"""Small detectors by hand, with the post-processing that is exported with them; 300 pixels a side.

Weights are random; what is measured of them is how far boxes move, in pixels.
"""

from __future__ import annotations

import numpy as np
import onnx
from networks import Builder
from onnx import helper

SIDE = 300
IMAGE = 96  # pixels that are fed; boxes are in units of an image of `SIDE`
ANCHORS = np.array([[30, 30], [60, 30], [30, 60]], np.float32)


class Detector(Builder):
    """A builder with what detectors are made of; names say nothing about what is decoded."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.count = 0

    def op(self, op: str, *inputs: str, **attributes: object) -> str:
        """Add a node with a running number for its name."""
        self.count += 1
        return self.node(op, list(inputs), f"n{self.count}", **attributes)

    def constant(self, array: object, dtype: type = np.float32) -> str:
        """Add a constant with a running number for its name."""
        self.count += 1
        return self.weight(f"c{self.count}", np.asarray(array, dtype))

    def block(self, x: str, cin: int, cout: int, stride: int = 2) -> str:
        """Add a convolution and a Relu."""
        self.count += 1
        return self.op("Relu", self.conv(x, f"n{self.count}", cin, cout, stride=stride))

    def head(self, x: str, cin: int, cout: int) -> str:
        """Add the last convolution of a branch, whose outputs are of the size of logits."""
        self.count += 1
        name = f"n{self.count}"
        w = self.random(f"{name}_w", cout, cin, 1, 1, scale=2.0 * cin**-0.5)
        b = self.random(f"{name}_b", cout, scale=0.5)
        return self.node("Conv", [x, w, b], name, kernel_shape=[1, 1])

    def rows(self, x: str, width: int) -> str:
        """Bring a map of anchors into rows of `width` values."""
        moved = self.op("Transpose", x, perm=[0, 2, 3, 1])
        return self.op("Reshape", moved, self.constant([0, -1, width], np.int64))

    def part(self, x: str, start: int, stop: int, axis: int = -1) -> str:
        """Take a range along an axis."""
        ends = [self.constant([value], np.int64) for value in (start, stop, axis)]
        return self.op("Slice", x, *ends)

    def add(self, x: str, constant: object) -> str:
        return self.op("Add", x, self.constant(constant))

    def mul(self, x: str, constant: object) -> str:
        return self.op("Mul", x, self.constant(constant))

    def corners(self, deltas: str, priors: np.ndarray) -> str:
        """Decode boxes as SSD does (arXiv:1512.02325): priors hold centres and sizes, in pixels."""
        centre = self.add(
            self.mul(self.mul(self.part(deltas, 0, 2), 0.1), priors[:, 2:]), priors[:, :2]
        )
        size = self.mul(self.op("Exp", self.mul(self.part(deltas, 2, 4), 0.2)), priors[:, 2:])
        half = self.mul(size, 0.5)
        low, high = self.op("Sub", centre, half), self.op("Add", centre, half)
        return self.op("Concat", low, high, axis=-1)

    def made(self, *outputs: str, batch: object = 1) -> onnx.ModelProto:
        """Return the model."""
        return self.ending(*outputs, image=[batch, 3, IMAGE, IMAGE])


def grid(size: int) -> np.ndarray:
    """Return the centres of a grid of cells in pixels, row by row, [cells, 2] as x, y."""
    centres = (np.arange(size) + 0.5) * SIDE / size
    return np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2).astype(np.float32)


def priors(*sizes: int) -> np.ndarray:
    """Return centres and sizes of three boxes a cell, [boxes, 4]."""
    found = [
        np.concatenate([np.tile(cell, (3, 1)), ANCHORS * (24 / size)], 1)
        for size in sizes
        for cell in grid(size)
    ]
    return np.concatenate(found).astype(np.float32)


def ssd(suppress: bool = True) -> onnx.ModelProto:
    """Two scales, boxes decoded from rows of all anchors; softmax scores; suppression."""
    d = Detector()
    shallow = d.block(d.block("image", 3, 16), 16, 24)
    deep = d.block(shallow, 24, 32)
    deltas = [d.rows(d.head(x, c, 12), 4) for x, c in ((shallow, 24), (deep, 32))]
    logits = [d.rows(d.head(x, c, 12), 4) for x, c in ((shallow, 24), (deep, 32))]
    scores = d.op("Softmax", d.op("Concat", *logits, axis=1), axis=-1)
    boxes = d.corners(d.op("Concat", *deltas, axis=1), priors(24, 12))
    outputs = [boxes, scores]
    if suppress:
        ranked = d.op("Transpose", scores, perm=[0, 2, 1])
        limits = [d.constant([20], np.int64), d.constant([0.5]), d.constant([0.3])]
        outputs.append(d.op("NonMaxSuppression", boxes, ranked, *limits))
    return d.made(*outputs)


def yolo(batch: object = 1) -> onnx.ModelProto:
    """Anchors on a grid, decoded scale by scale; one output of boxes in pixels beside scores."""
    d = Detector()
    shallow = d.block(d.block("image", 3, 16), 16, 24)
    deep = d.block(shallow, 24, 32)
    found = []
    for x, width, size in ((shallow, 24, 24), (deep, 32, 12)):
        raw = d.op("Reshape", d.head(x, width, 3 * 8),
                   d.constant([0, 3, 8, size, size], np.int64))  # fmt: skip
        y = d.op("Sigmoid", d.op("Transpose", raw, perm=[0, 1, 3, 4, 2]))
        cells = grid(size).reshape(1, 1, size, size, 2)
        stride = SIDE / size
        centre = d.add(d.mul(d.add(d.mul(d.part(y, 0, 2), 2.0), -1.0), stride), cells)
        doubled = d.mul(d.part(y, 2, 4), 2.0)
        shape = ANCHORS.reshape(1, 3, 1, 1, 2) * (24 / size)
        extent = d.mul(d.op("Mul", doubled, doubled), shape)
        one = d.op("Concat", centre, extent, d.part(y, 4, 8), axis=-1)
        found.append(d.op("Reshape", one, d.constant([0, -1, 8], np.int64)))
    return d.made(d.op("Concat", *found, axis=1), batch=batch)


def distances(batch: object = 1) -> onnx.ModelProto:
    """Sides as expectations over 16 bins, by a fixed convolution, as YOLOv8 has them."""
    d = Detector()
    x = d.block(d.block(d.block("image", 3, 24), 24, 64), 64, 96)
    bins, cells = d.head(x, 96, 64), grid(12).T.reshape(1, 2, 144)
    logits = d.op("Reshape", d.head(x, 96, 4), d.constant([0, 4, -1], np.int64))
    raw = d.op("Reshape", bins, d.constant([0, 4, 16, 144], np.int64))
    shares = d.op("Softmax", d.op("Transpose", raw, perm=[0, 2, 1, 3]), axis=1)
    d.weight("expectation", np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1))
    mean = d.op("Conv", shares, "expectation", kernel_shape=[1, 1])
    sides = d.mul(d.op("Reshape", mean, d.constant([0, 4, -1], np.int64)), SIDE / 12)
    low = d.op("Sub", d.constant(cells), d.part(sides, 0, 2, 1))
    high = d.op("Add", d.part(sides, 2, 4, 1), d.constant(cells))
    centre, size = d.mul(d.op("Add", low, high), 0.5), d.op("Sub", high, low)
    return d.made(d.op("Concat", centre, size, d.op("Sigmoid", logits), axis=1), batch=batch)


def two_stages() -> onnx.ModelProto:
    """Proposals, decoded, ranked and suppressed, pooled from the features, and classified."""
    d = Detector()
    x = d.block(d.block(d.block("image", 3, 16), 16, 24), 24, 32)
    rpn = d.block(x, 32, 32, stride=1)
    deltas, logits = d.rows(d.head(rpn, 32, 12), 4), d.rows(d.head(rpn, 32, 3), 1)
    flat = d.op("Reshape", d.corners(deltas, priors(12)), d.constant([-1, 4], np.int64))
    bounds = d.constant(0.0), d.constant(float(SIDE))
    boxes = d.op("Clip", flat, *bounds)
    scores = d.op("Sigmoid", d.op("Reshape", logits, d.constant([-1], np.int64)))
    d.nodes.append(
        helper.make_node("TopK", [scores, d.constant([100], np.int64)], ["best", "index"], "top")
    )
    chosen = d.op("Gather", boxes, "index", axis=0)
    batched = d.op("Unsqueeze", chosen, d.constant([0], np.int64))
    ranked = d.op("Unsqueeze", "best", d.constant([0, 1], np.int64))
    kept = d.op("NonMaxSuppression", batched, ranked, d.constant([16], np.int64),
                d.constant([0.7]), d.constant([0.0]))  # fmt: skip
    index = d.op("Squeeze", d.part(kept, 2, 3), d.constant([1], np.int64))
    proposals = d.op("Gather", chosen, index, axis=0)
    zeros = d.op("Mul", index, d.constant([0], np.int64))
    pooled = d.op("RoiAlign", x, proposals, zeros, output_height=4, output_width=4,
                  spatial_scale=12 / SIDE, sampling_ratio=2)  # fmt: skip
    y = d.op("Relu", d.gemm(d.op("Flatten", pooled), "fc", 512, 64))
    classes = d.op("Softmax", d.gemm(y, "cls", 64, 5), axis=-1)
    moved = d.gemm(y, "reg", 64, 4)
    low, high = d.part(proposals, 0, 2), d.part(proposals, 2, 4)
    size = d.op("Sub", high, low)
    centre = d.op("Add", low, d.mul(size, 0.5))
    centre = d.op("Add", d.op("Mul", d.mul(d.part(moved, 0, 2), 0.1), size), centre)
    half = d.mul(d.op("Mul", d.op("Exp", d.mul(d.part(moved, 2, 4), 0.2)), size), 0.5)
    final = d.op("Concat", d.op("Sub", centre, half), d.op("Add", centre, half), axis=-1)
    return d.made(boxes, proposals, final, classes)
