"""Opening a study: a new one, or one to go on with, whose key has to be the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from octavo.errors import UsageError
from octavo.search.study.key import StudyKey
from octavo.search.study.study import Study

if TYPE_CHECKING:
    from octavo.search.study.storage import Store

KEY = "key"


def open_study(
    place: Path | str,
    key: StudyKey,
    *,
    resume: bool = False,
    choices: Mapping[str, Sequence[str]] | None = None,
    name: str = "octavo",
) -> Study:
    """Open a study; earlier ones stay in the same storage, under their names.

    Studies of a name are numbered: `octavo`, `octavo 2`, ... Without `resume` a new one begins;
    with it, the newest goes on, or a first one begins where there is none.

    Args:
        place: a folder, for a journal file in it that one run has at a time; or the URL of a
            database, such as `sqlite:///study.db` or `postgresql://user@host/database`, which
            several processes can share.
        key: what its results depend on.
        resume: whether to go on with the newest study.
        choices: the names of formats that are possible, by id of the groups that are decided on.
        name: tells the studies of a shared database apart.

    Raises:
        UsageError: the study has another key, is in use, is damaged, or cannot be opened.
        MissingFrameworkError: the driver of the database is not installed.
    """
    from octavo.search.study.storage import connect

    store = connect(place, renew=not resume)
    try:
        newest = _newest(store, name)
        resumed = resume and newest is not None and _is_same(store, newest, key)
        number = newest if resumed and newest is not None else _begin(store, name, key)
        study = Study(store, number, choices or {}, resumed)
        study.bury()
    except BaseException:
        store.close()
        raise
    return study


def _numbers(store: Store, name: str) -> dict[int, int]:
    """Return the ids of the studies of a name by their number."""
    form = re.compile(re.escape(name) + r"(?: (\d+))?")
    found = {form.fullmatch(one): study for one, study in store.studies().items()}
    return {int(match[1] or 1): study for match, study in found.items() if match}


def _newest(store: Store, name: str) -> int | None:
    numbers = _numbers(store, name)
    return numbers[max(numbers)] if numbers else None


def _begin(store: Store, name: str, key: StudyKey) -> int:
    while True:
        number = max(_numbers(store, name), default=0) + 1
        study = store.create_study(name if number == 1 else f"{name} {number}")
        if study is not None:
            store.set_attribute(study, KEY, key.to_json())
            return study


def _is_same(store: Store, study: int, key: StudyKey) -> bool:
    """Return whether a study may go on; False where it was killed before it had a key.

    Raises:
        UsageError: its key is another one.
    """
    stored = store.attributes(study).get(KEY)
    if stored is None:
        return False
    differences = key.differences(StudyKey(stored))
    if differences:
        raise UsageError(
            f"the study in {store.label!r} cannot be resumed, since its results depend on "
            f"{'; '.join(differences)}; go back to what it was begun with, or leave --resume out "
            "to begin a new study (the old one is kept)"
        )
    return True
