from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from octavo.errors import ModelError
from octavo.job import QuantizeJob
from octavo.plan import CORRECTIONS, Plan
from octavo.search.candidates import candidates
from octavo.search.surrogate import predicted_loss
from octavo.workflow.fitting import CLOSE, NEAR
from octavo.workflow.proposals import CLEARLY_FASTER, ENOUGH, HOPELESS, InOrder, Solving
from octavo.workflow.trial import Trial
from octavo.workflow.verdict import Accuracy

GROUPS = {f"group {number}": 1e-4 * 1.9**number for number in range(12)}
"""What each group adds to the error, by sensitivities: 0.25 in all."""


@dataclass
class Foresight:
    """A prospect of a model of `GROUPS`, each of which gains as much as any other.

    Attributes:
        errors: of whole plans, by their range method, and by their corrections.
        gains: of the plan of all groups.
        whole: gain of the plans that were not solved for.
        uncertain: by what a gain may be larger than predicted.
        factor: by what the error of solved plans is larger than by sensitivities.
        measured: the solved plans whose error was measured.
    """

    errors: dict
    gains: float = 2.0
    whole: float = 1.5
    uncertain: float = 1.1
    factor: float = 1.0
    samples: int = 24
    forwards: int = 0
    measured: list = field(default_factory=list)
    corrected: list = field(default_factory=list)
    solved: list = field(default_factory=list)
    priced: bool = False

    @property
    def probe(self):
        return Meter(self)

    def error_of(self, plan):
        if set(plan.formats) <= set(GROUPS):
            self.measured.append(plan)
            return self.factor * self.predicted_error(plan)
        if plan.recipe.corrections:
            self.corrected.append(plan.recipe.corrections)
            return self.errors[plan.recipe.corrections]
        return self.errors.get(plan.recipe.ranges, 1.0)

    def error(self, candidate):
        return self.error_of(candidate.plan)

    def trial_error(self, trial):
        plan = trial.candidate.plan
        solved = set(plan.formats) <= set(GROUPS)
        return self.factor * self.predicted_error(plan) if solved else self.error_of(plan)

    def predicted_error(self, plan):
        if not set(plan.formats) <= set(GROUPS):
            return self.errors.get(plan.recipe.ranges, 1.0)
        return sum(GROUPS.get(name, 0.0) for name in plan.formats)

    def gain(self, plan):
        self.priced = True
        if not set(plan.formats) <= set(GROUPS):
            return self.whole
        return 1 + (self.gains - 1) * len(plan.formats) / len(GROUPS)

    def hope(self, plan):
        self.gains *= self.uncertain
        return 1 - 1 / self.uncertain

    def learn(self, plan, ratio):
        self.learnt = ratio
        self.gains *= ratio / self.gain(plan)

    def promise(self, plan):
        return self.gain(plan) * (self.uncertain if plan.formats else 1.0)

    def in_words(self, gain):
        return f"{gain:.2f}x as fast as float"

    def solve(self, base, allowed):
        self.priced = True
        self.solved.append(allowed)
        formats, total = {}, 0.0
        for name, error in GROUPS.items():
            if (allowed is None or total + error <= allowed) and self.gains > 1:
                formats[name] = next(iter(base.plan.formats.values()))
                total += error
        plan = Plan(formats, base.plan.recipe)
        return replace(base, name=f"solved {base.name.removeprefix('solved ')}", plan=plan)


@dataclass
class Meter:
    """Measures plans for halving."""

    prospect: Foresight

    @property
    def samples(self):
        return self.prospect.samples

    @property
    def forwards(self):
        return self.prospect.forwards

    def error(self, plan, samples=None):
        self.prospect.forwards += samples or self.samples
        return self.prospect.error_of(plan)


def trial(candidate, loss):
    """Return a trial that lost `loss` times the tolerance of 1 %."""
    reached = loss <= 1
    accuracy = Accuracy(1.0, 1.0 - 0.01 * loss, "score", True, 100,
                        "within" if reached else "exceeded", reached)  # fmt: skip
    return Trial(candidate, {}, object(), (), accuracy)


def run(solving, losses):
    """Return what is proposed where plans lose what a function of the plan and the number says."""
    trials = []
    while (candidate := solving.next(trials)) is not None:
        trials.append(trial(candidate, losses(candidate, len(trials))))
        assert len(trials) < 20
    return trials


@pytest.fixture
def job():
    return QuantizeJob(tolerance="1%")


@pytest.fixture
def plans(setting, job):
    return candidates(setting.graph, job)


@pytest.fixture
def plain(setting):
    job = QuantizeJob(tolerance="1%", correct="none")
    return [one for one in candidates(setting.graph, job) if one.approach == "static"]


MINMAX, MSE = "static minmax", "static mse"
SCALED = ("equalize", "smooth")


def solved_lines(reporter):
    return [text for text in reporter.said if text.startswith("solved:")]


def test_ranges_are_halved_on_few_samples_and_the_best_is_tried_first(plans, job, reporter):
    foresight = Foresight({"minmax": 0.1, "mse": 0.02, "percentile": 0.05})
    first = Solving(plans, foresight, job, reporter).next([])
    assert (first.name, first.plan.recipe.ranges) == (MSE, "mse")
    assert reporter.said == [
        "SQNR of the outputs: mse 17.0 dB on 24 samples, percentile 13.0 dB on 12 samples, "
        "minmax 10.0 dB on 6 samples; 66 sample forwards"
    ]
    assert not foresight.priced
    assert not foresight.corrected


def test_minmax_stays_where_others_are_hardly_better(plans, job, reporter):
    foresight = Foresight({"minmax": 0.1, "mse": 0.09, "percentile": 0.2})
    assert Solving(plans, foresight, job, reporter).next([]).name == MINMAX


def test_ranges_for_corrections_of_the_users_are_compared_without_those(setting, reporter):
    job = QuantizeJob(tolerance="1%", correct=["equalize"])
    foresight = Foresight({"minmax": 0.1, "mse": 0.02})
    first = Solving(candidates(setting.graph, job), foresight, job, reporter).next([])
    assert (first.plan.recipe.ranges, first.plan.recipe.corrections) == ("mse", ("equalize",))
    assert not foresight.corrected


def test_scaling_is_tried_before_what_takes_longer(plans, job, reporter):
    foresight = Foresight({"minmax": 0.1, SCALED: 0.002, CORRECTIONS: 0.001})
    solving = Solving(plans, foresight, job, reporter)
    first = solving.next([])
    second = solving.next([trial(first, 4.0)])
    assert second.name == f"{MINMAX} scaled"
    assert second.plan == replace(first.plan, recipe=replace(first.plan.recipe, corrections=SCALED))
    assert foresight.corrected == [SCALED]
    third = solving.next([trial(first, 4.0), trial(second, 1.5)])
    assert (third.name, third.plan.recipe.corrections) == (f"{MINMAX} corrected", CORRECTIONS)


def test_all_corrections_are_tried_where_scaling_does_not_promise_to_hold(plans, job, reporter):
    foresight = Foresight({"minmax": 0.1, SCALED: 0.09, CORRECTIONS: 0.02})
    solving = Solving(plans, foresight, job, reporter)
    second = solving.next([trial(solving.next([]), 4.0)])
    assert second.name == f"{MINMAX} corrected"
    assert sum("scaled has" in text and "not evaluated" in text for text in reporter.said) == 1


def test_a_plan_that_will_lose_far_too_much_is_not_evaluated(plans, job, reporter):
    foresight = Foresight({"minmax": 0.26, SCALED: 0.2, CORRECTIONS: 0.2})
    solving = Solving(plans, foresight, job, reporter)
    second = solving.next([trial(solving.next([]), 30.0)])
    assert second.name.startswith("solved ")
    assert sum("not evaluated" in text for text in reporter.said) == 2


def test_nothing_is_corrected_where_the_whole_plan_will_not_pay(plans, job, reporter):
    foresight = Foresight({"minmax": 0.26}, whole=0.8)
    solving = Solving(plans, foresight, job, reporter)
    assert solving.next([trial(solving.next([]), 4.0)]).name.startswith("solved ")
    assert not foresight.corrected


@pytest.mark.parametrize("factor", [0.2, 0.9, 1.0, 2.0, 6.0])
def test_a_solved_plan_gains_what_the_error_allows_at_few_measurements(
    plain, job, reporter, factor
):
    foresight = Foresight({"minmax": 0.26}, factor=factor)
    solving = Solving(plain, foresight, job, reporter)
    first = trial(solving.next([]), 12.0)
    found = solving.next([first])
    allowed = solving._allowed(solving._seen([first]))
    error = factor * foresight.predicted_error(found.plan)
    assert error <= allowed * CLOSE
    following = list(GROUPS)[len(found.plan.formats)]
    assert error >= NEAR * allowed or error + factor * GROUPS[following] > allowed * CLOSE
    assert len(foresight.measured) <= 3
    assert len(solved_lines(reporter)) == len(set(solved_lines(reporter)))


def test_what_corrections_bring_is_known_before_a_corrected_plan_is_solved_for(
    plans, job, reporter
):
    foresight = Foresight({"minmax": 0.25, SCALED: 0.25, CORRECTIONS: 0.025}, factor=0.1)
    solving = Solving(plans, foresight, job, reporter)
    first = trial(solving.next([]), 12.0)
    whole = solving.next([first])
    assert whole.plan.recipe.corrections == CORRECTIONS
    solved = solving.next([first, trial(whole, 2.0)])
    assert solved.plan.recipe.corrections == CORRECTIONS
    assert len(foresight.measured) <= 2  # each takes a correction
    allowed = solving._allowed(solving._seen([first, trial(whole, 2.0)]))
    assert allowed / 2 < foresight.error(solved) < allowed * CLOSE


def losing(most, **options):
    """Return losses that grow with the root of the error, up to `most` for all groups."""
    foresight = Foresight({"minmax": 0.26}, **options)
    return lambda one, number: most * (foresight.error(one) / 0.26) ** 0.5


def test_no_plan_is_solved_for_measured_or_told_twice(plain, job, reporter):
    foresight = Foresight({"minmax": 0.26}, factor=3.0)
    trials = run(Solving(plain, foresight, job, reporter), losing(12.0, factor=3.0))
    assert len(trials) == 4
    told = [line.split(" dB allowed")[0].rsplit(",", 1)[0] for line in solved_lines(reporter)]
    assert len(told) == len(set(told)) == len(foresight.measured)
    assert len({tuple(one.candidate.plan.formats) for one in trials}) == 4
    assert len({one.candidate.name for one in trials}) == 4  # folders are named by them


def test_where_none_held_and_what_should_hold_does_not_pay_more_error_is_allowed(
    plain, job, reporter
):
    foresight = Foresight({"minmax": 0.26}, gains=1.05)  # what pays has 5 groups
    solving = Solving(plain, foresight, job, reporter)
    first = trial(solving.next([]), 16.0)
    allowed = solving._allowed(solving._seen([first]))
    solved = solving.next([first])
    assert len(solved.plan.formats) >= 5
    assert foresight.error(solved) > allowed * CLOSE
    seen = solving._seen([first])
    assert predicted_loss(seen, foresight.error(solved)) < HOPELESS


def test_plans_are_solved_with_the_corrections_that_were_not_enough_for_all(plans, job, reporter):
    foresight = Foresight({"minmax": 0.25, SCALED: 0.25, CORRECTIONS: 0.1}, factor=0.3)
    solving = Solving(plans, foresight, job, reporter)
    first = trial(solving.next([]), 30.0)
    solved = solving.next([first])
    told = [line for line in reporter.said if line.endswith("not evaluated")]
    assert [line.split(" has ")[0] for line in told][-1] == "static minmax corrected"
    assert solved.name.startswith("solved ")
    assert solved.plan.recipe.corrections == CORRECTIONS


def test_after_a_solved_plan_that_lost_too_much_less_is_allowed(plain, job, reporter):
    foresight = Foresight({"minmax": 0.26})
    trials = run(Solving(plain, foresight, job, reporter), losing(18.0))
    lost, less = (one.candidate.plan.formats for one in trials[1:3])
    assert not trials[1].accuracy.reached
    assert len(less) < len(lost)


def test_after_one_that_held_and_was_not_faster_one_that_gains_more_is_tried(plain, job, reporter):
    foresight = Foresight({"minmax": 0.26})
    losses = [12.0, 0.4, 3.0, 0.9]
    trials = run(Solving(plain, foresight, job, reporter), lambda one, number: losses[number])
    counts = [len(one.candidate.plan.formats) for one in trials[1:]]
    assert counts[0] < counts[1]
    assert all(counts[0] < more for more in counts[1:])


def measured(one, ratio):
    return replace(one, throughput=SimpleNamespace(faster=True, ratios=[ratio]))


def test_a_better_plan_has_more_error_than_one_that_holds_and_gains_clearly_more(
    plain, job, reporter
):
    foresight = Foresight({"minmax": 0.26})
    solving = Solving(plain, foresight, job, reporter)
    lost = trial(solving.next([]), 12.0)
    held = measured(trial(solving.next([lost]), 0.3), 1.4)
    better = solving.better([lost, held])
    assert better.name == f"{held.candidate.name} 2"
    assert set(better.plan.formats) > set(held.candidate.plan.formats)
    seen = solving._seen([lost, held])
    assert predicted_loss(seen, foresight.error(better)) < 1
    assert foresight.gain(better.plan) > CLEARLY_FASTER * foresight.gain(held.candidate.plan)


def test_no_better_plan_is_solved_for_where_one_that_holds_is_close_to_the_tolerance(
    plain, job, reporter
):
    foresight = Foresight({"minmax": 0.26})
    solving = Solving(plain, foresight, job, reporter)
    lost = trial(solving.next([]), 12.0)
    held = measured(trial(solving.next([lost]), 0.9), 1.4)
    measured_before = len(foresight.measured)
    assert solving.better([lost, held]) is None
    assert len(foresight.measured) == measured_before


@pytest.mark.parametrize(("ratio", "better"), [(ENOUGH + 0.1, False), (1.1, True)])
def test_nothing_is_priced_for_a_better_plan_where_the_first_one_gains_much(
    plain, job, reporter, ratio, better
):
    foresight = Foresight({"minmax": 0.001})
    solving = Solving(plain, foresight, job, reporter)
    held = measured(trial(solving.next([]), 0.0), ratio)
    found = solving.better([held])
    assert (found is not None) == better == foresight.priced
    if found is not None:
        assert set(found.plan.formats) == set(GROUPS)


def test_what_gains_no_more_than_a_plan_that_held_and_was_not_faster_is_not_built(
    plain, job, reporter
):
    foresight = Foresight({"minmax": 0.26}, whole=2.5)
    trials = run(Solving(plain, foresight, job, reporter), lambda one, number: 0.0)
    assert len(trials) == 1
    assert "or gains no more than one that was: not built" in reporter.said[-1]


def test_where_all_of_int8_is_accurate_and_not_faster_the_fastest_plan_is_solved_for(
    plain, job, reporter
):
    foresight = Foresight({"minmax": 0.001})
    solving = Solving(plain, foresight, job, reporter)
    solved = solving.next([trial(solving.next([]), 0.0)])
    assert set(solved.plan.formats) == set(GROUPS)
    assert set(foresight.solved) == {None}
    assert not foresight.measured


def test_a_model_that_int8_cannot_make_faster_is_evaluated_once(plans, job, reporter):
    foresight = Foresight({"minmax": 0.26}, gains=1.0, whole=0.9)
    trials = run(Solving(plans, foresight, job, reporter), lambda one, number: 12.0)
    assert [one.candidate.name for one in trials] == [MINMAX]
    assert not foresight.measured and not foresight.corrected
    assert reporter.said[-1] == (
        "nothing in INT8 is predicted to be 1.02x as fast as float, which it takes to pay: the "
        "best plan, whatever its accuracy, is 1.00x as fast as float"
    )


@pytest.mark.parametrize(("uncertain", "goes_on"), [(1.005, False), (1.2, True)])
def test_only_what_is_certain_not_to_pay_ends_the_search(plain, job, reporter, uncertain, goes_on):
    foresight = Foresight({"minmax": 0.26}, gains=1.01, whole=1.0, uncertain=uncertain)
    trials = run(Solving(plain, foresight, job, reporter), losing(3.0))
    assert (len(trials) > 1) is bool(foresight.measured) is goes_on
    said = next(text for text in reporter.said if "nothing in INT8" in text)
    assert said.endswith("INT8 is taken to need 17% less time than predicted") is goes_on


@pytest.mark.parametrize(("ratio", "goes_on"), [(1.005, False), (1.1, True)])
def test_a_measurement_refutes_the_prediction_that_nothing_pays(
    plain, job, reporter, ratio, goes_on
):
    foresight = Foresight({"minmax": 0.26}, gains=1.01, whole=1.0, uncertain=1.005)
    solving = Solving(plain, foresight, job, reporter)
    first = trial(solving.next([]), 12.0)
    assert solving.next([first]) is None and solving.doubts
    found = solving.next([measured(first, ratio)])
    assert (found is not None) is goes_on is not solving.doubts
    if goes_on:
        assert foresight.learnt == ratio
        told = "static minmax was measured to be 1.10x as fast as float"
        assert any(line.startswith(told) for line in reporter.said)


def test_what_should_be_accurate_and_is_not_predicted_faster_is_not_built(plain, job, reporter):
    foresight = Foresight({"minmax": 0.26}, gains=1.022)
    assert len(run(Solving(plain, foresight, job, reporter), lambda one, number: 12.0)) == 1
    assert reporter.said[-1].endswith("as fast as float: not built")


def test_a_dynamic_plan_is_tried_where_nothing_is_known_of_prices(plans, job, reporter):
    class Unknown(Foresight):
        def solve(self, base, allowed):
            raise ModelError("it cannot be profiled")

    foresight = Unknown({"minmax": 0.26, SCALED: 1.0, CORRECTIONS: 1.0})
    dynamic = replace(plans[0], name="dynamic", approach="dynamic")
    solving = Solving([*plans, dynamic], foresight, job, reporter)
    trials = run(solving, lambda one, number: 0.5 if one.name == "dynamic" else 1.1)
    assert trials[-1].candidate.name == "dynamic"
    assert reporter.warned == ["nothing is known of what plans gain: it cannot be profiled"]


def test_plans_in_order_come_in_order(plans):
    proposals = InOrder(plans)
    assert [proposals.next([]) for _ in plans] == list(plans)
    assert proposals.next([]) is None
