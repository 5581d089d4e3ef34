"""Metrics of the benchmark of searches, a score per sample; numpy alone, peers use them too.

`iou` is a metric for `octavo.quantize`, which has `top1` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Outputs = Mapping[str, NDArray[np.generic]]
Scores = NDArray[np.float64]


def top1(outputs: Outputs, labels: NDArray[np.generic]) -> Scores:
    """Return 1 for each sample whose class was found, else 0; float64 `[N]`.

    Args:
        outputs: `logits`, `[N, classes]`.
        labels: integers `[N]`.
    """
    return np.asarray(outputs["logits"].argmax(axis=1) == labels, np.float64)


def iou(outputs: Outputs, labels: NDArray[np.generic]) -> Scores:
    """Return the mean intersection over union of each picture, float64 `[N]`.

    The mean is over the classes that a picture shows, the background and its digit; pixels that
    are taken for a third class are in the union of their true one.

    Args:
        outputs: `logits`, `[N, classes, height, width]`.
        labels: the classes of the pixels, integers `[N, height, width]`; two in each picture.
    """
    found = outputs["logits"].argmax(axis=1).reshape(len(labels), -1)
    true = np.asarray(labels).reshape(len(labels), -1)
    shown = (true.min(axis=1), true.max(axis=1))
    return np.mean([_overlap(found, true, chosen) for chosen in shown], axis=0)


def _overlap(
    found: NDArray[np.generic], true: NDArray[np.generic], chosen: NDArray[np.generic]
) -> Scores:
    ours, theirs = found == chosen[:, None], true == chosen[:, None]
    both, either = (ours & theirs).sum(axis=1), (ours | theirs).sum(axis=1)
    return np.asarray(both / either, np.float64)


iou.__dict__["bounds"] = (0.0, 1.0)  # Octavo then proves by bets

METRICS: dict[str, Callable[[Outputs, NDArray[np.generic]], Scores]] = {"top1": top1, "iou": iou}
