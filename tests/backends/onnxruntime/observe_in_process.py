"""Observe a network and print the peak memory of this process after each pass, in MB.

Arguments: SAMPLES:BATCH for each pass. 32 MB of tensors may be held at once, 4 MB a sample.
"""

import sys
from pathlib import Path

import numpy as np
from networks import Builder

from octavo.backends.onnxruntime import OnnxRuntimeBackend, observe
from octavo.measure import Statistics
from octavo.target import Target


def network():
    b = Builder()
    x = "image"
    for layer in range(4):
        x = b.node("Relu", [b.conv(x, f"c{layer}", 64 if layer else 3, 64)], f"r{layer}")
    return b.ending(x, image=["batch", 3, 64, 64])


def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def main():
    observe.MEMORY = 32 << 20
    backend = OnnxRuntimeBackend()
    model = backend.load(network())
    for argument in sys.argv[1:]:
        samples, size = map(int, argument.split(":"))
        batches = (
            {"image": np.full((size, 3, 64, 64), start, np.float32)}
            for start in range(0, samples, size)
        )
        statistics = Statistics([f"r{layer}_out" for layer in range(4)], limit=1024)
        backend.observe(model, batches, statistics, Target(threads=1))
        assert statistics["r0_out"].count == samples * 64**3
        print(peak())


if __name__ == "__main__":
    main()
