"""Golden tests: what ONNX Runtime's own calibrators and operators return on the same data."""

import numpy as np
import pytest

from octavo.measure import (
    Statistics,
    TensorStatistics,
    compute_range,
    dequantize,
    quantization_of,
    quantize,
    quantize_weight,
)
from octavo.plan import S8, U8, Range, Recipe, Scheme

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

FLOAT = onnx.TensorProto.FLOAT
TENSORS = ["image", "conv", "relu", "conv2", "sigmoid", "mul", "logits"]
SIZE = 24


def network():
    """A small network with a rectifier, a SiLU (two-sided and skewed) and a matrix product."""
    random = np.random.default_rng(11)

    def constant(name, *shape):
        fan_in = np.prod(shape[1:])
        return numpy_helper.from_array(
            (random.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32), name
        )

    weights = [
        constant("w1", 8, 3, 3, 3),
        constant("b1", 8),
        constant("w2", 12, 8, 3, 3),
        constant("w3", 12 * SIZE * SIZE, 10),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("Conv", ["relu", "w2"], ["conv2"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["conv2"], ["sigmoid"]),
        helper.make_node("Mul", ["conv2", "sigmoid"], ["mul"]),
        helper.make_node("Flatten", ["mul"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w3"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", FLOAT, ["N", 10])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(12)
    scales = random.lognormal(sigma=0.3, size=(64, 1, 1, 1))
    return (random.normal(size=(64, 3, SIZE, SIZE)) * scales).astype(np.float32)


@pytest.fixture(scope="module")
def observed(images):
    """Return a function that gives the statistics of every tensor for a batch size."""
    model = network()
    seen = [name for name in TENSORS if name not in ("image", "logits")]
    model.graph.output.extend(helper.make_tensor_value_info(each, FLOAT, None) for each in seen)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]

    def measure(batch_size):
        statistics = Statistics(TENSORS, channel_axes={"conv": 1})
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            statistics.update("image", batch)
            for name, values in zip(names, session.run(names, {"image": batch}), strict=True):
                statistics.update(name, values)
        return statistics

    return measure


class Reader(calibrate.CalibrationDataReader):
    def __init__(self, images, batch_size):
        self.batches = iter(np.split(images, range(batch_size, len(images), batch_size)))

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"image": batch}


@pytest.fixture(scope="module")
def calibrated(images, tmp_path_factory):
    """Return a function that gives the ranges of ONNX Runtime's calibrator for a method."""
    folder = tmp_path_factory.mktemp("calibrate")
    onnx.save(network(), folder / "model.onnx")

    def ranges(method, **options):
        calibrator = calibrate.create_calibrator(
            str(folder / "model.onnx"),
            augmented_model_path=str(folder / "augmented.onnx"),
            calibrate_method=method,
            extra_options=options,
        )
        calibrator.collect_data(Reader(images, 16))
        data = calibrator.compute_data()
        return {
            name: tuple(np.asarray(end).item() for end in data[name].range_value)
            for name in TENSORS
            if name in data
        }

    return ranges


def test_minmax_is_exactly_that_of_onnxruntime(observed, calibrated):
    theirs = calibrated(calibrate.CalibrationMethod.MinMax)
    statistics = observed(16)
    assert set(TENSORS) - set(theirs) <= {"sigmoid"}
    for name, ends in theirs.items():
        assert (statistics[name].minimum, statistics[name].maximum) == ends, name


@pytest.mark.parametrize("percentile", [99.0, 99.9, 99.99])
@pytest.mark.parametrize("symmetric", [False, True])
def test_percentile_is_that_of_onnxruntime_to_a_bin(observed, calibrated, percentile, symmetric):
    theirs = calibrated(
        calibrate.CalibrationMethod.Percentile,
        num_bins=2048,
        percentile=percentile,
        symmetric=symmetric,
    )
    statistics = observed(16)
    assert len(theirs) >= 6
    for name, (low, high) in theirs.items():
        seen = statistics[name]
        ours = compute_range(seen, Recipe("percentile", percentile), S8 if symmetric else U8)
        theirs_wide = 2 * max(-seen.minimum, seen.maximum) / 2048
        bins = (
            seen.histogram.width + theirs_wide
        )  # ours ends outside of the last bin, theirs inside
        # Theirs cuts a symmetric range to the extremes, and may leave zero outside.
        assert min(ours.high, seen.maximum) == pytest.approx(high, abs=bins), name
        lowest = max(ours.low, min(seen.minimum, 0.0))
        assert lowest == pytest.approx(min(low, 0.0), abs=bins), name


def entropy_of_onnxruntime(samples):
    collector = calibrate.HistogramCollector("entropy", False, 2048, 255, None, None)
    collector.collect({"tensor": samples})
    low, high, *_ = collector.compute_collection_result()["tensor"]
    return Range(float(low), float(high))


def distributions(name):
    random = np.random.default_rng(13)
    return {
        "uniform": random.uniform(-1, 1, size=(4, 50_000)),
        "triangular": random.triangular(-1, 0, 1, size=(4, 50_000)),
        "sine": np.sin(random.uniform(-np.pi, np.pi, size=(4, 50_000))),
        "laplace": random.laplace(size=(4, 50_000)),
        "normal": random.normal(size=(4, 50_000)),
        "skewed": random.normal(size=(4, 50_000)) - np.abs(random.laplace(size=(4, 50_000))),
    }[name].astype(np.float32)


@pytest.mark.parametrize("name", ["uniform", "triangular", "sine"])
def test_entropy_is_that_of_onnxruntime_to_a_level(name):
    samples = distributions(name)
    theirs = entropy_of_onnxruntime(samples)
    for scheme in (U8, S8):
        ours = compute_range(measured(samples), Recipe("entropy"), scheme)
        level = 2 * theirs.high / 255
        assert ours.high == pytest.approx(theirs.high, abs=level)
        assert ours.low == pytest.approx(theirs.low, abs=level)


@pytest.mark.parametrize("name", ["laplace", "normal", "skewed"])
def test_entropy_loses_no_more_than_that_of_onnxruntime(name):
    # Where the divergence is flat theirs prefers ranges of whole multiples of the levels (it
    # rounds the bins of a level down), so that only what the ranges do can be compared.
    samples = distributions(name)
    ours = compute_range(measured(samples), Recipe("entropy"), U8)
    assert squared_error(samples, ours) <= squared_error(samples, entropy_of_onnxruntime(samples))


def measured(samples):
    statistics = TensorStatistics()
    statistics.update(samples)
    return statistics


def squared_error(samples, range):
    quantization = quantization_of(range, U8)
    back = dequantize(quantize(samples, quantization), quantization)
    return float(np.mean((back.astype(np.float64) - samples) ** 2))


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
@pytest.mark.parametrize("scheme", [U8, S8], ids=["U8", "S8"])
def test_ranges_agree_to_a_bin_between_batches_of_1_7_and_32(observed, method, scheme):
    recipe = Recipe(method, percentile=99.9)
    by_batch = [observed(size) for size in (1, 7, 32)]
    for name in TENSORS:
        width = max(statistics[name].histogram.width for statistics in by_batch)
        ranges = [compute_range(statistics[name], recipe, scheme) for statistics in by_batch]
        for ends in ([each.low for each in ranges], [each.high for each in ranges]):
            assert max(ends) - min(ends) <= width, name


def run(node, inputs, weights=()):
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(name, FLOAT, list(each.shape))
            for name, each in inputs.items()
        ],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


@pytest.mark.parametrize("scheme", [U8, Scheme(8, signed=True), S8], ids=str)
def test_quantize_is_quantizelinear_to_the_last_integer(scheme):
    random = np.random.default_rng(14)
    quantization = quantization_of(Range(-1.7, 2.9), scheme)
    halves = (np.arange(-300, 300) + 0.5).astype(np.float32) * quantization.scale
    values = np.concatenate([halves, random.normal(scale=2, size=50_000).astype(np.float32)])
    node = helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"])
    parameters = [("scale", quantization.scale), ("zero", quantization.zero_point)]
    theirs = run(node, {"x": values}, parameters)
    ours = quantize(values, quantization)
    assert ours.dtype == theirs.dtype
    if scheme.symmetric:
        theirs = np.maximum(theirs, -127)  # QuantizeLinear knows no reduced range
    assert np.array_equal(ours, theirs)


def test_quantized_weights_per_channel_are_those_of_onnxruntime():
    weight = np.random.default_rng(15).normal(size=(16, 8, 3, 3)).astype(np.float32)
    integers, quantization = quantize_weight(weight, Scheme(8, True, True, axis=0))
    node = helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"], axis=0)
    parameters = [("scale", quantization.scale), ("zero", quantization.zero_point)]
    assert np.array_equal(integers, run(node, {"x": weight}, parameters))
    node = helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], axis=0)
    assert np.array_equal(
        dequantize(integers, quantization), run(node, {}, [*parameters, ("q", integers)])
    )
