"""The one sentence that a quantization ends with."""

from __future__ import annotations

import math
from collections.abc import Mapping

from octavo.digits import significant, tell_apart
from octavo.errors import ExitCode
from octavo.graph import Graph
from octavo.job import Objective, QuantizeJob
from octavo.search.candidates import candidates
from octavo.workflow.measure import format_closest, format_ratio
from octavo.workflow.reporter import Reporter
from octavo.workflow.search import Outcome
from octavo.workflow.trial import Trial
from octavo.workflow.verdict import Accuracy

NOT_FASTER = "INT8 was not measured faster than FP32"
BETTER: Mapping[Objective, str] = {
    "speed": "faster",
    "size": "smaller",
    "memory": "smaller in memory",
}
"""What a plan has to be by the objective."""


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
        return _beyond(job, best)
    if not outcome.keeps_int8:
        return f"{why_not_better(best)}; the float model was kept"
    better = _better(best)
    if math.isnan(best.accuracy.int8):
        metric = best.accuracy.metric
        return f"INT8 is {better}; there is no score ({metric}), as sizes differ ({name})"
    if best.accuracy.verdict == "undecided":
        loss = f"the data cannot tell whether it is within {job.tolerance}"
        return f"INT8 is {better}, and {loss} ({name})"
    shown = "proven to be within" if best.accuracy.verdict == "proven" else "within"
    return f"INT8 is {shown} {job.tolerance} of FP32 and {better} ({name})"


def _beyond(job: QuantizeJob, best: Trial) -> str:
    """Return what became of a job of which at least one plan is beyond the tolerance."""
    name, accuracy = best.candidate.name, best.accuracy
    better = BETTER[best.objective]
    if math.isnan(accuracy.int8):
        kept = f"an INT8 model was kept all the same ({name})"
        slower = f"INT8 is no {better} ({_ratio(best)}, {name}), so the float model was kept"
        return (
            f"{accuracy.metric} could not be computed for any plan (the warnings say why), "
            f"which counts as beyond {job.tolerance}: {kept if best.pays else slower}"
        )
    missed = f"no plan is within {job.tolerance} of FP32 and {better}"
    weakest = f"; {told}" if (told := weakest_output(accuracy)) else ""
    if best.pays:
        kept = f"the most accurate that is {better} was kept ({name}{weakest})"
        return f"{missed}: of those beyond it, {kept}"
    int8, fp32 = tell_apart((accuracy.int8, accuracy.fp32), significant)
    return (
        f"{missed}: the most accurate of those beyond it ({name}{weakest}) has {accuracy.metric} "
        f"{int8}, FP32 {fp32}, and is no {better} ({_ratio(best)}), so the float model was kept"
    )


def weakest_output(accuracy: Accuracy) -> str | None:
    """Return which output agrees least, None where all agree by the same amount."""
    if accuracy.weakest is None:
        return None
    name, value = accuracy.weakest
    return f"output {name!r} agrees least: {value:.4g}"


def warn_of_output(job: QuantizeJob, accuracy: Accuracy, reporter: Reporter) -> None:
    """Warn of the output that agrees least where it is beyond the tolerance by itself."""
    told = weakest_output(accuracy)
    limit = accuracy.fp32 - job.tolerance.of(accuracy.fp32)
    if told and accuracy.weakest and accuracy.weakest[1] < limit:
        rest = f"{accuracy.int8:.4g} is the mean of {len(accuracy.outputs)} outputs"
        reporter.warn(f"{told}, by itself beyond {job.tolerance}; {rest}")


def _better(trial: Trial) -> str:
    if trial.objective == "speed":
        return BETTER["speed"]
    return f"{trial.gain:.2f}x {BETTER[trial.objective]}"


def _ratio(trial: Trial) -> str:
    if trial.objective != "speed":
        return f"{trial.gain:.2f}x"
    return format_closest(trial.throughput) if trial.throughput else "not measured"


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


def why_not_kept(job: QuantizeJob, trial: Trial) -> str:
    """Return why the groups that a plan quantizes stay float."""
    slow = why_not_better(trial)
    return slow if trial.accuracy.reached else f"INT8 loses more than {job.tolerance}, and {slow}"


def why_not_better(trial: Trial) -> str:
    """Return what the measurement of a plan that does not pay tells, and than what it does not."""
    throughput = trial.throughput
    if trial.objective != "speed":
        return f"INT8 is not {BETTER[trial.objective]} than FP32 ({trial.gain:.2f}x)"
    if throughput is None:
        return NOT_FASTER
    closest = throughput.closest
    if not throughput.unclear:
        return f"INT8 was not measured faster than {closest.baseline.label}"
    return (
        f"INT8 could not be shown faster than {closest.baseline.label} ({format_ratio(closest)}): "
        "measure on a quieter machine or with more --seconds"
    )
