"""What is done beside trying plans in turn: one that should be faster, a doubted prediction."""

from dataclasses import replace

import pytest

from octavo.bench import Measurement, PairResult
from octavo.bench.noise import Noise
from octavo.bench.stats import Latency
from octavo.data import open_dataset
from octavo.errors import ExitCode, OctavoError
from octavo.job import QuantizeJob
from octavo.search.candidates import candidates
from octavo.search.initial import wanted_tensors
from octavo.workflow.calibrate import calibrate
from octavo.workflow.evaluation import Evaluation
from octavo.workflow.judge import Judge
from octavo.workflow.measure import Throughput
from octavo.workflow.search import AFFORDED, search


def throughput(ratio):
    fp32, int8 = (
        Measurement(label, speed, Latency(1, 1, 1), 1, 1.0, (0,))
        for label, speed in (("FP32", 100.0), ("INT8", 100.0 * ratio))
    )
    quiet = Noise(0.0, 0.0, 0.0, None)
    return Throughput(
        {"default": PairResult(fp32, int8, ratio, (ratio, ratio), 4, 1.0, 1, 1, quiet)}
    )


class Scripted(Judge):
    """Knows scores, ratios and what proofs refute by name of the plan."""

    def script(self, scores, ratios, refuted):
        for name, value in (("scores", scores), ("ratios", ratios), ("refuted", refuted)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "proven", [])
        object.__setattr__(self, "measurements", [])
        return self

    def evaluate(self, model, title):
        return Evaluation(self.scores[title.removeprefix("evaluating ")], None, "score", True, 10)

    def measure(self, trial):
        self.measurements.append(trial.candidate.name)
        ratio = self.ratios[trial.candidate.name]
        if ratio is None:
            raise OctavoError("a worker died")
        return throughput(ratio)

    def conclude(self, trial):
        name = trial.candidate.name
        self.proven.append(name)
        if name not in self.refuted:
            return trial
        return replace(trial, accuracy=replace(trial.accuracy, reached=False, verdict="exceeded"))


class Two:
    """One plan, and another that should be better than it."""

    def __init__(self, first, better):
        self.first, self.second, self.asked = first, better, 0

    doubts = False

    def next(self, trials):
        return None if trials else self.first

    def better(self, trials):
        self.asked += 1
        assert all(trial.good for trial in trials)
        return self.second


@pytest.fixture
def tried(setting, images, reporter, tmp_path):
    """Search among two plans with other formats; return the outcome, the judge, the proposals."""
    job = QuantizeJob(tolerance="1%", correct="none")
    first = candidates(setting.graph, job)[0]
    fewer = dict(list(first.plan.formats.items())[:1])
    second = replace(first, name="solved", plan=replace(first.plan, formats=fewer))
    data = open_dataset([images], setting.model.inputs, role="calibration")
    statistics = calibrate(setting, data, wanted_tensors(setting.graph, [first.plan]), 8, reporter)

    def run(ratios, scores=None, refuted=(), spent=0, kind=Two):
        fp32 = Evaluation(1.0, None, "score", True, 10)
        judge = Scripted(setting, job, fp32, None, 10, True, {}, tmp_path, reporter)
        names = (first.name, second.name)
        judge.script(
            scores or dict.fromkeys(names, 1.0), dict(zip(names, ratios, strict=True)), refuted
        )
        judge.spent.forwards = spent
        proposals = kind(first, second)
        return search(proposals, statistics, judge), judge, proposals

    return run


def test_the_fastest_of_two_that_hold_is_proven_and_kept(tried):
    outcome, judge, _ = tried((1.2, 1.5))
    assert (outcome.best.candidate.name, outcome.exit_code) == ("solved", ExitCode.DONE)
    assert judge.proven == ["solved"]
    assert [row["plan"] for row in outcome.trials] == ["static minmax", "solved"]


def test_one_that_turns_out_slower_leaves_the_first(tried):
    outcome, judge, _ = tried((1.2, 1.1))
    assert outcome.best.candidate.name == "static minmax"
    assert judge.proven == ["static minmax"]


def test_one_that_loses_too_much_leaves_the_first(tried):
    outcome, judge, _ = tried((1.2, 1.5), {"static minmax": 1.0, "solved": 0.9})
    assert (outcome.best.candidate.name, outcome.exit_code) == ("static minmax", ExitCode.DONE)
    assert judge.proven == ["static minmax"]


def test_one_that_fails_leaves_the_first(tried, reporter):
    outcome, _, _ = tried((1.2, None))
    assert (outcome.best.candidate.name, outcome.exit_code) == ("static minmax", ExitCode.DONE)
    assert "solved: a worker died" in reporter.warned


def test_where_the_proof_refutes_the_fastest_the_other_one_is_kept(tried):
    outcome, judge, _ = tried((1.2, 1.5), refuted=("solved",))
    assert (outcome.best.candidate.name, outcome.exit_code) == ("static minmax", ExitCode.DONE)
    assert judge.proven == ["solved", "static minmax"]


def test_what_is_only_faster_is_not_tried_after_many_evaluations(tried):
    outcome, _, proposals = tried((1.2, 1.5), spent=int(10 * AFFORDED) + 1)
    assert proposals.asked == 0
    assert outcome.best.candidate.name == "static minmax"


class Doubting(Two):
    """Predicts that nothing pays until the first plan is measured to."""

    @property
    def doubts(self):
        return not self.asked

    def next(self, trials):
        if not trials:
            return self.first
        if trials[0].throughput is None:
            return None
        self.asked += 1
        return self.second if trials[0].pays and len(trials) == 1 else None

    def better(self, trials):
        return None


@pytest.mark.parametrize(("ratio", "kept"), [(1.2, "solved"), (0.9, None), (None, None)])
def test_a_prediction_that_nothing_pays_is_checked_by_measuring_the_first_plan(tried, ratio, kept):
    scores = {"static minmax": 0.9, "solved": 1.0}
    outcome, judge, _ = tried((ratio, 1.5), scores, kind=Doubting)
    if kept:
        assert (outcome.best.candidate.name, outcome.exit_code) == (kept, ExitCode.DONE)
        assert judge.measurements == ["static minmax", "solved"]
    else:
        assert not outcome.keeps_int8
        assert judge.measurements[0] == "static minmax"
