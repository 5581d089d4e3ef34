"""Speed of ONNX models at batch 1: Octavo's INT8 against FP32 and against other quantizers.

Random weights at full size, or the demo's network. Every pair of models is measured in turns by
`octavo.bench`, each in a pinned process of its own; a peer enters with the fastest of its settings.
A network's row is written as soon as it is done, and the rows of the others are kept.

    python -m benchmarks.onnx_speed [NAME ...] [--threads 2] [--seconds 5] [--peers stock openvino]

With `--work DIR` what the peers made is kept for the next run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import onnx_models, speed_results
from benchmarks.comparison import Comparison, Options, prepare
from benchmarks.networks import VARIANTS
from benchmarks.peer_models import ENVIRONMENTS, PEERS
from octavo.target import Target


def say(text: str) -> None:
    """Tell of progress."""
    print(text, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    everything = onnx_models.names()
    parser.add_argument("networks", nargs="*", metavar="NAME", help=", ".join(everything))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each pair of models")
    parser.add_argument("--tries", type=int, default=2, help="for a pair while it is disturbed")
    parser.add_argument("--approaches", nargs="+", choices=["static", "dynamic"])
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), help="default: those installed")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="of the peers")
    parser.add_argument("--work", type=Path, help="keep the models here, to be used again")
    parser.add_argument("--output", type=Path, help="the file for the rows, as JSON")
    options = parser.parse_args()
    known = {*everything, *VARIANTS}
    if unknown := sorted(set(options.networks) - known):
        parser.error(f"no network {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    options.networks = options.networks or everything
    if options.peers is None:
        options.peers = [k for k, p in PEERS.items() if p.python(options.environments).exists()]
        if missing := sorted(set(PEERS) - set(options.peers)):
            say(f"not installed, left out: {', '.join(missing)}; run: make peers")
    return options


def rows(given: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Measure what the command line asks for, one row after the other."""
    options = Options(
        target=Target(threads=given.threads),
        seconds=given.seconds,
        tries=given.tries,
        peers=tuple(given.peers),
        environments=given.environments,
    )
    for name in given.networks:
        subject = prepare(name, folder, options.target)
        for approach in given.approaches or subject.approaches:
            say(f"{name}, {approach}, threads: {given.threads}")
            yield Comparison(subject, approach, options).row()


def main() -> None:
    """Measure and write the rows one by one."""
    given = parse()
    output = given.output or speed_results.path(given.threads)
    with tempfile.TemporaryDirectory(prefix="octavo-speed-") as place:
        for row in rows(given, (given.work or Path(place)).resolve()):
            speed_results.store(output, row)
            print(json.dumps(row), flush=True)
            say(speed_results.summary(row))


if __name__ == "__main__":
    main()
