"""The parent's side of a worker process: start it, ask it, pause it, and never leave it behind."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from octavo.bench.places import Place
from octavo.errors import (
    ArtifactError,
    DataError,
    MissingFrameworkError,
    ModelError,
    OctavoError,
    TrustError,
    UsageError,
)

_KINDS: tuple[type[OctavoError], ...] = (
    UsageError,
    ModelError,
    DataError,
    ArtifactError,
    MissingFrameworkError,
    TrustError,
)
_QUIT_SECONDS = 5.0
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class ModelRef:
    """A model on disk, to be run by a worker.

    Attributes:
        backend: the name of its backend.
        folder: what `Backend.save` wrote.
        label: what results and errors call it.
        trust: the model may run code of its own.
        imports: modules the worker imports first; a backend from outside the package registers
            itself in one.
        program: the command that starts its worker, for a runtime in an environment of its own; it
            takes the options of `octavo.bench.worker` and finds, beside its environment, the
            folder that Octavo lies in. Empty for this interpreter.
    """

    backend: str
    folder: Path
    label: str
    trust: bool = False
    imports: tuple[str, ...] = ()
    program: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """How long the parent waits before a worker counts as hung, in seconds.

    Attributes:
        start: for loading the model, and again for the first calls, which may compile.
        answer: for any other answer, beyond the time that was asked for.
    """

    start: float = 600.0
    answer: float = 60.0


DEFAULT_LIMITS = Limits()


def _command(model: ModelRef, inputs: Path, place: Place) -> list[str]:
    options = ["--backend", model.backend, "--folder", str(model.folder), "--inputs", str(inputs)]
    options += ["--cores", ",".join(map(str, place.cores)), "--parent", str(os.getpid())]
    options += [] if place.node is None else ["--node", str(place.node)]
    options += [part for module in model.imports for part in ("--import", module)]
    program = model.program or (sys.executable, "-P", "-m", "octavo.bench.worker")
    return [*program, *options] + (["--trust"] if model.trust else [])


def _environment(model: ModelRef) -> dict[str, str]:
    """The worker finds the same modules as this process, in the same order.

    Another environment has its own modules, of which ours would take the place.
    """
    places = [str(_ROOT)] if model.program else [entry or str(Path.cwd()) for entry in sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places)}


class Worker:
    """One instance of a model in a process of its own; a context manager that ends the process.

    `send` and `receive_all` are apart so that all instances are told to run before the first is
    heard. The process leads a session of its own: Ctrl-C does not reach it, and ending its process
    group ends what its framework may have started.
    """

    def __init__(
        self,
        model: ModelRef,
        inputs: Path,
        place: Place,
        limits: Limits,
        log: Path,
        number: str = "",
    ) -> None:
        """Start the process; `receive` then waits for the model to be loaded.

        Args:
            model: what it runs.
            inputs: the `.npz` file with the batch it runs.
            place: the cores it is pinned to, as many as it has threads, and its memory node.
            limits: how long it may take.
            log: the file for what it prints.
            number: which instance it is, such as `2 of 4`; empty where there is one.

        Raises:
            OctavoError: the system lets no process be started.
        """
        self.model = model
        self.place = place
        self.limits = limits
        self.title = repr(model.label) + (f" (instance {number})" if number else "")
        self._log = log
        self._received = b""
        try:
            with log.open("wb") as errors:
                self._process = subprocess.Popen(
                    _command(model, inputs, place),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    bufsize=0,
                    env=_environment(model),
                    start_new_session=True,
                )
        except OSError as error:
            raise OctavoError(
                f"cannot start the worker that runs {self.title}: {error.strerror}"
            ) from error

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._quit()
        finally:
            self.kill()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()

    def ask(self, command: str, wait: float = 0.0, **values: Any) -> dict[str, Any]:
        """Send a command and return its answer.

        Args:
            command: `warmup`, `run` or `usage`.
            wait: the seconds it is expected to take.
            values: the command's arguments.
        """
        self.send(command, **values)
        return self.receive(wait + self.limits.answer)

    def send(self, command: str, **values: Any) -> None:
        """Send a command without waiting.

        Raises:
            OctavoError: the worker is dead.
        """
        assert self._process.stdin is not None
        line = json.dumps({"command": command, **values}).encode() + b"\n"
        try:
            self._process.stdin.write(line)
        except BrokenPipeError:
            raise self._death() from None

    def receive(self, seconds: float) -> dict[str, Any]:
        """Wait for its next answer; see `receive_all`."""
        return receive_all([self], seconds)[0]

    def pause(self) -> None:
        """Stop its threads, which may go on spinning for long after their last call."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process and those it started, at once; a second time does nothing."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    @property
    def output(self) -> int:
        """The file descriptor that its answers come from."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def take(self) -> dict[str, Any] | None:
        """Read what it has written, which must not be nothing; None where no answer is complete.

        Raises:
            OctavoError: it died, or answered with an error, which is raised as the kind it was
                there.
        """
        chunk = os.read(self.output, 1 << 16)
        if not chunk:
            raise self._death()
        self._received += chunk
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return None
        self._received = rest
        return self._accepted(json.loads(line))

    def silence(self, seconds: float) -> OctavoError:
        """Return the error of a worker that gave no answer."""
        return OctavoError(
            f"the worker that runs {self.title} gave no answer within {seconds:g} seconds and was "
            f"stopped{self._last_words()}"
        )

    def _accepted(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "error" not in answer:
            return answer
        kinds = {kind.__name__: kind for kind in _KINDS}
        kind = kinds.get(answer["error"]["type"], OctavoError)
        raise kind(f"cannot run {self.title}: {answer['error']['message']}")

    def _quit(self) -> None:
        """Let it end by itself; not waited for, so that `kill` still owns the process group."""
        self.resume()
        with contextlib.suppress(OctavoError):
            self.send("quit")
            _readable([self], _QUIT_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        # Before `wait` has returned, the id cannot have passed to another process.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _death(self) -> OctavoError:
        self.kill()
        code = self._process.returncode
        killer = signal.Signals(-code).name if code < 0 else None
        how = f"was killed by {killer}" if killer else f"ended with status {code}"
        hint = ", perhaps for want of memory" if code == -signal.SIGKILL else ""
        return OctavoError(f"the worker that runs {self.title} {how}{hint}{self._last_words()}")

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return f"; its last words: {lines[-1].strip()}" if lines else ""


def receive_all(workers: Sequence[Worker], seconds: float) -> list[dict[str, Any]]:
    """Wait for one answer of each worker; the first failure of any ends the waiting.

    Args:
        workers: those that were sent a command.
        seconds: how long all of them may take.

    Raises:
        OctavoError: a worker died, gave no answer in time, or answered with an error.
    """
    deadline = time.monotonic() + seconds
    answers: dict[int, dict[str, Any]] = {}
    waiting = {worker.output: worker for worker in workers}
    while waiting:
        ready = _readable(waiting.values(), deadline - time.monotonic())
        if not ready:
            raise next(iter(waiting.values())).silence(seconds)
        for output in ready:
            answer = waiting[output].take()
            if answer is not None:
                answers[output] = answer
                del waiting[output]
    return [answers[worker.output] for worker in workers]


def _readable(workers: Iterable[Worker], seconds: float) -> list[int]:
    """Wait until some workers have written or ended; return their outputs."""
    poll = select.poll()
    for worker in workers:
        poll.register(worker.output, select.POLLIN)
    return [output for output, _ in poll.poll(max(0.0, seconds) * 1000)]
