"""From an FP32 model to an INT8 artifact: the steps of `octavo.quantize` in their order."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import octavo
from octavo.artifact import Manifest, check_output, is_artifact
from octavo.backends.base import Backend
from octavo.backends.registry import find_backend
from octavo.bench import ModelRef
from octavo.errors import UsageError
from octavo.graph import Graph
from octavo.job import QuantizeJob
from octavo.loaded import ready
from octavo.model import Model
from octavo.plan import Plan, Scheme
from octavo.search.candidates import Candidate, candidates, float_reasons
from octavo.search.initial import wanted_tensors
from octavo.workflow.attempt import Attempts
from octavo.workflow.calibrate import calibrate
from octavo.workflow.exam import Examiner, make_examiner
from octavo.workflow.floatform import float_form_defect
from octavo.workflow.inputs import Given, RunData, open_run_data, warn_of_stand_ins
from octavo.workflow.judge import Judge
from octavo.workflow.judging import Judging, announce_time, check_metric, evaluate_fp32
from octavo.workflow.kept import Kept, kept_model
from octavo.workflow.measure import save_baselines
from octavo.workflow.memory import Memory, open_memory
from octavo.workflow.opened import without_quantization
from octavo.workflow.outcome import explain_outcome, warn_of_output, why_no_plan, why_not_kept
from octavo.workflow.proposals import Solving
from octavo.workflow.prospect import Prospect, job_space, space_plans
from octavo.workflow.reporter import NotingReporter, Reporter
from octavo.workflow.result import Result, peak_memory_mb
from octavo.workflow.search import Outcome, search
from octavo.workflow.setting import Setting, describe, source_record
from octavo.workflow.strategies import search_by
from octavo.workflow.trial import Trial, group_rows
from octavo.workspace import MEGABYTE, folder_size, require_space, workspace


def run(job: QuantizeJob, given: Given, reporter: Reporter) -> Result:
    """Carry out a job; see `octavo.quantize`."""
    started = time.monotonic()
    given.check(job)
    notes = NotingReporter(reporter)
    output = check_output(Path(job.output)) if job.output else None
    backend, model = _load(job, given, notes)
    data = open_run_data(job, given, model.inputs, notes)
    check_metric(job, given, data)
    sample = data.sample(model.inputs, job.benchmark_batch_size)
    setting = describe(backend, model, job.threads, sample)
    _check_corrections(job, data)
    plans = candidates(setting.graph, job, calibrated=data.calibrated)
    _check_quantized(job, setting.graph, plans, notes)
    _check_granularity(job, plans, notes)
    wanted = [plan.plan for plan in plans]
    if plans and data.calibrated:
        wanted += space_plans(job_space(setting.graph, job))
    schemes = wanted_tensors(setting.graph, wanted)
    warn_of_stand_ins(data, given, bool(schemes), notes)
    with open_memory(job, given, setting, data, notes) as memory, workspace(output) as place:
        working = _Run(job, given, setting, data, memory, place, notes, started)
        outcome, judging = _find(working, plans, schemes)
    if outcome.best is not None:
        warn_of_output(job, outcome.best.accuracy, notes)
    kept = kept_model(setting, outcome)
    seconds = time.monotonic() - started
    manifest = _manifest(job, setting, data, judging, outcome, kept, notes, seconds)
    result = _result(job, setting, outcome, kept, manifest)
    notes.say(result.reason)
    return result.save(output) if output else result


def _check_granularity(job: QuantizeJob, plans: tuple[Candidate, ...], reporter: Reporter) -> None:
    if job.per_channel:
        return
    weights = {name: plan.plan.format(name).weight for plan in plans for name in plan.quantized}
    kept = [name for name, scheme in weights.items() if scheme and scheme.axis is not None]
    if kept:
        reporter.warn(f"one weight scale per tensor is not offered for {', '.join(kept)}")


def _check_corrections(job: QuantizeJob, data: RunData) -> None:
    if not data.calibrated and not isinstance(job.correct, str):
        raise UsageError(
            f"{', '.join(job.correct)} change the model by what calibration data show; give some, "
            "or leave --correct out"
        )


def _load(job: QuantizeJob, given: Given, reporter: Reporter) -> tuple[Backend, Model]:
    backend, model = load_source(job, given)
    if job.approach != "auto" and (reason := backend.features()[job.approach]):
        raise UsageError(
            f"{backend.name} has no {job.approach} quantization: {reason}; leave out --approach"
        )
    if job.requantize:
        model = without_quantization(backend, model)
        reporter.warn(
            "the quantization that the model carried was taken out: its weights keep the old "
            "rounding, and FP32 is the model without the rest of it"
        )
    return backend, model


def _check_quantized(
    job: QuantizeJob, graph: Graph, plans: tuple[Candidate, ...], reporter: Reporter
) -> None:
    """Say that a model is quantized already; nothing is left to do where all of it is."""
    if graph.quantized and not plans and not job.float_patterns:
        raise UsageError(graph.quantized)
    if graph.quantized:
        reporter.warn(graph.quantized)


def load_source(job: QuantizeJob, given: Given) -> tuple[Backend, Model]:
    """Load the model that a job names or that Python gave.

    Raises:
        UsageError: there is neither, it is an artifact, or the runtime does not run it.
        ModelError: it cannot be read.
    """
    source = job.source if given.model is None else given.model
    if source is None:
        raise UsageError("no model was given; name a file, or set 'source' in the job file")
    if isinstance(source, str) and is_artifact(Path(source)):
        raise UsageError(f"{source!r} is an artifact already; give the FP32 model it was made from")
    backend = find_backend(source, job.runtime)
    return backend, backend.load(source, trust=job.trust)


@dataclass(frozen=True)
class _Run:
    """What the steps of one run share.

    Attributes:
        job: what was asked for.
        given: what only Python can give.
        setting: the float model and its target.
        data: to calibrate and to evaluate on.
        memory: knows what earlier runs of the same job found.
        place: a folder for models that are measured.
        reporter: is told the progress.
        started: the monotonic clock when the run began, seconds.
    """

    job: QuantizeJob
    given: Given
    setting: Setting
    data: RunData
    memory: Memory
    place: Path
    reporter: Reporter
    started: float

    def evaluate_fp32(self) -> Judging:
        """Evaluate the float model, after the time that all will take was told."""
        announce_time(self.setting, self.job, self.data, self.reporter)
        return evaluate_fp32(self.setting, self.job, self.given, self.data, self.reporter)

    def judge(self, judging: Judging, baselines: Mapping[str, ModelRef]) -> Judge:
        """Return what judges plans."""
        return Judge(
            self.setting,
            self.job,
            judging.fp32,
            judging.evaluator,
            judging.fp32.samples,
            self.given.evaluate is not None or self.data.evaluated_on != "random",
            baselines,
            self.place,
            self.reporter,
            self.data.calibration,
            _examiner(self.job, judging, self.data),
            memory=self.memory,
            started=self.started,
        )


def _find(
    run: _Run, plans: tuple[Candidate, ...], schemes: Mapping[str, Scheme]
) -> tuple[Outcome, Judging]:
    job, setting, data, reporter = run.job, run.setting, run.data, run.reporter
    baselines = save_baselines(setting, run.place, job.trust)
    size = folder_size(run.place)
    # a candidate to measure and the final artifact, neither larger than FP32
    require_space(run.place, 2 * size)
    reporter.say(f"about {3 * size // MEGABYTE + 1} MB on disk while working")
    judging = run.evaluate_fp32()
    if plans and (defect := float_form_defect(setting, data.calibration, reporter)):
        reporter.warn(defect)
        return Outcome(None, defect=defect), judging
    statistics = (
        calibrate(setting, data.calibration, schemes, job.batch_size, reporter) if schemes else None
    )
    judge = run.judge(judging, baselines)
    if statistics is None or not data.calibrated:
        if job.strategy != "solve":
            reporter.warn(
                f"the strategy {job.strategy} needs calibration data; plans are tried in turn"
            )
        return search(plans, statistics, judge), judging
    prospect = Prospect(
        setting, job, statistics, data.calibration, reporter, run.memory, job.objective
    )
    judge = replace(judge, correction=prospect.corrected)
    if job.strategy != "solve" and plans:
        attempts = Attempts(statistics, judge)
        return search_by(job.strategy, prospect, attempts, plans[0]), judging
    return search(Solving(plans, prospect, job, reporter), statistics, judge), judging


def _examiner(job: QuantizeJob, judging: Judging, data: RunData) -> Examiner | None:
    """Return what judges by some samples first; data that made the plans prove nothing of them."""
    if data.evaluated_on != "evaluation" or job.allow_overlap:
        return None
    return make_examiner(judging.evaluator, judging.fp32, job.tolerance, job.seed)


def _manifest(
    job: QuantizeJob,
    setting: Setting,
    data: RunData,
    judging: Judging,
    outcome: Outcome,
    kept: Kept,
    notes: NotingReporter,
    seconds: float,
) -> Manifest:
    best = outcome.best
    int8 = best if outcome.keeps_int8 else None
    reasons = best.candidate.reasons if best else float_reasons(setting.graph, job)
    measurements = {
        "accuracy": _accuracy(best, judging),
        "throughput": best.throughput.to_json() if best and best.throughput else None,
        "evaluations": outcome.evaluations,
        "seconds": seconds,
        "peak_memory_mb": peak_memory_mb(),
        "groups": {"total": len(setting.graph.groups), "int8": int8.executed if int8 else 0},
        "evaluated_on": data.evaluated_on,
        "tolerance": str(job.tolerance),
    }
    return Manifest(
        octavo=octavo.__version__,
        backend=setting.backend.name,
        source=source_record(setting.model),
        fingerprint=setting.graph.fingerprint,
        plan=int8.candidate.plan if int8 else Plan(),
        ranges=int8.ranges if int8 else {},
        job=job.to_json(),
        preprocessing=data.preprocessing,
        versions=_versions(setting.backend),
        cpu=setting.target.cpu.model,
        threads=job.threads,
        saved="int8" if int8 else "fp32",
        reason=explain_outcome(job, setting.graph, outcome) + kept.form,
        exit_code=int(outcome.exit_code),
        measurements=measurements,
        scales=_scales(int8),
        groups=group_rows(setting.graph, kept.audits, _reasons(job, setting, outcome, reasons)),
        trials=outcome.trials,
        notes=tuple(notes.notes),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _scales(kept: Trial | None) -> dict[str, Any]:
    scales = kept.corrected.scales if kept and kept.corrected else {}
    return {
        name: {"axis": axis, "factor": factor.astype(np.float32).tolist()}
        for name, (axis, factor) in scales.items()
    }


def _reasons(
    job: QuantizeJob, setting: Setting, outcome: Outcome, reasons: Mapping[str, str]
) -> Mapping[str, str]:
    if outcome.best is None:
        why = why_no_plan(outcome)
        asked = (group.id for group in setting.graph.groups)
        return dict.fromkeys(asked, why) | dict(reasons) if why else reasons
    if outcome.keeps_int8:
        return reasons
    return dict(reasons) | dict.fromkeys(
        outcome.best.candidate.quantized, why_not_kept(job, outcome.best)
    )


def _accuracy(best: Trial | None, judging: Judging) -> dict[str, Any]:
    if best is not None:
        return best.accuracy.to_json()
    fp32 = judging.fp32
    return {
        "fp32": fp32.value,
        "int8": None,
        "change_relative": None,
        "metric": fp32.metric,
        "higher_is_better": fp32.higher_is_better,
        "samples": fp32.samples,
        "verdict": None,
    }


def _versions(backend: Backend) -> dict[str, str]:
    return {"octavo": octavo.__version__, **backend.versions()}


def _result(
    job: QuantizeJob, setting: Setting, outcome: Outcome, kept: Kept, manifest: Manifest
) -> Result:
    return Result(
        model=ready(kept.model, job.threads, manifest),
        saved="int8" if outcome.keeps_int8 else "fp32",
        exit_code=outcome.exit_code,
        reason=manifest.reason,
        manifest=manifest,
        write=lambda folder: setting.backend.save(kept.model, folder),
    )
