"""A study: trials begin, end, and are given back to a run that goes on with it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psutil

from octavo.plan import Plan
from octavo.search.study.notes import pack, plain, unpack
from octavo.search.study.records import Record, State, objectives, parameters, plan_key

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from octavo.search.study.storage import Store

LOST = "its process ended before it did"


@dataclass(frozen=True)
class Handle:
    """A running trial; one of the two methods ends it, once."""

    _store: Store
    _trial: int

    def finish(self, measurements: Mapping[str, Any]) -> None:
        """End it with what it gave.

        Args:
            measurements: JSON-ready values and arrays by name. `seconds` (measured, of a forward),
                else `predicted_seconds`, and `loss` are the objectives of the dashboard.
        """
        values = objectives(measurements)
        self._store.end_trial(self._trial, {"measurements": plain(measurements)}, values)

    def fail(self, reason: str) -> None:
        """End it because the plan cannot be built, run or judged; it is not tried again."""
        self._store.end_trial(self._trial, {"reason": reason})

    def lose(self) -> None:
        """End it because the run was interrupted; it is tried again."""
        self._store.end_trial(self._trial, {"lost": True, "reason": LOST})


class Study:
    """An open study; `open_study` makes it. Use it in a `with`, or close it.

    Attributes:
        resumed: whether it had been begun before.
    """

    def __init__(
        self, store: Store, study: int, choices: Mapping[str, Sequence[str]], resumed: bool
    ) -> None:
        self._store = store
        self._study = study
        self._choices = choices
        self._read: set[int] = set()
        self._found: dict[str, Record] = {}
        self.resumed = resumed

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give it free for other runs."""
        self._store.close()

    def start(self, name: str, plan: Plan, *, seed: int | None = None) -> Handle:
        """Begin a trial, which is on disk when this returns."""
        attributes = {
            "name": name,
            "plan": plan.to_json(),
            "recipe": plan.recipe.to_json(),
            "seed": seed,
            "process": process(),
        }
        chosen = parameters(plan, self._choices)
        return Handle(self._store, self._store.add_trial(self._study, chosen, plain(attributes)))

    def records(self) -> tuple[Record, ...]:
        """Return every trial in the order in which they began."""
        return tuple(map(_record, self._trials()))

    def _trials(self) -> list[FrozenTrial]:
        trials = self._store.trials(self._study)
        return [trial for trial in trials if "plan" in trial.user_attrs]

    def completed(self) -> tuple[Record, ...]:
        """Return the finished trials, whose results need not be computed again."""
        return tuple(record for record in self.records() if record.state == "finished")

    def find(self, plan: Plan) -> Record | None:
        """Return the trial that a plan finished or failed in; None where it is to be tried.

        Of several, the one that began last. A trial is read once after it has ended.
        """
        for trial in self._trials():
            if trial.number not in self._read and trial.state.is_finished():
                self._read.add(trial.number)
                self._learn(_record(trial))
        return self._found.get(plan_key(plan))

    def _learn(self, record: Record) -> None:
        key = plan_key(record.plan)
        known = self._found.get(key)
        if record.state != "lost" and (known is None or known.number < record.number):
            self._found[key] = record

    def note(self, stage: str, payload: object) -> None:
        """Store the result of a stage, such as prices; it replaces an earlier one.

        Args:
            stage: its name.
            payload: JSON-ready values and arrays.
        """
        self._store.set_attribute(
            self._study, f"stage: {stage}", pack(self._store.folder, stage, payload)
        )

    def noted(self, stage: str) -> Any | None:
        """Return the result of a stage, arrays as lists; None where it is to be computed."""
        stored = self._store.attributes(self._study).get(f"stage: {stage}")
        return unpack(self._store.folder, stored)

    def bury(self) -> int:
        """Mark running trials whose process is gone as lost, and return how many there were.

        In a folder, which one run has at a time, that is all of them; in a database, those of
        this machine whose process ended.
        """
        alone = self._store.folder is not None
        found = 0
        for trial in self._store.trials(self._study):
            owner = trial.user_attrs.get("process")
            if trial.state.name == "RUNNING" and (alone or is_gone(owner)):
                Handle(self._store, trial._trial_id).lose()
                found += 1
        return found


def _record(trial: FrozenTrial) -> Record:
    from octavo.search.study.storage import utc

    return Record(
        number=trial.number,
        name=trial.user_attrs["name"],
        plan=Plan.from_json(trial.user_attrs["plan"]),
        state=_state(trial.state.name, trial.user_attrs),
        measurements=trial.user_attrs.get("measurements", {}),
        reason=trial.user_attrs.get("reason"),
        seed=trial.user_attrs["seed"],
        started=utc(trial.datetime_start),
        ended=utc(trial.datetime_complete),
    )


def _state(optuna_state: str, attributes: Mapping[str, Any]) -> State:
    if optuna_state == "COMPLETE":
        return "finished"
    if optuna_state == "FAIL":
        return "lost" if attributes.get("lost") else "failed"
    return "running"


def process() -> dict[str, Any]:
    """Return what identifies this process among those of all machines."""
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "created": psutil.Process(pid).create_time(),
    }


def is_gone(owner: Mapping[str, Any] | None) -> bool:
    """Return whether a process of this machine has ended; those of others are not known to."""
    if owner is None or owner["host"] != socket.gethostname():
        return False
    try:
        other = psutil.Process(owner["pid"])
        return other.status() == psutil.STATUS_ZOMBIE or (
            abs(other.create_time() - owner["created"]) > 1.0
        )
    except psutil.NoSuchProcess:
        return True
