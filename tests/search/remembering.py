"""A judge that writes every trial into a study and asks nothing twice, of an earlier run either."""

from __future__ import annotations

from octavo.errors import OctavoError
from octavo.plan import Plan
from octavo.search.strategies.base import FAILED, Judge, Judged
from octavo.search.study import Record, Study


def remembered(judge: Judge, study: Study, *, name: str, seed: int | None = None) -> Judge:
    """Return a judge that looks into a study first; strategies are resumed by it.

    A strategy proposes the same plans in the same order when it runs again. Those that the study
    knows are answered at once, so that it goes on where it was.

    Args:
        judge: judges plans that the study does not know. A plan for which it raises an
            `OctavoError` has failed: it is worth nothing, and the search goes on.
        study: where trials are kept.
        name: what trials are called, with their number behind.
        seed: of the strategy.
    """
    count = 0

    def ask(plan: Plan) -> Judged:
        nonlocal count
        count += 1
        record = study.find(plan)
        if record is not None:
            return _known(record)
        trial = study.start(f"{name} {count}", plan, seed=seed)
        try:
            judged = judge(plan)
        except OctavoError as error:
            trial.fail(str(error))
            return FAILED
        except BaseException:
            trial.lose()
            raise
        trial.finish(
            {
                "loss": judged.loss_over_tolerance,
                "seconds": judged.seconds,
                "within": judged.within,
                "cost": judged.cost,
            }
        )
        return judged

    return ask


def _known(record: Record) -> Judged:
    if record.state == "failed":
        return FAILED
    found = record.measurements
    return Judged(found["loss"], found["seconds"], found["within"], found["cost"])
