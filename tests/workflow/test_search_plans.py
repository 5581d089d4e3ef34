import math

import numpy as np
import pytest

from octavo.bench import Measurement, PairResult
from octavo.bench.noise import Noise
from octavo.bench.stats import Latency
from octavo.errors import ExitCode, NonFiniteError
from octavo.job import QuantizeJob
from octavo.search.candidates import candidates
from octavo.search.initial import wanted_tensors
from octavo.workflow.calibrate import calibrate
from octavo.workflow.evaluate import Evaluation
from octavo.workflow.measure import Throughput
from octavo.workflow.search import Judge, search


def pair(ratio, low=None):
    fp32, int8 = (
        Measurement(label, speed, Latency(1, 1, 1), 1, 1.0, (0,))
        for label, speed in (("FP32", 100.0), ("INT8", 100.0 * ratio))
    )
    quiet = Noise(0.0, 0.0, 0.0, None)
    interval = (ratio if low is None else low, ratio)
    return PairResult(fp32, int8, ratio, interval, 4, 1.0, 1, 1, quiet)


class Scripted(Judge):
    """Scores and ratios by name of the plan, instead of evaluating and measuring."""

    def script(self, scores, ratios):
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "ratios", ratios)
        object.__setattr__(self, "calls", [])
        return self

    def evaluate(self, model, title):
        self.calls.append(title)
        return Evaluation(self.scores[title], None, "score", True, 10)

    def measure(self, trial):
        self.calls.append(f"measuring {trial.candidate.name}")
        return Throughput({"default": pair(self.ratios[trial.candidate.name])})


@pytest.fixture
def tried(setting, images, reporter, tmp_path):
    """Search with scripted scores and ratios; return the outcome and what was done."""
    from octavo.data import open_dataset

    job = QuantizeJob(tolerance="1%")
    plans = candidates(setting.graph, job)
    data = open_dataset([images], setting.model.inputs, role="calibration")
    schemes = wanted_tensors(setting.graph, [plan.plan for plan in plans])
    statistics = calibrate(setting, data, schemes, 8, reporter)

    def run(scores, ratios):
        fp32 = Evaluation(1.0, None, "score", True, 10)
        judge = Scripted(setting, job, fp32, None, 10, True, {}, tmp_path, reporter)
        named = {f"evaluating {name}": score for name, score in scores.items()}
        judge.script(named, ratios)
        return search(plans, statistics, judge), judge.calls

    return run


STATIC = ("static minmax", "static mse", "static percentile")


def test_the_first_plan_that_holds_ends_the_search(tried):
    outcome, calls = tried({"static minmax": 1.0}, {"static minmax": 2.0})
    assert outcome.exit_code == ExitCode.DONE
    assert outcome.best.candidate.name == "static minmax"
    assert calls == ["evaluating static minmax", "measuring static minmax"]
    assert len(outcome.trials) == 1


def test_other_ranges_are_tried_where_the_first_lose_too_much(tried):
    scores = {"static minmax": 0.9, "static mse": 0.95, "static percentile": 1.0}
    outcome, calls = tried(scores, {"static percentile": 2.0})
    assert outcome.exit_code == ExitCode.DONE
    assert outcome.best.candidate.name == "static percentile"
    assert calls.count("measuring static percentile") == 1
    assert [row["plan"] for row in outcome.trials] == list(STATIC)


def test_a_plan_that_is_not_faster_is_not_tried_with_other_ranges(tried):
    scores = {"static minmax": 1.0, "dynamic": 1.0}
    outcome, calls = tried(scores, {"static minmax": 0.9, "dynamic": 1.2})
    assert "evaluating static mse" not in calls
    assert outcome.exit_code == ExitCode.DONE
    assert outcome.best.candidate.name == "dynamic"


def test_nothing_faster_keeps_the_fastest_accurate_plan_for_the_report(tried):
    scores = {"static minmax": 1.0, "dynamic": 1.0}
    outcome, _ = tried(scores, {"static minmax": 0.5, "dynamic": 0.9})
    assert outcome.exit_code == ExitCode.NOT_FASTER
    assert outcome.best.candidate.name == "dynamic"


def test_nothing_accurate_keeps_the_most_accurate_plan_and_measures_it(tried):
    scores = {"static minmax": 0.8, "static mse": 0.9, "static percentile": 0.7, "dynamic": 0.6}
    outcome, calls = tried(scores, {"static mse": 0.9})
    assert outcome.exit_code == ExitCode.TOLERANCE_NOT_REACHED
    assert outcome.best.candidate.name == "static mse"
    assert calls[-1] == "measuring static mse"
    assert outcome.best.throughput is not None
    assert [row["throughput"] is not None for row in outcome.trials] == [False, True, False, False]


def test_a_score_that_is_nan_is_the_worst(tried):
    scores = dict.fromkeys((*STATIC, "dynamic"), math.nan) | {"static percentile": 0.1}
    outcome, _ = tried(scores, {"static percentile": 2.0})
    assert outcome.best.candidate.name == "static percentile"
    assert outcome.exit_code == ExitCode.TOLERANCE_NOT_REACHED


def test_nothing_to_try_keeps_the_float_model(setting, reporter, tmp_path):
    fp32 = Evaluation(1.0, None, "score", True, 10)
    judge = Scripted(setting, QuantizeJob(), fp32, None, 10, True, {}, tmp_path, reporter)
    outcome = search((), None, judge)
    assert (outcome.best, outcome.exit_code) == (None, ExitCode.NOT_FASTER)


def test_outputs_that_are_not_finite_score_nan(setting, reporter, tmp_path):
    def evaluator(session, advance):
        raise NonFiniteError("logits", 3)

    fp32 = Evaluation(1.0, np.ones(10), "score", True, 10)
    judge = Judge(setting, QuantizeJob(), fp32, evaluator, 10, True, {}, tmp_path, reporter)
    assert math.isnan(judge.evaluate(setting.model, "evaluating x").value)
    assert reporter.warned == [
        "evaluating x: tensor 'logits' holds 3 values that are NaN or infinite"
    ]


def test_faster_means_beyond_the_noise_and_against_every_baseline():
    assert Throughput({"default": pair(1.5, low=1.1)}).faster
    assert not Throughput({"default": pair(1.5, low=0.9)}).faster
    both = Throughput({"default": pair(2.0), "compiled": pair(0.9)})
    assert not both.faster
    assert both.to_json()["ratio"] == 2.0
    assert both.to_json()["baselines"]["compiled"]["ratio"] == 0.9
