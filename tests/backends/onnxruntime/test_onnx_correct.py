"""Accuracy recovery on ONNX networks whose channels are unequal: what is lost comes back."""

from dataclasses import dataclass

import numpy as np
import pytest
from networks import Builder
from onnx_case import BACKEND, TARGET, images, noise, run, sqnr

from octavo.backends.base import Bias, Edit, Multiply
from octavo.correct import Task, correct
from octavo.correct.check import require_same_function
from octavo.errors import ModelError
from octavo.measure import Statistics, tied_ranges
from octavo.plan import CORRECTIONS, Recipe
from octavo.search.initial import initial_plan, wanted_tensors

SPREAD = np.exp(np.random.default_rng(7).normal(size=16) * 2).astype(np.float32)


def unequal_convnet():
    """Three convolutions, one of them depthwise, whose channels differ by factors of e^2."""
    b = Builder(seed=3)
    first = b.rng.normal(size=(16, 3, 3, 3)).astype(np.float32) * SPREAD[:, None, None, None]
    last = b.rng.normal(size=(8, 16, 1, 1)).astype(np.float32) / SPREAD[None, :, None, None]
    bias = b.weight("first_b", SPREAD * 0.3)
    x = b.node("Conv", ["image", b.weight("first_w", first * 0.2), bias], "first", pads=[1] * 4)
    x = b.conv(b.node("Relu", [x], "first_r"), "middle", 16, 16, group=16)
    x = b.node("Relu", [x], "middle_r")
    x = b.node("Conv", [x, b.weight("last_w", last * 0.2), b.random("last_b", 8)], "last")
    x = b.node("Relu", [x], "last_r")
    return b.ending(b.conv(x, "head", 8, 8), image=["n", 3, 8, 8])


def outlier_transformer():
    """LayerNorm, two of whose channels are 60 times the others, and linear layers behind it."""
    b = Builder(seed=5)
    gamma = np.ones(16, np.float32)
    gamma[[3, 11]] = 60
    rest = [b.weight("g", gamma), b.random("beta", 16, scale=0.1)]
    x = b.node("LayerNormalization", ["x", *rest], "norm", axis=-1)
    w = b.rng.normal(size=(16, 32)).astype(np.float32) * 0.2 / gamma[:, None]
    x = b.node("MatMul", [x, b.weight("up_w", w)], "up")
    x = b.node("Relu", [b.node("Add", [x, b.random("up_b", 32, scale=0.1)], "up_bias")], "up_r")
    return b.ending(b.linear(x, "down", 32, 8), x=["n", 6, 16])


@dataclass(frozen=True)
class Setting:
    """A network, its plan and samples: some to correct with, others to judge by."""

    proto: object
    batch: dict
    judged: dict
    per_channel: bool

    def ranges(self, model, graph):
        schemes = wanted_tensors(graph, [self.plan])
        statistics = Statistics(schemes)
        BACKEND.observe(model, [self.batch], statistics, TARGET)
        return tied_ranges(statistics, graph, Recipe(), schemes)

    @property
    def model(self):
        return BACKEND.load(self.proto)

    @property
    def plan(self):
        graph = BACKEND.graph(self.model, TARGET)
        return initial_plan(graph, per_channel=self.per_channel).plan

    def corrected(self, *methods):
        model = self.model
        graph = BACKEND.graph(model, TARGET)
        task = Task(BACKEND, model, graph, self.plan, TARGET, lambda: [self.batch])
        return correct(task, methods, calibrate=self.ranges)

    def quality(self, *methods):
        made = self.corrected(*methods)
        (expected,) = run(self.model, self.judged).values()
        built = BACKEND.build(made.model, self.plan, made.ranges, TARGET)
        (found,) = run(built, self.judged).values()
        return sqnr(expected, found)


CONVNET = Setting(unequal_convnet(), images(64), images(16, 3, 8), per_channel=False)
TRANSFORMER = Setting(
    outlier_transformer(), {"x": noise(64, 6, 16)}, {"x": noise(16, 6, 16, seed=1)}, True
)


@pytest.mark.parametrize(
    ("setting", "methods", "gain"),
    [
        (CONVNET, ["equalize"], 3.0),
        (CONVNET, CORRECTIONS, 6.0),
        (TRANSFORMER, ["smooth"], 6.0),
        (TRANSFORMER, CORRECTIONS, 6.0),
    ],
    ids=["equalize", "all on convolutions", "smooth", "all on a transformer"],
)
def test_int8_comes_closer_to_fp32(setting, methods, gain):
    assert setting.quality(*methods) >= setting.quality() + gain


@pytest.mark.parametrize(
    ("setting", "method"), [(CONVNET, "equalize"), (TRANSFORMER, "smooth")], ids=["convnet", "norm"]
)
def test_scaled_channels_keep_the_function(setting, method):
    made = setting.corrected(method)
    (expected,) = run(setting.model, setting.judged).values()
    (found,) = run(made.model, setting.judged).values()

    assert made.record[method]["scaled"] > 0
    assert made.scales
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_biases_bring_int8_nearer_to_fp32():
    record = CONVNET.corrected("bias").record["bias"]
    before, after = record["output_error"]

    assert record["kept"] is (after < before) is True
    assert record["mean_shift"] > 0


def test_rounding_leaves_less_error_than_to_nearest():
    assert CONVNET.corrected("round").record["round"]["error_of_nearest"] < 0.95


def test_another_function_is_refused():
    model = CONVNET.model
    weight = BACKEND.weights(model, ["first_w"])["first_w"]
    changed = BACKEND.edit(model, [Edit("first_w", weight * np.float32(1.01))])

    with pytest.raises(ModelError, match="changed the outputs"):
        require_same_function(BACKEND, model, changed, [CONVNET.batch], TARGET)
    assert require_same_function(BACKEND, model, model, [CONVNET.batch], TARGET) == 0


class TestEdits:
    def test_a_bias_is_replaced(self):
        model = CONVNET.model
        changed = BACKEND.edit(model, [Bias("head", np.full(8, 2, np.float32))])
        old = BACKEND.weights(model, ["head_b"])["head_b"].reshape(1, 8, 1, 1)
        (before,), (after,) = (run(m, CONVNET.judged).values() for m in (model, changed))

        np.testing.assert_allclose(after, before - old + 2, atol=1e-4)

    def test_a_product_without_a_bias_gets_one(self):
        b = Builder()
        y = b.node("MatMul", ["x", b.random("w", 16, 4)], "product")
        model = BACKEND.load(b.ending(y, x=["n", 16]))
        changed = BACKEND.edit(model, [Bias("product", np.arange(4, dtype=np.float32))])
        batch = {"x": noise(3, 16)}

        expected = run(model, batch)["product_out"] + np.arange(4)
        np.testing.assert_allclose(run(changed, batch)["product_out"], expected, atol=1e-5)
        assert BACKEND.graph(changed, TARGET).groups[0].ops[0] == "product"

    def test_some_readers_get_a_tensor_multiplied(self):
        b = Builder()
        x = b.node("Relu", ["x"], "relu")
        first, second = (b.node("MatMul", [x, b.random(f"{n}w", 16, 4)], n) for n in "ab")
        model = BACKEND.load(b.ending(first, second, x=["n", 16]))
        one = Multiply("relu_out", -1, np.full(16, 2, np.float32), ("a",))
        batch = {"x": noise(3, 16)}
        before, after = run(model, batch), run(BACKEND.edit(model, [one]), batch)

        np.testing.assert_allclose(after["a_out"], 2 * before["a_out"], rtol=1e-5)
        np.testing.assert_array_equal(after["b_out"], before["b_out"])

    @pytest.mark.parametrize(
        "edit",
        [
            Bias("head", np.ones(7, np.float32)),
            Bias("no", np.ones(8, np.float32)),
            Bias("first_r", np.ones(16, np.float32)),
            Multiply("no", 1, np.ones(16, np.float32), ()),
            Multiply("first_r_out", 1, np.ones(3, np.float32), ("middle",)),
            Multiply("first_r_out", 1, np.ones(16, np.float32), ("head",)),
        ],
        ids=str,
    )
    def test_what_does_not_fit_is_refused(self, edit):
        with pytest.raises(ModelError):
            BACKEND.edit(CONVNET.model, [edit])
