from dataclasses import dataclass, field, replace

import pytest

from octavo.job import QuantizeJob
from octavo.search.candidates import candidates
from octavo.workflow.proposals import CLOSE, InOrder, Solving
from octavo.workflow.trial import Trial
from octavo.workflow.verdict import Accuracy


@dataclass
class Foresight:
    """A prospect with known errors; a solved plan has `factor` times the error it may have."""

    errors: dict
    ratios: float = 1.5
    factor: float = 1.0
    asked: list = field(default_factory=list)
    samples: int = 24
    last: float = 1.0

    def error(self, candidate):
        return self.errors.get(candidate.name, self.last)

    def trial_error(self, trial):
        return self.error(trial.candidate)

    def ratio(self, plan):
        return self.ratios

    def solve(self, base, allowed):
        self.asked.append((base.name, allowed))
        self.last = self.factor * allowed if allowed is not None else 1.0
        formats = {f"group {len(self.asked)}": next(iter(base.plan.formats.values()))}
        return replace(base, name=f"solved {base.name}", plan=replace(base.plan, formats=formats))


def trial(candidate, loss):
    """Return a trial that lost `loss` times the tolerance of 1 %."""
    reached = loss <= 1
    accuracy = Accuracy(1.0, 1.0 - 0.01 * loss, "score", True, 100,
                        "within" if reached else "exceeded", reached)  # fmt: skip
    return Trial(candidate, {}, object(), (), accuracy)


@pytest.fixture
def job():
    return QuantizeJob(tolerance="1%")


@pytest.fixture
def plans(setting, job):
    return candidates(setting.graph, job)


MINMAX, MSE, PERCENTILE = "static minmax", "static mse", "static percentile"


def test_the_recipe_with_the_least_error_is_tried_first_and_then_corrected(plans, job, reporter):
    foresight = Foresight({MINMAX: 0.1, MSE: 0.02, PERCENTILE: 0.05, f"{MSE} corrected": 0.01})
    solving = Solving(plans, foresight, job, reporter)
    first = solving.next([])
    assert (first.name, first.plan.recipe.ranges) == (MSE, "mse")
    second = solving.next([trial(first, 2.0)])
    assert second.name == f"{MSE} corrected"
    assert second.plan.recipe.ranges == "mse"
    assert second.plan.recipe.corrections
    assert "minmax 10.0 dB, mse 17.0 dB, percentile 13.0 dB" in reporter.said[0]


def test_minmax_stays_where_others_are_hardly_better(plans, job, reporter):
    foresight = Foresight({MINMAX: 0.1, MSE: 0.09, PERCENTILE: 0.2})
    assert Solving(plans, foresight, job, reporter).next([]).name == MINMAX


def test_a_plan_that_will_lose_far_too_much_is_not_evaluated(plans, job, reporter):
    foresight = Foresight({MINMAX: 0.1, MSE: 0.2, PERCENTILE: 0.2, f"{MINMAX} corrected": 0.09})
    solving = Solving(plans, foresight, job, reporter)
    first = solving.next([])
    second = solving.next([trial(first, 30.0)])
    assert second.name == f"solved {MINMAX}"
    assert any("not evaluated" in text for text in reporter.said)


@pytest.mark.parametrize("factor", [0.2, 0.9, 1.0, 6.0])
def test_a_solved_plan_has_about_the_error_that_is_allowed(plans, job, reporter, factor):
    foresight = Foresight({MINMAX: 0.1, MSE: 0.2, PERCENTILE: 0.2, f"{MINMAX} corrected": 0.09},
                          factor=factor)  # fmt: skip
    solving = Solving(plans, foresight, job, reporter)
    first = solving.next([])
    solving.next([trial(first, 30.0)])
    allowed = foresight.asked[0][1]
    assert 0 < allowed < 0.1
    assert allowed / CLOSE**2 <= foresight.last <= allowed * CLOSE


def test_after_a_solved_plan_that_lost_too_much_less_is_allowed(plans, job, reporter):
    foresight = Foresight({MINMAX: 0.1, MSE: 0.2, PERCENTILE: 0.2, f"{MINMAX} corrected": 0.09})
    solving = Solving(plans, foresight, job, reporter)
    trials = [trial(solving.next([]), 30.0)]
    budgets = []
    for _ in range(3):
        solved = solving.next(trials)
        foresight.errors[solved.name] = foresight.last
        budgets.append(foresight.last)
        trials.append(trial(solved, 3.0))
    assert budgets == sorted(budgets, reverse=True)
    assert budgets[1] < budgets[0]
    assert len({one.candidate.name for one in trials}) == 4  # folders are named by them
    assert solving.next(trials) is None  # and no more than three


def test_after_one_that_held_and_was_not_faster_more_is_allowed(plans, job, reporter):
    foresight = Foresight({MINMAX: 0.1, MSE: 0.2, PERCENTILE: 0.2, f"{MINMAX} corrected": 0.09})
    solving = Solving(plans, foresight, job, reporter)
    trials = [trial(solving.next([]), 30.0)]
    solved = solving.next(trials)
    foresight.errors[solved.name] = held = foresight.last
    trials.append(trial(solved, 0.1))
    solving.next(trials)
    assert held < foresight.last < 0.1


def test_where_all_of_int8_is_accurate_and_not_faster_the_fastest_plan_is_solved_for(
    plans, job, reporter
):
    foresight = Foresight({MINMAX: 0.001, MSE: 0.1, PERCENTILE: 0.1})
    solving = Solving(plans, foresight, job, reporter)
    whole = solving.next([])
    solved = solving.next([trial(whole, 0.0)])
    assert foresight.asked == [(MINMAX, None)]
    assert solved.name == f"solved {MINMAX}"


def test_what_is_not_predicted_faster_is_not_built(plans, job, reporter):
    foresight = Foresight({MINMAX: 0.001, MSE: 0.1, PERCENTILE: 0.1}, ratios=1.01)
    solving = Solving(plans, foresight, job, reporter)
    whole = solving.next([])
    following = solving.next([trial(whole, 0.0)])
    assert following is None or following.approach == "dynamic"
    assert any("predicted at 1.01x of float: not built" in text for text in reporter.said)


def test_plans_in_order_come_in_order(plans):
    proposals = InOrder(plans)
    assert [proposals.next([]) for _ in plans] == list(plans)
    assert proposals.next([]) is None
