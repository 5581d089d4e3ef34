"""Optuna's storages: a journal in a folder, or a database by its URL. Imports Optuna."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from octavo.errors import MissingFrameworkError, UsageError
from octavo.search.study import journal

DIRECTIONS = (StudyDirection.MINIMIZE, StudyDirection.MINIMIZE)
OBJECTIVES = ["seconds", "loss"]
PATIENCE = 60.0
"""Seconds that a writer waits for another one of the same SQLite file."""


class Store:
    """The part of Optuna's storage that a study needs; ids are Optuna's.

    Attributes:
        label: what messages call it, without a password.
        folder: the folder of a journal; None for a database.
    """

    def __init__(self, storage: BaseStorage, label: str, folder: Path | None, lock: int | None):
        self._storage = storage
        self._lock = lock
        self.label = label
        self.folder = folder

    def close(self) -> None:
        """Give it free for other processes."""
        self._storage.remove_session()
        if isinstance(self._storage, RDBStorage):
            self._storage.engine.dispose()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def studies(self) -> dict[str, int]:
        """Return the id of every study by name."""
        return {one.study_name: one._study_id for one in self._storage.get_all_studies()}

    def create_study(self, name: str) -> int | None:
        """Create a study; return None where another process has just created one of that name."""
        try:
            with quiet():
                study = self._storage.create_new_study(DIRECTIONS, name)
        except DuplicatedStudyError:
            return None
        self._storage.set_study_system_attr(study, "study:metric_names", OBJECTIVES)
        return study

    def attributes(self, study: int) -> dict[str, Any]:
        """Return what `set_attribute` stored."""
        return self._storage.get_study_user_attrs(study)

    def set_attribute(self, study: int, name: str, value: object) -> None:
        """Store a JSON-ready value beside the trials."""
        self._storage.set_study_user_attr(study, name, value)

    def add_trial(
        self,
        study: int,
        parameters: Mapping[str, tuple[str, tuple[str, ...]]],
        attributes: Mapping[str, object],
    ) -> int:
        """Add a running trial in one write, and return its id.

        Args:
            study: the study's id.
            parameters: value and possible values by name.
            attributes: JSON-ready values by name.
        """
        template = create_trial(
            state=TrialState.RUNNING,
            params={name: value for name, (value, _) in parameters.items()},
            distributions={
                name: CategoricalDistribution(choices) for name, (_, choices) in parameters.items()
            },
            user_attrs=dict(attributes),
        )
        return self._storage.create_new_trial(study, template)

    def end_trial(
        self,
        trial: int,
        attributes: Mapping[str, object],
        values: tuple[float, float] | None = None,
    ) -> None:
        """End a trial, with its objectives or, without, as failed."""
        for name, value in attributes.items():
            self._storage.set_trial_user_attr(trial, name, value)
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        self._storage.set_trial_state_values(trial, state, values)

    def trials(self, study: int) -> list[FrozenTrial]:
        """Return every trial of a study in the order in which they began."""
        return self._storage.get_all_trials(study, deepcopy=False)


def connect(place: Path | str, *, renew: bool = False) -> Store:
    """Open the storage in a folder or at a URL; what is missing is created.

    Args:
        place: a folder, for a journal in it, or a URL such as `sqlite:///study.db` or
            `postgresql://user@host/database`.
        renew: a damaged journal is set aside, and a new one begun.

    Raises:
        UsageError: it cannot be opened, is damaged, or, a journal, is in use by another process.
        MissingFrameworkError: the driver of the database is not installed.
    """
    if isinstance(place, str) and "://" in place:
        return _database(place)
    folder = Path(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _journal(folder, renew)
    except OSError as error:
        raise UsageError(
            f"the study in {str(folder)!r} cannot be opened: {error.strerror or error}"
        ) from None


class _Unlocked(JournalFileOpenLock):
    """No lock, for a file that one process owns; Optuna's own outlives a killed process."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


class _Journal(JournalFileBackend):
    """A journal in which a write that fails (a full disk) leaves nothing."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        size = Path(self._file_path).stat().st_size
        try:
            super().append_logs(logs)
        except BaseException:
            with suppress(OSError):
                os.truncate(self._file_path, size)
            raise


def _journal(folder: Path, renew: bool) -> Store:
    path = folder / journal.NAME
    lock = journal.own(path)
    try:
        try:
            journal.repair(path)
        except journal.DamagedJournalError:
            if not renew:
                raise
            journal.set_aside(path)
            os.close(lock)
            lock = journal.own(path)
        storage = JournalStorage(_Journal(str(path), lock_obj=_Unlocked(str(path))))
    except BaseException:
        os.close(lock)
        raise
    return Store(storage, str(folder), folder, lock)


def _database(url: str) -> Store:
    from sqlalchemy.exc import SQLAlchemyError

    label = re.sub(r"://([^:/@]*):[^@]*@", r"://\1:***@", url)
    url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
    options = {"connect_args": {"timeout": PATIENCE}} if url.startswith("sqlite") else {}
    for attempt in range(5):
        try:
            with quiet():
                return Store(RDBStorage(url, engine_kwargs=options), label, None, None)
        except ImportError:
            raise MissingFrameworkError(
                f"no driver is installed for the database {label!r}; for PostgreSQL run: "
                "pip install 'psycopg[binary]>=3.1'"
            ) from None
        except (SQLAlchemyError, RuntimeError) as error:
            failure = error
        time.sleep(0.1 * attempt)  # two processes that create the tables at once: one fails
    lines = str(getattr(failure, "orig", None) or failure).strip().splitlines()
    raise UsageError(
        f"the study in {label!r} cannot be opened: {lines[0] if lines else failure!r}; check the "
        "address, and that the server runs"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from logging; what the user set for it holds again afterwards."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def utc(moment: datetime | None) -> datetime | None:
    """Return a moment of Optuna's, which are in local time without saying so, in UTC."""
    return None if moment is None else moment.astimezone(UTC)
