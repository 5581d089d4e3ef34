import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from octavo.errors import DataError, UsageError
from octavo.graph import Graph, Tensor
from octavo.measure import Statistics, TensorStatistics, compute_range, tied_ranges
from octavo.measure.quantization import steps
from octavo.plan import S8, U8, Range, Recipe, Scheme

METHODS = ["minmax", "percentile", "entropy", "mse"]
SCHEMES = [U8, S8, Scheme(bits=7), Scheme(bits=8, symmetric=True)]
SAMPLES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 50)),
    elements=st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.floats(-4, 4, width=32),
)

method_given = pytest.mark.parametrize("method", METHODS)
scheme_given = pytest.mark.parametrize("scheme", SCHEMES, ids=str)


def measured(samples, **arguments):
    statistics = TensorStatistics(**arguments)
    statistics.update(samples)
    return statistics


@method_given
@scheme_given
@given(samples=SAMPLES)
def test_a_range_holds_zero_and_ends_at_the_values(method, scheme, samples):
    found = compute_range(measured(samples), Recipe(method), scheme)
    low, high = min(float(samples.min()), 0.0), max(float(samples.max()), 0.0)
    if scheme.symmetric:
        assert found.low == -found.high
        low, high = -max(-low, high), max(-low, high)
    slack = 3 * (high - low) / steps(scheme) if method == "mse" else 0.0
    assert low - slack <= found.low <= 0.0 <= found.high <= high + slack


@method_given
@scheme_given
@pytest.mark.parametrize("value", [0.0, 1.0, -7.3, 3e38, -1e-42])
def test_a_constant_tensor_keeps_its_value(method, scheme, value):
    samples = np.full((2, 100), value, np.float32)
    found = compute_range(measured(samples), Recipe(method), scheme)
    exact = float(samples[0, 0])
    if scheme.symmetric:
        assert (found.low, found.high) == (-abs(exact), abs(exact))
    else:
        assert (found.low, found.high) == (min(exact, 0.0), max(exact, 0.0))
    assert not np.signbit(found.high)


@given(SAMPLES)
def test_minmax_is_exact(samples):
    found = compute_range(measured(samples), Recipe("minmax"), U8)
    assert found == Range(min(float(samples.min()), 0.0), max(float(samples.max()), 0.0))


@given(SAMPLES, st.floats(50, 100, exclude_min=True), st.sampled_from([U8, S8]))
def test_percentile_keeps_at_least_its_share(samples, percentile, scheme):
    found = compute_range(measured(samples), Recipe("percentile", percentile), scheme)
    kept = np.mean((samples >= found.low) & (samples <= found.high))
    assert kept >= percentile / 100 * (1 - 1e-12)


@pytest.mark.parametrize("percentile", [90, 99, 99.9])
def test_percentile_cuts_what_it_may_to_a_bin(percentile):
    samples = np.random.default_rng(0).normal(size=(4, 50_000)).astype(np.float32)
    statistics = measured(samples)
    width = statistics.histogram.width
    found = compute_range(statistics, Recipe("percentile", percentile), U8)
    cut = (100 - percentile) / 2
    assert np.percentile(samples, cut) - width <= found.low <= np.percentile(samples, cut)
    assert (
        np.percentile(samples, 100 - cut)
        <= found.high
        <= (np.percentile(samples, 100 - cut) + width)
    )
    symmetric = compute_range(statistics, Recipe("percentile", percentile), S8)
    expected = np.percentile(np.abs(samples), percentile)
    assert expected <= symmetric.high <= expected + width


def test_the_whole_percentile_is_minmax():
    statistics = measured(np.random.default_rng(0).normal(size=(1, 999)))
    for scheme in SCHEMES:
        whole = compute_range(statistics, Recipe("percentile", 100), scheme)
        assert whole == compute_range(statistics, Recipe("minmax"), scheme)


@pytest.mark.parametrize("percentile", [50, 0, -1, 100.1, float("nan")])
def test_a_percentile_out_of_bounds_is_refused(percentile):
    with pytest.raises(UsageError, match="percentile"):
        compute_range(measured(np.ones((1, 2))), Recipe("percentile", percentile), U8)


def test_an_unknown_method_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean 'percentile'"):
        compute_range(measured(np.ones((1, 2))), Recipe("percentil"), U8)


@method_given
def test_a_tensor_without_values_has_no_range(method):
    with pytest.raises(DataError, match="no values were measured"):
        compute_range(TensorStatistics(), Recipe(method), U8)


@method_given
@scheme_given
@given(samples=SAMPLES, exponent=st.integers(-20, 20))
def test_ranges_scale_with_the_values(method, scheme, samples, exponent):
    assume(1e-20 < np.abs(samples).max() < 1e20)
    assume(np.abs(samples[samples != 0]).min() > 1e-25)
    statistics = measured(samples)
    scaled = measured(np.ldexp(samples, exponent))
    found = compute_range(statistics, Recipe(method), scheme)
    assert compute_range(scaled, Recipe(method), scheme) == Range(
        found.low * 2.0**exponent, found.high * 2.0**exponent
    )


def network(batch, weights):
    """Two layers, a rectifier and a SiLU; the order of summation depends on the batch's size."""
    tensors = {"input": batch}
    for name, weight in zip(("relu", "silu"), weights, strict=True):
        chunks = [batch[:, i :: len(batch)] @ weight[i :: len(batch)] for i in range(len(batch))]
        sums = np.sum(chunks, axis=0, dtype=np.float32)
        batch = np.maximum(sums, 0) if name == "relu" else sums / (1 + np.exp(-sums))
        tensors[name] = batch
    return tensors


def observed(samples, size, weights):
    statistics = Statistics(["input", "relu", "silu"])
    for start in range(0, len(samples), size):
        for name, values in network(samples[start : start + size], weights).items():
            statistics.update(name, values)
    return statistics


@pytest.fixture(scope="module")
def by_batch():
    """Statistics of one network on the same samples in batches of 1, 7 and 32."""
    random = np.random.default_rng(21)
    samples = random.laplace(size=(64, 300)).astype(np.float32)
    weights = [random.normal(size=(300, 400)), random.normal(size=(400, 500))]
    weights = [(weight / 15).astype(np.float32) for weight in weights]
    return [observed(samples, size, weights) for size in (1, 7, 32)]


def test_a_runtime_that_rounds_by_batch_moves_values(by_batch):
    assert by_batch[0]["input"].histogram == by_batch[2]["input"].histogram
    assert by_batch[0]["silu"].mean != by_batch[2]["silu"].mean
    assert by_batch[0]["silu"].histogram != by_batch[2]["silu"].histogram


@method_given
@scheme_given
def test_ranges_agree_to_a_bin_even_so(by_batch, method, scheme):
    for name in ("input", "relu", "silu"):
        ranges = [compute_range(each[name], Recipe(method, 99.9), scheme) for each in by_batch]
        for ends in zip(*((each.low, each.high) for each in ranges), strict=True):
            assert max(ends) - min(ends) <= by_batch[0][name].histogram.width


def graph_of(**ties):
    tensors = {name: Tensor(name, "float32", tie=tie) for name, tie in ties.items()}
    return Graph((), tensors, (), (), (), "")


@pytest.fixture
def statistics():
    made = Statistics(["a", "b", "c", "d"])
    for name, low, high in [("a", -1, 2), ("b", -3, 1), ("c", -9, 9), ("d", 0, 5)]:
        made.update(name, np.array([[low, high]], np.float32))
    return made


def test_tied_tensors_share_the_union_of_their_ranges(statistics):
    graph = graph_of(a="concat", b="concat", c=None, d="other")
    schemes = {"a": U8, "b": U8, "c": S8, "d": U8}
    assert tied_ranges(statistics, graph, Recipe(), schemes) == {
        "a": Range(-3, 2),
        "b": Range(-3, 2),
        "c": Range(-9, 9),
        "d": Range(0, 5),
    }


def test_a_tensor_that_stays_float_widens_no_tie(statistics):
    graph = graph_of(a="concat", b="concat", c="concat")
    found = tied_ranges(statistics, graph, Recipe(), {"a": U8, "b": S8})
    assert found == {"a": Range(-3, 3), "b": Range(-3, 3)}


def test_a_tensor_the_graph_does_not_know_is_tied_to_nothing(statistics):
    assert tied_ranges(statistics, graph_of(), Recipe(), {"a": U8}) == {"a": Range(-1, 2)}


def test_a_tensor_that_was_never_seen_is_named():
    with pytest.raises(DataError, match="tensor 'a': no values"):
        tied_ranges(Statistics(["a"]), graph_of(a=None), Recipe(), {"a": U8})
    with pytest.raises(UsageError, match="'b' is not measured"):
        tied_ranges(Statistics(["a"]), graph_of(a=None), Recipe(), {"b": U8})
