"""One model of a benchmark: its worker, the blocks it ran, and what they add up to."""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from octavo.arrays import Batch, batch_size
from octavo.bench.process import Limits, ModelRef, Worker
from octavo.bench.results import Measurement
from octavo.bench.schedule import Schedule, warm_up_seconds
from octavo.bench.stats import Block, latency, throughput
from octavo.errors import ArtifactError, DataError


class Side:
    """A model that takes its turn; between its turns its process is paused."""

    def __init__(self, worker: Worker, samples: int) -> None:
        """Take over a worker that has just been started, and wait for its model.

        Args:
            worker: the worker.
            samples: samples per call.
        """
        self.worker = worker
        self.samples = samples
        self.blocks: list[Block] = []
        self.cores: tuple[int, ...] = ()
        worker.receive(worker.limits.start)

    def warm_up(self, seconds: float) -> float:
        """Run without counting, and return the time of one call in seconds.

        Args:
            seconds: how long the model runs here for later calls to be at full speed.
        """
        with self._running():
            wait = warm_up_seconds(seconds) + self.worker.limits.start
            answer = self.worker.ask("warmup", wait, seconds=warm_up_seconds(seconds))
        self.cores = tuple(answer["cores"])
        return float(answer["latency"]) / 1e9

    def run(self, schedule: Schedule) -> None:
        """Run one more block."""
        with self._running():
            answer = self.worker.ask(
                "run", schedule.expected, seconds=schedule.block, lead_in=schedule.lead_in
            )
        latencies = np.array(answer["latencies"], dtype=np.int64)
        self.blocks.append(Block(self.samples, latencies, answer["started"]))

    def cpu_seconds(self) -> float:
        """Return the processor time the worker has used."""
        return float(self._usage()["cpu_seconds"])

    def escaped(self, cores: Sequence[int]) -> list[str]:
        """Return a complaint where threads were moved off the cores they were pinned to."""
        others = sorted(set(self.cores) - set(cores))
        label = self.worker.model.label
        return [f"{label!r} moved threads to cores {others}, off its own"] if others else []

    def measurement(self) -> Measurement:
        """Return what the blocks add up to."""
        return Measurement(
            label=self.worker.model.label,
            throughput=throughput(self.blocks),
            latency=latency(self.blocks),
            samples=sum(block.completed for block in self.blocks),
            peak_memory_mb=self._usage()["peak_bytes"] / 1e6,
            cores=self.cores,
        )

    def _usage(self) -> dict[str, float]:
        with self._running():
            return self.worker.ask("usage")

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        self.worker.resume()
        yield
        self.worker.pause()


@contextlib.contextmanager
def started(
    models: Sequence[ModelRef], batch: Batch, cores: Sequence[int], limits: Limits
) -> Iterator[list[Side]]:
    """Start a worker for each model, one after the other on the same cores, and end them all.

    Raises:
        OctavoError: a model cannot be loaded.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="octavo-bench-")))
        inputs = folder / "inputs.npz"
        write_batch(inputs, batch)
        sides = []
        for number, model in enumerate(models):
            worker = Worker(model, inputs, cores, limits, folder / f"worker{number}.log")
            sides.append(Side(stack.enter_context(worker), batch_size(batch)))
            worker.pause()
        yield sides


def write_batch(path: Path, batch: Batch) -> None:
    """Write arrays by name to an `.npz` file, without pickle.

    Unlike `numpy.savez` it takes any name, `file` and names with slashes too.

    Raises:
        DataError: an array holds Python objects.
        ArtifactError: the file cannot be written.
    """
    for name, array in batch.items():
        if array.dtype.hasobject:
            raise DataError(f"input {name!r} holds Python objects; expected numbers or text")
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in batch.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
    except OSError as error:
        raise ArtifactError(
            f"cannot write the inputs to {str(path)!r}: {error.strerror}; "
            "set TMPDIR to a folder with room"
        ) from error
