import math
from dataclasses import replace

import numpy as np
import pytest

from octavo.backends.base import Edit
from octavo.bench import Measurement, PairResult
from octavo.bench.noise import Noise
from octavo.bench.stats import Latency
from octavo.data import open_dataset
from octavo.errors import (
    DataError,
    ExitCode,
    ModelError,
    NonFiniteError,
    OctavoError,
    UnequalSizesError,
)
from octavo.job import QuantizeJob
from octavo.plan import Range
from octavo.search.candidates import candidates
from octavo.search.initial import wanted_tensors
from octavo.tolerance import Tolerance
from octavo.workflow import attempt as attempt_module
from octavo.workflow import measure
from octavo.workflow.calibrate import calibrate
from octavo.workflow.evaluation import Evaluation
from octavo.workflow.finite import explain_weights
from octavo.workflow.judge import Judge
from octavo.workflow.measure import Throughput
from octavo.workflow.outcome import explain_outcome, warn_of_output, why_not_better
from octavo.workflow.search import Outcome, search
from octavo.workflow.trial import Trial
from octavo.workflow.verdict import judge as judge_accuracy


def pair(ratio, low=None, high=None, baseline="FP32"):
    fp32, int8 = (
        Measurement(label, speed, Latency(1, 1, 1), 1, 1.0, (0,))
        for label, speed in ((baseline, 100.0), ("INT8", 100.0 * ratio))
    )
    quiet = Noise(0.0, 0.0, 0.0, None)
    interval = (ratio if low is None else low, ratio if high is None else high)
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
    job = QuantizeJob(tolerance="1%", correct="none")
    plans = [
        *candidates(setting.graph, job),
        *candidates(setting.graph, QuantizeJob(approach="dynamic", correct="none")),
    ]
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


def test_a_tolerance_that_was_missed_is_not_hidden_by_a_plan_that_does_next_to_nothing(tried):
    scores = {"static minmax": 0.8, "static mse": 0.9, "static percentile": 0.7, "dynamic": 1.0}
    outcome, calls = tried(scores, {"static mse": 2.0, "dynamic": 0.99})
    assert outcome.exit_code == ExitCode.TOLERANCE_NOT_REACHED
    assert outcome.best.candidate.name == "static mse"
    assert outcome.best.throughput.ratios == [2.0]
    assert calls[-1] == "measuring static mse"
    reason = explain_outcome(QuantizeJob(), None, outcome)
    assert "no plan is within 1% of FP32 and faster" in reason
    assert "of those beyond it, the most accurate that is faster was kept (static mse)" in reason
    assert outcome.keeps_int8


def test_ranges_that_missed_the_tolerance_do_not_hide_that_others_are_accurate(tried):
    scores = {"static minmax": 0.8, "static mse": 1.0, "dynamic": 1.0}
    outcome, calls = tried(scores, {"static mse": 0.95, "dynamic": 0.9})
    assert outcome.exit_code == ExitCode.NOT_FASTER
    assert (outcome.best.candidate.name, outcome.keeps_int8) == ("static mse", False)
    assert "measuring static minmax" not in calls


def test_a_good_plan_wins_over_those_that_missed_the_tolerance(tried):
    scores = dict.fromkeys(STATIC, 0.8) | {"dynamic": 1.0}
    outcome, _ = tried(scores, {"dynamic": 1.2})
    assert (outcome.exit_code, outcome.best.candidate.name) == (ExitCode.DONE, "dynamic")


def test_a_ratio_that_noise_may_explain_is_not_called_slower(tried):
    outcome, _ = tried(
        {"static minmax": 1.0, "dynamic": 1.0}, {"static minmax": 1.0, "dynamic": 1.0}
    )
    unclear = Throughput({"default": pair(1.25, 0.7, 1.63)})
    outcome = replace(outcome, best=outcome.best.measured(unclear))
    reason = explain_outcome(QuantizeJob(), None, outcome)
    assert reason.startswith(
        "INT8 could not be shown faster than FP32 (1.25x, 0.70 to 1.63): measure on a quieter"
    )
    slower = replace(outcome, best=outcome.best.measured(Throughput({"default": pair(0.9)})))
    reason = explain_outcome(QuantizeJob(), None, slower)
    assert reason == "INT8 was not measured faster than FP32; the float model was kept"


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        (((1.1, 0.9), (1.8, 1.5)), "could not be shown faster than BF16 (1.10x, 0.90 to 1.10)"),
        (((1.8, 1.5), (1.1, 0.9)), "could not be shown faster than FP32 (1.10x, 0.90 to 1.10)"),
        (((0.8, 0.7), (1.8, 1.5)), "was not measured faster than BF16"),
    ],
)
def test_the_baseline_that_int8_is_closest_to_is_named(tried, ratios, said):
    outcome, _ = tried({"static minmax": 1.0}, {"static minmax": 2.0})
    names = (("default", "BF16"), ("f32", "FP32"))
    pairs = {
        name: pair(*ratio, baseline=label)
        for (name, label), ratio in zip(names, ratios, strict=True)
    }
    assert said in why_not_better(outcome.best.measured(Throughput(pairs)))


def test_scores_that_differ_do_not_look_equal(tried):
    scores = MISSED | {"static mse": 0.98999}
    outcome, _ = tried(scores, {"static mse": 0.9, "dynamic": 0.9})
    accuracy = replace(outcome.best.accuracy, fp32=0.99001)
    outcome = replace(outcome, best=replace(outcome.best, accuracy=accuracy))
    assert "has score 0.98999, FP32 0.99001, and" in explain_outcome(QuantizeJob(), None, outcome)


@pytest.mark.parametrize(
    ("first", "expected"),
    [((1.25, 0.7, 1.63), [1, 3]), ((1.25, 1.1, 1.4), [1]), ((0.9, 0.7, 1.1), [1])],
)
def test_a_ratio_that_noise_may_explain_is_measured_again_and_longer(
    setting, reporter, monkeypatch, first, expected
):
    seconds = []

    def measured(*arguments, **options):
        seconds.append(options["seconds"])
        return pair(*first) if len(seconds) == 1 else pair(1.3, 1.2, 1.4)

    monkeypatch.setattr(measure, "measure_pair", measured)
    found = measure.measure_surely({"default": None}, None, setting, 1.0, 0, reporter)
    assert seconds == expected
    assert found.faster is (first[0] > 1)


def test_weights_that_are_not_finite_are_named(setting, images, reporter, tmp_path):
    weight = setting.backend.weights(setting.model, ["stem.weight"])["stem.weight"].copy()
    weight[0, 0, 0, 0] = np.inf
    broken = setting.backend.edit(setting.model, [Edit("stem.weight", weight)])
    job = QuantizeJob(ranges="minmax", approach="static", correct="none")
    (plan,) = candidates(setting.graph, job)
    ranges = {name: Range(-1.0, 1.0) for name in wanted_tensors(setting.graph, [plan.plan])}
    broken_setting = replace(setting, model=broken)
    with pytest.raises(NonFiniteError) as found:
        setting.backend.build(broken, plan.plan, ranges, setting.target)
    message = explain_weights(found.value, broken_setting, plan.quantized)
    assert "NaN or infinite: 'stem.weight' of operator 'stem'; mend the model" in message
    fp32 = Evaluation(1.0, None, "score", True, 10)
    judge = Scripted(broken_setting, job, fp32, None, 10, True, {}, tmp_path, reporter)
    data = open_dataset([images], setting.model.inputs, role="calibration")
    statistics = calibrate(setting, data, wanted_tensors(setting.graph, [plan.plan]), 8, reporter)
    outcome = search([plan], statistics, judge)
    assert outcome.best is None
    assert "'stem.weight' of operator 'stem'" in outcome.refused


MISSED = {"static minmax": 0.8, "static mse": 0.9, "static percentile": 0.7, "dynamic": 0.6}


def test_nothing_accurate_keeps_the_most_accurate_plan_and_measures_no_other(tried):
    outcome, calls = tried(MISSED, {"static mse": 1.1})
    assert outcome.exit_code == ExitCode.TOLERANCE_NOT_REACHED
    assert (outcome.best.candidate.name, outcome.keeps_int8) == ("static mse", True)
    assert [call for call in calls if "measuring" in call] == ["measuring static mse"]
    assert [row["throughput"] is not None for row in outcome.trials] == [False, True, False, False]


def test_of_plans_beyond_the_tolerance_the_most_accurate_that_is_faster_is_kept(tried):
    """Plans that only have other ranges than a slow one execute the same kernels."""
    outcome, calls = tried(MISSED, {"static mse": 0.9, "dynamic": 1.1})
    assert outcome.exit_code == ExitCode.TOLERANCE_NOT_REACHED
    assert (outcome.best.candidate.name, outcome.keeps_int8) == ("dynamic", True)
    assert calls[-2:] == ["measuring static mse", "measuring dynamic"]
    ratios = [(row["throughput"] or {}).get("ratio") for row in outcome.trials]
    assert ratios == [None, 0.9, None, 1.1]


def test_where_nothing_is_accurate_or_faster_the_float_model_is_kept(tried):
    outcome, _ = tried(MISSED, {"static mse": 0.9, "dynamic": 0.95})
    assert outcome.exit_code == ExitCode.TOLERANCE_NOT_REACHED
    assert (outcome.best.candidate.name, outcome.keeps_int8) == ("static mse", False)
    assert explain_outcome(QuantizeJob(), None, outcome) == (
        "no plan is within 1% of FP32 and faster: the most accurate of those beyond it (static "
        "mse) has score 0.9, FP32 1, and is no faster (0.90x, 0.90 to 0.90), so the float model "
        "was kept"
    )


def test_a_ratio_that_noise_may_explain_is_not_kept_beyond_the_tolerance(tried):
    outcome, _ = tried(MISSED, {"static mse": 0.9, "dynamic": 0.9})
    unclear = Throughput({"default": pair(1.25, 0.7, 1.63)})
    assert not replace(outcome, best=outcome.best.measured(unclear)).keeps_int8


def judged(outputs, value):
    fp32 = Evaluation(1.0, None, "agreement", True, 10)
    int8 = Evaluation(value, None, "agreement", True, 10, outputs=outputs)
    return judge_accuracy(fp32, int8, Tolerance.parse("1%"))


def test_the_output_that_agrees_least_is_named(tried, reporter):
    outcome, _ = tried(MISSED, {"static mse": 1.1})
    accuracy = judged({"boxes": 0.99, "selected": 0.6}, 0.795)
    outcome = replace(outcome, best=replace(outcome.best, accuracy=accuracy))
    reason = explain_outcome(QuantizeJob(), None, outcome)
    assert "was kept (static mse; output 'selected' agrees least: 0.6)" in reason
    assert accuracy.to_json()["outputs"] == {"boxes": 0.99, "selected": 0.6}
    warn_of_output(QuantizeJob(), accuracy, reporter)
    assert reporter.warned == [
        "output 'selected' agrees least: 0.6, by itself beyond 1%; 0.795 is the mean of 2 outputs"
    ]


@pytest.mark.parametrize(
    ("outputs", "weakest"),
    [
        ({"a": 0.7, "b": 0.7}, None),
        ({"a": 0.7}, None),
        ({}, None),
        ({"a": 0.995, "b": 0.999}, ("a", 0.995)),
    ],
)
def test_outputs_are_not_warned_of_where_they_agree_alike_or_well(reporter, outputs, weakest):
    accuracy = judged(outputs, 0.7)
    assert accuracy.weakest == weakest
    assert ("outputs" in accuracy.to_json()) is (len(outputs) > 1)
    warn_of_output(QuantizeJob(), accuracy, reporter)
    assert reporter.warned == []


def test_a_plan_without_a_score_is_not_kept_for_its_speed(tried):
    scores = MISSED | {"dynamic": math.nan}
    outcome, calls = tried(scores, {"static mse": 0.9})
    assert (outcome.best.candidate.name, outcome.keeps_int8) == ("static mse", False)
    assert calls[-1] == "measuring static mse"


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


class Failing(Scripted):
    """Fails in a step of the first plan, or of every one."""

    def failing(self, step, error, always):
        object.__setattr__(self, "failure", (step, error, always))
        return self

    def _fail(self, step, name):
        where, error, always = self.failure
        if step == where and (always or "minmax" in name):
            raise error

    def evaluate(self, model, title):
        self._fail("evaluate", title)
        return super().evaluate(model, title)

    def measure(self, trial):
        self._fail("measure", trial.candidate.name)
        return super().measure(trial)


@pytest.fixture
def failing(setting, images, reporter, tmp_path, monkeypatch):
    """Search among static plans that fail; return the outcome."""
    job = QuantizeJob(approach="static")
    known = {plan.name: plan for plan in candidates(setting.graph, job)}
    data = open_dataset([images], setting.model.inputs, role="calibration")
    schemes = wanted_tensors(setting.graph, [plan.plan for plan in known.values()])
    statistics = calibrate(setting, data, schemes, 8, reporter)

    def run(step, error, *, always, score=1.0, names=STATIC):
        fp32 = Evaluation(1.0, None, "score", True, 10)
        judge = Failing(setting, job, fp32, None, 10, True, {}, tmp_path, reporter)
        judge.script({f"evaluating {n}": score for n in names}, dict.fromkeys(names, 2.0))
        judge.failing(step, error, always)
        real = attempt_module.audit

        def audit(setting, candidate, *models):
            judge._fail("audit", candidate.name)
            return real(setting, candidate, *models)

        monkeypatch.setattr(attempt_module, "audit", audit)
        return search([known[name] for name in names], statistics, judge)

    return run


FAILURES = (DataError("an odd batch"), ModelError("no kernel"), OctavoError("a worker died"))


@pytest.mark.parametrize("step", ["audit", "evaluate", "measure"])
@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_plan_that_fails_in_any_step_leaves_the_float_model(failing, reporter, step, error):
    outcome = failing(step, error, always=True)
    assert (outcome.best, outcome.exit_code) == (None, ExitCode.NOT_FASTER)
    assert outcome.refused == str(error)
    assert f"static minmax: {error}" in reporter.warned
    reason = explain_outcome(QuantizeJob(), None, outcome)
    assert reason == f"no plan runs ({error}): the float model was kept"


@pytest.mark.parametrize("step", ["audit", "evaluate", "measure"])
def test_a_plan_that_fails_leaves_those_of_other_ranges(failing, step):
    outcome = failing(step, DataError("an odd batch"), always=False)
    assert (outcome.exit_code, outcome.best.candidate.name) == (ExitCode.DONE, "static mse")


def test_formats_that_the_runtime_refuses_are_not_tried_again(failing, reporter):
    assert failing("audit", ModelError("no kernel"), always=False).best is None
    assert reporter.warned == ["static minmax: no kernel"]


def test_a_corrected_plan_that_is_refused_leaves_those_of_other_ranges(failing):
    names = ("static minmax corrected", "static mse")
    outcome = failing("audit", ModelError("no bias to correct"), always=False, names=names)
    assert (outcome.exit_code, outcome.best.candidate.name) == (ExitCode.DONE, "static mse")


def test_a_failure_in_the_last_measurement_leaves_the_next_best_plan(failing):
    """No plan is within the tolerance: the most accurate ones are measured at the end."""
    outcome = failing("measure", DataError("an odd batch"), always=False, score=0.5)
    assert outcome.exit_code == ExitCode.TOLERANCE_NOT_REACHED
    assert outcome.best.candidate.name == "static mse"
    assert outcome.best.throughput.ratios == [2.0]


def test_outputs_of_another_size_have_no_score_and_decide_nothing_on_random_data(
    setting, reporter, tmp_path
):
    def evaluator(session, advance):
        raise UnequalSizesError("output 'boxes' is [41, 4], and [42, 4] of the FP32 model")

    fp32 = Evaluation(1.0, np.ones(10), "agreement", True, 10)
    judge = Judge(setting, QuantizeJob(), fp32, evaluator, 10, False, {}, tmp_path, reporter)
    int8 = judge.evaluate(setting.model, "evaluating x")
    assert math.isnan(int8.value)
    assert reporter.warned == [
        "evaluating x: output 'boxes' is [41, 4], and [42, 4] of the FP32 model"
    ]
    random = judge_accuracy(fp32, int8, Tolerance.parse("1%"), real=False)
    assert (random.reached, random.verdict) == (True, "undecided")
    real = judge_accuracy(fp32, int8, Tolerance.parse("1%"))
    assert (real.reached, real.verdict) == (False, "exceeded")
    plan = candidates(setting.graph, QuantizeJob())[0]
    for accuracy, code, said in (
        (random, ExitCode.DONE, "there is no score (agreement), as sizes differ"),
        (real, ExitCode.TOLERANCE_NOT_REACHED, "agreement could not be computed for any plan"),
    ):
        trial = Trial(plan, {}, setting.model, (), accuracy, Throughput({"default": pair(2.0)}))
        outcome = Outcome(trial, exit_code=code)
        assert said in explain_outcome(QuantizeJob(), None, outcome)


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


@pytest.mark.parametrize(
    ("quantized", "label"), [(None, "FP32"), ("yes", "the given model, quantized already")]
)
def test_a_model_that_carries_quantization_is_not_called_fp32(setting, tmp_path, quantized, label):
    given = replace(setting, graph=replace(setting.graph, quantized=quantized))
    assert measure.save_baselines(given, tmp_path, False)["default"].label == label


def test_a_plan_that_its_proof_refutes_is_measured_once_and_reported(tried, monkeypatch):
    def refuted(self, trial):
        lost = replace(trial.accuracy, int8=0.9, reached=False, verdict="exceeded")
        return replace(trial, accuracy=lost)

    measured = Scripted.measure

    def once(self, trial):
        self._folder(trial).mkdir()  # as a model is saved
        return measured(self, trial)

    monkeypatch.setattr(Scripted, "conclude", refuted)
    monkeypatch.setattr(Scripted, "measure", once)
    outcome, calls = tried(dict.fromkeys(STATIC, 1.0) | {"dynamic": 1.0}, dict.fromkeys(
        (*STATIC, "dynamic"), 2.0
    ))  # fmt: skip
    assert outcome.exit_code == ExitCode.TOLERANCE_NOT_REACHED
    assert outcome.best.throughput.ratios == [2.0]
    assert calls.count("measuring static minmax") == 1
