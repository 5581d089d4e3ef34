"""The one sentence that a quantization ends with."""

from __future__ import annotations

import math

from octavo.errors import ExitCode
from octavo.graph import Graph
from octavo.job import QuantizeJob
from octavo.search.candidates import candidates
from octavo.workflow.measure import Throughput, format_ratio
from octavo.workflow.search import Outcome
from octavo.workflow.trial import Trial

NOT_FASTER = "INT8 was not measured faster than FP32"


def explain_outcome(job: QuantizeJob, graph: Graph, outcome: Outcome) -> str:
    """Return what became of a job, and why.

    Args:
        job: what was asked for.
        graph: the float model.
        outcome: what the search found.
    """
    best = outcome.best
    if best is None:
        why = why_no_plan(outcome) or _nothing(job, graph)
        return f"{why}: the float model was kept"
    name = best.candidate.name
    if outcome.exit_code == ExitCode.TOLERANCE_NOT_REACHED:
        return _beyond(job, best, outcome)
    if outcome.exit_code == ExitCode.NOT_FASTER:
        return f"{why_not_faster(best.throughput)}; the float model was kept"
    if math.isnan(best.accuracy.int8):
        return (
            f"INT8 is faster; there is no score ({best.accuracy.metric}), as sizes differ ({name})"
        )
    if best.accuracy.verdict == "undecided":
        loss = f"the data cannot tell whether it is within {job.tolerance}"
        return f"INT8 is faster, and {loss} ({name})"
    return f"INT8 is within {job.tolerance} of FP32 and faster ({name})"


def _beyond(job: QuantizeJob, best: Trial, outcome: Outcome) -> str:
    """Return what became of a job in which plans lost too much."""
    name = best.candidate.name
    if math.isnan(best.accuracy.int8):
        kept = f"an INT8 model was kept all the same ({name})"
        return (
            f"{best.accuracy.metric} could not be computed for any plan (the warnings say why), "
            f"which counts as beyond {job.tolerance}: "
            f"{kept if outcome.keeps_int8 else 'the float model was kept'}"
        )
    if outcome.keeps_int8:
        return (
            f"no plan is within {job.tolerance} of FP32 and faster: of those beyond it that are "
            f"faster, the most accurate INT8 model was kept ({name})"
        )
    ratio = f" ({name}: {format_ratio(best.throughput.closest)})" if best.throughput else ""
    return (
        f"no plan is within {job.tolerance} of FP32, and of those beyond it none was measured "
        f"faster{ratio}: the float model was kept"
    )


def why_no_plan(outcome: Outcome) -> str | None:
    """Return why no plan could be judged, None where one was or there was none."""
    refused = f"no plan runs ({outcome.refused})" if outcome.refused else None
    return outcome.defect or refused


def _nothing(job: QuantizeJob, graph: Graph) -> str:
    unrestricted = job.model_copy(update={"float_patterns": ()})
    if job.float_patterns and candidates(graph, unrestricted):
        patterns = ", ".join(map(repr, job.float_patterns))
        return f"the patterns of --float ({patterns}) keep all groups in float"
    if job.approach == "dynamic" and candidates(
        graph, unrestricted.model_copy(update={"approach": "static"})
    ):
        return "no group of the model has a dynamic form; try --approach static"
    return "no group of the model can be quantized"


def why_not_faster(throughput: Throughput | None) -> str:
    """Return why a plan was not kept, though it is within the tolerance."""
    if throughput is None or not throughput.unclear:
        return NOT_FASTER
    return (
        f"INT8 could not be shown faster ({format_ratio(throughput.closest)}): measure on a "
        "quieter machine or with more --seconds"
    )
