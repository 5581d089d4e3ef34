"""The study on disk: every trial of a search, so that a killed one goes on where it was.

Optuna is imported when a study is opened, not when this package is.
"""

from octavo.search.study.key import StudyKey
from octavo.search.study.opening import open_study
from octavo.search.study.records import Record
from octavo.search.study.study import Handle, Study

__all__ = ["Handle", "Record", "Study", "StudyKey", "open_study"]
