"""Run every benchmark in turn: `make bench`."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "benchmarks.overhead",
    "benchmarks.calibration",
    "benchmarks.onnx_speed",
    "benchmarks.openvino_speed",
    "benchmarks.pricing",
    "benchmarks.recovery",
    "benchmarks.proving",
)


def main() -> int:
    """Run each in a process of its own; return 1 when one of them failed."""
    status = 0
    for module in BENCHMARKS:
        print(f"== {module}", flush=True)
        status |= subprocess.run([sys.executable, "-m", module], check=False).returncode
    return int(bool(status))


if __name__ == "__main__":
    sys.exit(main())
