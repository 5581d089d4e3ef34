from functools import cache

import numpy as np
import pytest
from networks import Builder
from onnx import TensorProto
from onnx_case import (
    BACKEND,
    NO_VNNI,
    TARGET,
    VNNI,
    Case,
    constants,
    noise,
    optimized,
    planned_case,
    run,
    sqnr,
    written,
)

from octavo.backends.onnxruntime.options import weight_scheme
from octavo.measure import quantize_weight
from octavo.plan import Plan

STEPS, BATCH, WIDTH, HIDDEN = 6, 3, 10, 16
STATE = {"forward": 1, "reverse": 1, "bidirectional": 2}


def recurrent(op="LSTM", direction="forward", given=(), peepholes=False, outputs=3, **attributes):
    """Return a network of one recurrent layer and a batch for it.

    `given` names optional inputs: lengths, h, c.
    """
    gates, directions = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], STATE[direction]
    b = Builder()
    weights = [
        b.random("W", directions, gates * HIDDEN, WIDTH, scale=0.4),
        b.random("R", directions, gates * HIDDEN, HIDDEN, scale=0.4),
        b.random("B", directions, 2 * gates * HIDDEN, scale=0.2),
    ]
    states = [name if name in given else "" for name in ("lengths", "h", "c")]
    inputs = ["x", *weights, *states[: 3 if op == "LSTM" else 2]]
    if peepholes:
        inputs.append(b.random("P", directions, 3 * HIDDEN, scale=0.3))
    names = ["y", "y_h", "y_c"][:outputs]
    b.add(op, inputs, names, "op", hidden_size=HIDDEN, direction=direction, **attributes)
    state = [directions, "batch", HIDDEN]
    specs = {"x": ["steps", "batch", WIDTH]}
    specs |= {name: state for name in ("h", "c") if name in given}
    specs |= {"lengths": (TensorProto.INT32, ["batch"])} if "lengths" in given else {}
    batch = {"x": noise(STEPS, BATCH, WIDTH)}
    batch |= {n: 0.5 * noise(directions, BATCH, HIDDEN) for n in ("h", "c") if n in given}
    batch |= {"lengths": np.array([6, 2, 4], np.int32)} if "lengths" in given else {}
    return b.ending(*names, **specs), batch


VARIANTS = {
    "forward": {},
    "reverse": {"direction": "reverse"},
    "bidirectional": {"direction": "bidirectional"},
    "lengths": {"given": ("lengths",)},
    "first state": {"given": ("h", "c")},
    "all inputs in two directions": {
        "given": ("lengths", "h", "c"),
        "direction": "bidirectional",
        "peepholes": True,
    },
    "peepholes": {"peepholes": True},
    "activations": {"activations": ["Sigmoid", "Relu", "Tanh"]},
    "clip": {"clip": 0.5},
    "coupled gates": {"input_forget": 1},
    "one output": {"outputs": 1},
}


@cache
def case(name):
    network, batch = recurrent(**VARIANTS[name])
    return planned_case(network, batch)


every_variant = pytest.mark.parametrize("name", VARIANTS)


@every_variant
def test_it_executes_in_int8(name):
    (entry,) = case(name).audit.values()

    assert (entry.executed, entry.kernels) == ("int8_dynamic", ("DynamicQuantizeLSTM",))


@every_variant
def test_int8_is_close_to_float(name):
    for output in case(name).float_outputs:
        assert 30 <= case(name).sqnr(output) <= 60


@every_variant
def test_int8_is_close_to_the_reference_of_its_weights(name):
    for output in case(name).float_outputs:
        assert case(name).reference_sqnr(output) >= 30


def quantized(weight, per_channel):
    """Return the values that the integers of a weight [gates, inputs] stand for on this machine."""
    scheme = weight_scheme(TARGET, 0 if per_channel else None)
    integers, made = quantize_weight(weight, scheme)
    return integers * made.scale.reshape(-1, *[1] * per_channel)


def round_trip(values):
    """Return values quantized and dequantized as DynamicQuantizeLinear does it."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    scale = (high - low) / 255 or 1.0
    zero = np.clip(np.rint(-low / scale), 0, 255)
    return (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def simulated(proto, x, per_channel):
    """Compute a forward LSTM whose sequence, and state at every step, are quantized."""
    weights = {t.name: np.array(BACKEND.weights(BACKEND.load(proto), [t.name])[t.name])
               for t in proto.graph.initializer}  # fmt: skip
    w, r = (quantized(weights[name][0], per_channel) for name in "WR")
    bias = weights["B"][0].reshape(2, -1).sum(0)
    h = c = np.zeros((x.shape[1], HIDDEN))
    found = []
    for row in round_trip(x):
        i, o, f, g = np.split(row @ w.T + round_trip(h) @ r.T + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        found.append(h)
    return np.stack(found)[:, None]


@pytest.mark.parametrize("per_channel", [True, False])
def test_it_computes_what_dynamic_quantization_does(per_channel):
    proto, batch = recurrent()
    found = planned_case(proto, batch, per_channel=per_channel)

    expected = simulated(proto, batch["x"], per_channel)
    np.testing.assert_allclose(found.int8_outputs["y"], expected, atol=2e-6)
    assert not np.allclose(found.float_outputs["y"], expected, atol=2e-4)


@pytest.mark.parametrize(("target", "limit"), [(VNNI, 127), (NO_VNNI, 63)])
def test_weights_use_the_bits_of_the_processor(target, limit):
    proto, batch = recurrent(direction="bidirectional")
    model = BACKEND.load(proto)
    (group,) = BACKEND.graph(model, target).groups
    built = Case(model, Plan({group.id: group.formats[0]}), batch, target).built

    stored = {name: array for name, array in constants(built).items() if name.endswith(".s8")}
    assert {array.shape for array in stored.values()} == {
        (2, WIDTH, 4 * HIDDEN),
        (2, HIDDEN, 4 * HIDDEN),
    }
    for array in stored.values():
        assert array.dtype == np.int8
        assert np.all(np.abs(array).max(axis=1) == limit)


@pytest.mark.parametrize(("samples", "steps"), [(1, 6), (5, 2)])
def test_other_lengths_and_batches_run(samples, steps):
    x = {"x": noise(steps, samples, WIDTH, seed=1)}

    assert sqnr(run(case("forward").model, x)["y"], run(case("forward").built, x)["y"]) >= 30


@pytest.mark.parametrize("approach", ["static", "dynamic"])
def test_both_approaches_quantize_it(approach):
    network, batch = recurrent()

    assert "DynamicQuantizeLSTM" in optimized(planned_case(network, batch, approach=approach).built)


def test_it_is_saved_and_restored(tmp_path):
    BACKEND.save(case("bidirectional").built, tmp_path)

    restored = BACKEND.restore(tmp_path)

    batch = case("bidirectional").batch
    for name, values in case("bidirectional").int8_outputs.items():
        np.testing.assert_array_equal(run(restored, batch)[name], values)


def test_convolutions_around_it_are_quantized_too():
    b = Builder()
    x = b.node("Relu", [b.conv("image", "conv", 3, 10)], "relu")
    x = b.node("Transpose", [b.reshape(x, "lines", 0, WIDTH, 64)], "turned", perm=[2, 0, 1])
    names = [b.random("W", 1, 64, WIDTH, scale=0.4), b.random("R", 1, 64, HIDDEN, scale=0.4)]
    b.add("LSTM", [x, *names], ["states"], "lstm", hidden_size=HIDDEN)
    y = b.linear(b.node("Squeeze", ["states", b.weight("one", np.array([1]))], "flat"), "head",
                 HIDDEN, 4)  # fmt: skip
    found = planned_case(b.ending(y, image=["batch", 3, 8, 8]), {"image": noise(2, 3, 8, 8)})

    executed = {name: found.audit[name].executed for name in ("conv", "lstm", "head")}
    assert executed == {"conv": "int8", "lstm": "int8_dynamic", "head": "int8"}
    assert found.failures == {}
    assert found.sqnr(y) >= 25


class TestRefusals:
    @staticmethod
    def only_group(proto):
        (group,) = BACKEND.graph(BACKEND.load(proto), TARGET).groups
        return group

    @pytest.mark.parametrize("op", ["GRU", "RNN"])
    def test_other_layers_have_no_kernel(self, op):
        group = self.only_group(recurrent(op, outputs=2)[0])

        assert group.refusal == f"ONNX Runtime has no INT8 {op}, as it has for LSTM"

    def test_a_static_one_is_refused(self):
        group = self.only_group(recurrent()[0])

        reasons = [o.refused for o in group.options if o.format.compute == "int8"]
        assert reasons == ["ONNX Runtime's INT8 LSTM finds the ranges while it runs"]

    def test_computed_weights_are_refused(self):
        b = Builder()
        weight = b.node("Tanh", [b.random("raw", 1, 64, WIDTH)], "computed")
        b.add("LSTM", ["x", weight, b.random("R", 1, 64, HIDDEN)], ["y"], "op", hidden_size=HIDDEN)
        graph = BACKEND.graph(BACKEND.load(b.ending("y", x=["steps", "batch", WIDTH])), TARGET)

        assert graph.group_by_id["op"].refusal == "its weights are not constant"

    def test_the_batch_first_is_refused(self):
        b = Builder()
        names = [b.random("W", 1, 64, WIDTH), b.random("R", 1, 64, HIDDEN)]
        b.add("LSTM", ["x", *names], ["y"], "op", hidden_size=HIDDEN, layout=1)

        group = self.only_group(b.ending("y", x=["batch", "steps", WIDTH]))
        assert group.refusal == "ONNX Runtime has no LSTM with the batch first"


def test_multiply_adds_are_those_of_all_steps():
    proto, _ = recurrent(direction="bidirectional")
    target = type(TARGET)(shapes={"x": (STEPS, BATCH, WIDTH)})

    graph = BACKEND.graph(BACKEND.load(proto), target)

    assert graph.macs == STEPS * BATCH * 2 * 4 * HIDDEN * (WIDTH + HIDDEN)


def test_the_domain_of_the_kernel_is_declared():
    imports = {entry.domain: entry.version for entry in written(case("forward").built).opset_import}

    assert imports["com.microsoft"] == 1
