"""What every script here does: quantize one model in the settings of its package, each to a folder.

The scripts run inside the peer's own environment, where Octavo is not installed; models and
calibration data come and go as files:

    python -m benchmarks.peers.quantize_nc --model m.onnx --calibration c.npz \
        --evaluation e.npz --approach static --out DIR [--settings NAME ...]

For each setting one line of JSON goes to standard output: `{"setting", "seconds"}`, and `error`
where the package failed; what the package prints goes to standard error. Nothing but numpy and the
standard library is imported here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class Task:
    """One model to quantize.

    Attributes:
        model: the float ONNX file.
        samples: calibration data, a batch of one for every sample.
        evaluation: a batch to run the result on, for peers whose result only they can run.
    """

    model: Path
    samples: tuple[Batch, ...]
    evaluation: Batch


Setting = Callable[[Task, Path], None]
"""Quantizes the model of a task and writes the result into an empty folder."""


def read_batch(path: Path) -> Batch:
    """Read arrays by name."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def single(batch: Mapping[str, np.ndarray]) -> Iterator[Batch]:
    """Yield the samples of a batch as batches of one."""
    count = len(next(iter(batch.values())))
    for index in range(count):
        yield {name: array[index : index + 1] for name, array in batch.items()}


def saturates() -> bool:
    """Return whether sums of U8 x S8 products overflow here, as on x86 without VNNI."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return platform.machine() == "x86_64" and not {"avx512_vnni", "avx_vnni"} & set(flags)


class Reader:
    """Gives samples one by one, as the calibration readers of ONNX Runtime's relatives do."""

    def __init__(self, samples: tuple[Batch, ...]) -> None:
        self._samples = samples
        self.rewind()

    def rewind(self) -> None:
        """Begin again."""
        self._rest = iter(self._samples)

    def get_next(self) -> Batch | None:
        """Return the next sample, None at the end."""
        return next(self._rest, None)


def run(settings: Mapping[str, Mapping[str, Setting]]) -> None:
    """Quantize as the command line says.

    Args:
        settings: by approach (`static`, `dynamic`) and name.
    """
    options = _options(settings)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    samples = tuple(single(read_batch(options.calibration)))
    task = Task(options.model, samples, read_batch(options.evaluation))
    known = settings[options.approach]
    for name in options.settings or known:
        answer = {"setting": name, **_attempt(known[name], task, options.out / name)}
        print(json.dumps(answer), file=answers, flush=True)


def _attempt(setting: Setting, task: Task, folder: Path) -> dict[str, object]:
    folder.mkdir(parents=True)
    begun = time.monotonic()
    try:
        setting(task, folder)
    except (Exception, SystemExit) as error:  # packages end the process where nothing is to be done
        traceback.print_exc()
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return {"error": text[:300], "seconds": time.monotonic() - begun}
    return {"seconds": time.monotonic() - begun}


def _options(settings: Mapping[str, Mapping[str, Setting]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog=sys.argv[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, required=True, help=".npz, inputs by name")
    parser.add_argument("--evaluation", type=Path, required=True, help=".npz, inputs by name")
    parser.add_argument("--approach", choices=list(settings), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--settings", nargs="*", default=[])
    return parser.parse_args()
