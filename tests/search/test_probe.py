import numpy as np
import pytest
from chains import chain, space_of

from octavo.backends.reference import ReferenceBackend
from octavo.errors import NonFiniteError
from octavo.plan import Plan
from octavo.search.probe import WORST, Probe
from octavo.search.sensitivity import measure_sensitivity
from octavo.search.space import make_space
from octavo.search.surrogate import AIM, Seen, allowed_error, predicted_loss
from octavo.target import Target
from octavo.testing.networks import convnet


class Answers:
    """A session that returns given outputs, batch by batch."""

    def __init__(self, outputs):
        self.outputs = iter(outputs)

    def run(self, batch):
        answer = next(self.outputs)
        if isinstance(answer, Exception):
            raise answer
        return answer


BATCHES = [{"x": np.zeros((3, 2), np.float32)}, {"x": np.zeros((2, 2), np.float32)}]


def probe(expected, found):
    def opened(model):
        return Answers(expected if model == "float" else found)

    return Probe("float", lambda plan: "int8", opened, BATCHES)


def outputs(*arrays, name="y"):
    return [{name: np.asarray(array, np.float32)} for array in arrays]


def test_an_error_is_noise_over_what_varies_between_samples():
    rng = np.random.default_rng(0)
    one, two = rng.standard_normal((3, 4)) + 100, rng.standard_normal((2, 4)) + 100
    expected, found = outputs(one, two), outputs(one + 0.1, two)
    meter = probe(expected, found)
    error = meter.model_error("int8")
    joined = np.concatenate([one, two])
    signal = np.sum((joined - joined.mean(axis=0)) ** 2)
    assert error == pytest.approx(3 * 4 * 0.01 / signal, rel=1e-3)
    assert meter.samples == 5
    assert (meter.forwards, meter.plans) == (10, 1)


def test_the_mean_over_outputs_is_taken_and_integers_are_left_out():
    expected = [{"a": np.array([[1.0], [3.0]]), "b": np.array([[2.0], [4.0]]), "i": np.array([1])}]
    found = [{"a": np.array([[2.0], [3.0]]), "b": np.array([[2.0], [4.0]]), "i": np.array([7])}]
    meter = probe(expected, found)
    meter.batches = [{"x": np.zeros((2, 2), np.float32)}]
    assert meter.model_error("int8") == pytest.approx(0.25)  # 1 / 2 in one, 0 in the other


@pytest.mark.parametrize(
    "wrong", [np.full((3, 4), np.nan), np.zeros((3, 5)), NonFiniteError("y", "x")]
)
def test_what_cannot_be_compared_is_the_worst(wrong):
    rng = np.random.default_rng(0)
    expected = outputs(rng.standard_normal((3, 4)), rng.standard_normal((2, 4)))
    first = wrong if isinstance(wrong, Exception) else {"y": np.asarray(wrong, np.float32)}
    assert probe(expected, [first, expected[1]]).model_error("int8") == WORST


def test_outputs_that_never_vary_are_compared_as_they_are():
    expected = outputs(np.full((3, 2), 2.0), np.full((2, 2), 2.0))
    found = outputs(np.full((3, 2), 2.0), np.full((2, 2), 3.0))
    assert probe(expected, found).model_error("int8") == pytest.approx(4 / 40)
    assert probe(expected, expected).model_error("int8") == 0.0


def test_the_float_plan_has_no_error_and_costs_no_second_run():
    expected = outputs(np.eye(3, 2), np.eye(2))
    meter = probe(expected, expected)
    assert meter.error(Plan()) == 0.0
    assert meter.plans == 0


def additive(errors, calls):
    def error(plan):
        calls.append(len(plan.formats))
        return sum(errors.get(name, 1e-6) for name in plan.formats)

    return error


@pytest.mark.parametrize("bad", [{"g3": 0.5}, {"g0": 0.2, "g61": 0.3}, {"g10": 0.1, "g11": 0.4}])
def test_halving_finds_the_groups_that_matter_in_few_plans(bad):
    space = space_of(chain(64, 1))
    calls = []
    found = measure_sensitivity(space, additive(bad, calls))
    for name in bad:
        for error in found.errors[name].values():
            assert error == pytest.approx(bad[name], rel=1e-3)
    computes = 2  # static and dynamic
    assert found.plans == len(calls) <= computes * (1 + len(bad) * 2 * 6)
    worst = sorted(found.errors, key=lambda name: -max(found.errors[name].values()))
    assert set(worst[: len(bad)]) == set(bad)
    assert found.scale == pytest.approx(1.0, rel=1e-3)


def test_plans_are_bounded_and_every_group_has_an_error_all_the_same():
    space = space_of(chain(40, 2))
    rng = np.random.default_rng(0)
    errors = {name: float(rng.lognormal()) for name in space.choices}
    found = measure_sensitivity(space, additive(errors, []), most_plans=15)
    assert found.plans <= 15
    assert set(found.errors) == set(space.choices)
    total = sum(errors.values())
    plan = space.plan({name: formats[1] for name, formats in space.choices.items()})
    assert found.of(plan) == pytest.approx(total, rel=0.02)


def test_what_only_moves_numbers_costs_nothing():
    backend = ReferenceBackend()
    graph = backend.graph(backend.load(convnet()), Target(shapes={"image": (1, 3, 12, 12)}))
    found = measure_sensitivity(make_space(graph), lambda plan: 0.1 * len(plan.formats))
    moves = [group.id for group in graph.groups if group.kind == "move"]
    assert moves
    assert found.errors
    assert not set(moves) & set(found.errors)


def test_the_allowed_error_shrinks_with_the_loss():
    mild, strong = (allowed_error([Seen(0.1, loss)]) for loss in (2.0, 8.0))
    assert 0 < strong < mild < 0.1
    assert allowed_error([]) is None
    assert allowed_error([Seen(0.1, 0.5)]) is None
    assert allowed_error([Seen(0.1, float("inf"))]) is None


def test_two_plans_tell_how_losses_grow():
    seen = [Seen(0.1, 4.0), Seen(0.001, 0.04)]  # in proportion
    assert allowed_error(seen) == pytest.approx(0.1 * AIM / 4.0, rel=1e-6)
    assert predicted_loss(seen, 0.05) == pytest.approx(2.0)
    rooted = [Seen(0.1, 4.0), Seen(0.001, 0.4)]
    assert predicted_loss(rooted, 0.025) == pytest.approx(2.0)
    assert predicted_loss([], 0.1) is None
