"""SSD MobileNetV1 as tf2onnx writes TensorFlow's object detection API, in NCHW after its optimizer.

Sources: Liu et al., SSD: Single Shot MultiBox Detector (2016); Howard et al., MobileNets (2017);
the anchors and scales are those of the configuration ssd_mobilenet_v1_coco.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from octavo.arrays import FloatArray
from octavo.backends.onnxruntime.builder import Builder

CLASSES = 90
GRIDS = (19, 10, 5, 3, 2, 1)
RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
ANCHORS = 1917
MOST_BOXES = 100
_STEPS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5)
"""Channels and stride of the depthwise separable layers up to the first detector's feature map."""


def ssd_mobilenet_v1(size: int = 300, suppress: bool = False) -> onnx.ModelProto:
    """SSD300 on MobileNetV1 for the 90 classes of COCO, 1.2 G multiply-adds.

    The image is the resized and scaled one, NHWC as in TensorFlow; the resizing in front of it,
    a Loop over images, is left out.

    Args:
        size: of the image.
        suppress: end with NonMaxSuppression and the best 100 boxes (batch 1 only); else with the
            boxes and scores that it reads.
    """
    b = Builder()
    x = b.node("Transpose", ["image"], "nchw", perm=[0, 3, 1, 2])
    maps = _features(b, x, size)
    codes = _predict(b, maps, "boxes", 4, spread=2.0, bias=0.0)
    codes = b.node("Concat", codes, "box_codes", axis=1)
    codes = b.node("Squeeze", [codes, b.weight("box_axis", np.array([2]))], "box_codes_3d")
    logits = b.node(
        "Concat", _predict(b, maps, "classes", CLASSES + 1, spread=3.0, bias=-4.0), "logits", axis=1
    )
    boxes = _decode(b, codes)
    scores = b.node("Sigmoid", [logits], "scores_all")
    arguments = {"starts": [1], "ends": [CLASSES + 1], "axes": [2]}
    cut = [b.weight(f"score_{name}", np.array(value)) for name, value in arguments.items()]
    scores = b.node("Slice", [scores, *cut], "scores")
    outputs: dict[str, list[object]]
    if suppress:
        outputs = _suppress(b, boxes, scores)
    else:
        outputs = {boxes: ["batch", ANCHORS, 4], scores: ["batch", ANCHORS, CLASSES]}
    image = (TensorProto.FLOAT, [1 if suppress else "batch", size, size, 3])
    return b.model({"image": image}, outputs)


class _Trunk:
    """Appends convolutions with TensorFlow's padding SAME, each followed by Relu6."""

    def __init__(self, b: Builder, size: int) -> None:
        self.b = b
        self.size = size
        self.channels = 3

    def conv(self, x: str, name: str, cout: int, k: int, stride: int, depthwise: bool) -> str:
        group = self.channels if depthwise else 1
        size = -(-self.size // stride)
        padding = max(0, (size - 1) * stride + k - self.size)
        y = self.b.conv(x, name, self.channels, cout, k=k, stride=stride, group=group)
        pads = [padding // 2] * 2 + [padding - padding // 2] * 2
        for attribute in self.b.nodes[-1].attribute:
            if attribute.name == "pads":
                attribute.ints[:] = pads
        self.size, self.channels = size, cout
        return self.b.relu6(y, f"{name}_6")


def _features(b: Builder, x: str, size: int) -> list[tuple[str, int]]:
    """Append the trunk; return name and channels of the six feature maps."""
    trunk, maps = _Trunk(b, size), []
    x = trunk.conv(x, "conv0", 32, 3, 2, False)
    for index, (cout, stride) in enumerate((*_STEPS, (1024, 2), (1024, 1)), start=1):
        x = trunk.conv(x, f"dw{index}", trunk.channels, 3, stride, True)
        x = trunk.conv(x, f"pw{index}", cout, 1, 1, False)
        if index in (len(_STEPS), len(_STEPS) + 2):
            maps.append((x, cout))
    for index, (squeezed, cout) in enumerate(((256, 512), (128, 256), (128, 256), (64, 128))):
        x = trunk.conv(x, f"extra{index}_1x1", squeezed, 1, 1, False)
        x = trunk.conv(x, f"extra{index}_3x3", cout, 3, 2, False)
        maps.append((x, cout))
    return maps


def _predict(
    b: Builder, maps: list[tuple[str, int]], name: str, depth: int, spread: float, bias: float
) -> list[str]:
    """Append a 1x1 convolution per feature map; return [batch, anchors, (1,) depth] of each."""
    found = []
    for index, (x, channels) in enumerate(maps):
        cout = depth * (6 if index else 3)
        label = f"{name}{index}"
        scale = spread * (2 / channels) ** 0.5
        w = b.random(f"{label}_w", cout, channels, 1, 1, scale=scale)
        shift = b.weight(f"{label}_b", np.full(cout, bias, np.float32))
        y = b.node("Conv", [x, w, shift], label, kernel_shape=[1, 1], strides=[1, 1])
        y = b.node("Transpose", [y], f"{label}_nhwc", perm=[0, 2, 3, 1])
        shape = (0, -1, 1, depth) if depth == 4 else (0, -1, depth)
        found.append(b.reshape(y, f"{label}_flat", *shape))
    return found


def anchors() -> FloatArray:
    """Return the anchors: centre y, centre x, height, width; shape [4, 1917]."""
    scales = [*np.linspace(0.2, 0.95, len(GRIDS)), 1.0]
    rows = []
    for index, grid in enumerate(GRIDS):
        shapes = [(scales[index], ratio) for ratio in RATIOS]
        shapes.append(((scales[index] * scales[index + 1]) ** 0.5, 1.0))
        if index == 0:
            shapes = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        centres = (np.arange(grid) + 0.5) / grid
        rows += [
            (y, x, scale / ratio**0.5, scale * ratio**0.5)
            for y in centres
            for x in centres
            for scale, ratio in shapes
        ]
    return np.array(rows, np.float32).T


def _decode(b: Builder, codes: str) -> str:
    """Append the decoding of [batch, 1917, 4] codes into corners of boxes."""
    centre_y, centre_x, height, width = (
        b.weight(f"anchor_{name}", row) for name, row in zip("yxhw", anchors(), strict=True)
    )
    by_code = b.node("Transpose", [codes], "codes_first", perm=[2, 0, 1])
    parts = _unstack(b, by_code, "code", 4)
    ty, tx = (_over(b, part, f"t{name}", 10.0) for name, part in zip("yx", parts[:2], strict=True))
    th, tw = (_over(b, part, f"t{name}", 5.0) for name, part in zip("hw", parts[2:], strict=True))
    h = b.node("Mul", [b.node("Exp", [th], "exp_h"), height], "box_h")
    w = b.node("Mul", [b.node("Exp", [tw], "exp_w"), width], "box_w")
    y = b.node("Add", [b.node("Mul", [ty, height], "move_y"), centre_y], "box_y")
    x = b.node("Add", [b.node("Mul", [tx, width], "move_x"), centre_x], "box_x")
    half_h, half_w = _over(b, h, "half_h", 2.0), _over(b, w, "half_w", 2.0)
    corners = [
        b.node(op, [centre, half], f"{name}_{op.lower()}")
        for op in ("Sub", "Add")
        for name, centre, half in (("y", y, half_h), ("x", x, half_w))
    ]
    axis = b.weight("corner_axis", np.array([2]))
    stacked = [b.node("Unsqueeze", [c, axis], f"corner{i}") for i, c in enumerate(corners)]
    return b.node("Concat", stacked, "boxes", axis=2)


def _unstack(b: Builder, x: str, name: str, count: int) -> list[str]:
    names = [f"{name}{index}_row" for index in range(count)]
    axis = b.weight(f"{name}_axis", np.array([0]))
    split = onnx.helper.make_node("Split", [x], names, name=f"{name}_split", axis=0)
    b.nodes.append(split)
    return [b.node("Squeeze", [row, axis], f"{name}{i}") for i, row in enumerate(names)]


def _over(b: Builder, x: str, name: str, divisor: float) -> str:
    return b.node("Div", [x, b.weight(f"{name}_by", np.float32(divisor))], name)


def _suppress(b: Builder, boxes: str, scores: str) -> dict[str, list[object]]:
    """Append NonMaxSuppression and the choice of the best boxes; return the outputs' shapes."""
    by_class = b.node("Transpose", [scores], "scores_by_class", perm=[0, 2, 1])
    limits = [
        b.weight("most_boxes", np.array([MOST_BOXES])),
        b.weight("most_overlap", np.array([0.6], np.float32)),
        b.weight("least_score", np.array([0.3], np.float32)),
    ]
    chosen = b.node("NonMaxSuppression", [boxes, by_class, *limits], "suppress")
    kept = b.node("GatherND", [by_class, chosen], "kept_scores")
    most = b.node("Min", [b.node("Shape", [kept], "kept_count"), limits[0]], "count")
    top = onnx.helper.make_node("TopK", [kept, most], ["best_scores", "best"], name="top", axis=0)
    b.nodes.append(top)
    rows = b.node("Gather", [chosen, "best"], "best_rows", axis=0)
    image, kind, box = (
        b.node("Gather", [rows, b.weight(f"{name}_column", np.array([i]))], f"best_{name}", axis=1)
        for i, name in enumerate(("image", "class", "box"))
    )
    where = b.node("Concat", [image, box], "where", axis=1)
    best_boxes = b.node("GatherND", [boxes, where], "best_boxes")
    classes = b.node("Cast", [kind], "best_classes", to=TensorProto.FLOAT)
    return {best_boxes: ["found", 4], "best_scores": ["found"], classes: ["found", 1]}
