"""One model of a benchmark: the workers of its instances, and what their blocks add up to."""

from __future__ import annotations

import contextlib
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octavo.arrays import Batch, batch_size
from octavo.bench.places import Place
from octavo.bench.process import Limits, ModelRef, Worker, receive_all
from octavo.bench.results import Instance, Measurement
from octavo.bench.schedule import Schedule, start_delay, warm_up_seconds
from octavo.bench.stats import Block, latency, sample_of, throughput, throughput_interval
from octavo.bench.window import Calls, Window, latencies
from octavo.errors import ArtifactError, DataError


class Side:
    """A model whose instances take their turn together; between turns they are paused.

    Attributes:
        windows: what every instance did in each block so far.
        blocks: what all of them did together.
    """

    def __init__(self, workers: Sequence[Worker], samples: int) -> None:
        """Take over workers that have just been started, and wait for their models.

        Args:
            workers: one for each instance, of one model.
            samples: samples per call.
        """
        self.workers = tuple(workers)
        self.label = workers[0].model.label
        self.samples = samples
        self.windows: list[Window] = []
        self.blocks: list[Block] = []
        self._limits = workers[0].limits
        started = receive_all(self.workers, self._limits.start)
        self._nodes = [answer["node"] for answer in started]
        self._cores = [tuple(answer["cores"]) for answer in started]

    def warm_up(self, seconds: float) -> float:
        """Run without counting, and return the longest time of one call in seconds.

        Args:
            seconds: how long the model runs here for later calls to be at full speed.
        """
        wait = warm_up_seconds(seconds) + self._limits.start
        answers = self._ask("warmup", wait, seconds=warm_up_seconds(seconds))
        self._cores = [tuple(answer["cores"]) for answer in answers]
        return max(float(answer["latency"]) for answer in answers) / 1e9

    def run(self, schedule: Schedule) -> None:
        """Run one more block on all instances, which begin at the same moment."""
        delay = start_delay(len(self.workers))
        answers = self._ask(
            "run",
            schedule.expected + delay + self._limits.answer,
            begin=time.perf_counter_ns() + int(delay * 1e9),
            seconds=schedule.block,
            lead_in=schedule.lead_in,
        )
        calls = [
            Calls(answer["started"], np.array(answer["latencies"], dtype=np.int64))
            for answer in answers
        ]
        self.windows.append(Window(tuple(calls)))
        self.blocks.append(self.windows[-1].block(self.samples))

    def cpu_seconds(self) -> float:
        """Return the processor time that the workers have used."""
        return sum(float(answer["cpu_seconds"]) for answer in self._usage())

    def escaped(self) -> list[str]:
        """Return a complaint for each instance with threads off the cores it was pinned to."""
        found = []
        for worker, cores in zip(self.workers, self._cores, strict=True):
            others = sorted(set(cores) - set(worker.place.cores))
            if others:
                found.append(f"{worker.title} moved threads to cores {others}, off its own")
        return found

    def measurement(self, seed: int) -> Measurement:
        """Return what the blocks add up to.

        Args:
            seed: of the bootstrap.
        """
        every = [latencies(self.windows, number) for number in range(len(self.workers))]
        peaks = [answer["peak_bytes"] / 1e6 for answer in self._usage()]
        instances = tuple(
            self._instance(number, found, peak)
            for number, (found, peak) in enumerate(zip(every, peaks, strict=True))
        )
        calls = np.concatenate(every)
        interval = throughput_interval(self.blocks, seed=seed)
        return Measurement(
            label=self.label,
            throughput=interval.value,
            latency=latency(calls),
            samples=round(sum(block.completed for block in self.blocks)),
            peak_memory_mb=sum(peaks),
            cores=tuple(sorted({core for cores in self._cores for core in cores})),
            throughput_ci95=(interval.low, interval.high),
            per_instance=instances,
            latencies_ms=sample_of(calls),
        )

    def _instance(self, number: int, calls: NDArray[np.int64], peak_memory_mb: float) -> Instance:
        blocks = [window.block_of(number, self.samples) for window in self.windows]
        return Instance(
            cores=self._cores[number],
            memory_node=self._nodes[number],
            throughput=throughput(blocks),
            latency=latency(calls),
            samples=round(sum(block.completed for block in blocks)),
            peak_memory_mb=peak_memory_mb,
        )

    def _usage(self) -> list[dict[str, Any]]:
        return self._ask("usage", self._limits.answer)

    def _ask(self, command: str, wait: float, **values: Any) -> list[dict[str, Any]]:
        """Let all instances do something, while no other model runs; return their answers."""
        for worker in self.workers:
            worker.resume()
        for worker in self.workers:
            worker.send(command, **values)
        answers = receive_all(self.workers, wait)
        self.pause()
        return answers

    def pause(self) -> None:
        """Halt all instances until they are asked for something."""
        for worker in self.workers:
            worker.pause()


@contextlib.contextmanager
def started(
    models: Sequence[ModelRef], batch: Batch, places: Sequence[Place], limits: Limits
) -> Iterator[list[Side]]:
    """Start the instances of each model, one model after the other in the same places.

    All workers are ended in the end, whatever happens.

    Raises:
        OctavoError: a model cannot be loaded.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="octavo-bench-")))
        inputs = folder / "inputs.npz"
        write_batch(inputs, batch)
        sides = []
        for model_number, model in enumerate(models):
            workers = []
            for number, place in enumerate(places, 1):
                log = folder / f"worker{model_number}-{number}.log"
                which = f"{number} of {len(places)}" if len(places) > 1 else ""
                worker = Worker(model, inputs, place, limits, log, which)
                workers.append(stack.enter_context(worker))
            side = Side(workers, batch_size(batch))
            side.pause()
            sides.append(side)
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
