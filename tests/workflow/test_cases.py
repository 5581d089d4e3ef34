import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octavo.bench.cores import Core, Topology
from octavo.bench.places import Layout
from octavo.errors import UsageError
from octavo.workflow.cases import Grid, cases, latency_limit, make_grid

FOUR = Topology(tuple(Core(0, 0, (cpu,)) for cpu in range(4)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (20, 20.0), (0.5, 0.5), (1e-5, 1e-5), ("20", 20.0), ("20ms", 20.0), (" 2.5 MS ", 2.5),
        (".5ms", 0.5), ("1.5s", 1500.0), ("2m", 120_000.0), (None, None),
    ],
)  # fmt: skip
def test_a_latency_limit_in_all_its_forms(given, expected):
    assert latency_limit(given) == expected


@pytest.mark.parametrize("given", ["", "fast", "-1ms", -1, 0, "0ms", float("nan"), float("inf")])
def test_a_latency_limit_that_means_nothing(given):
    with pytest.raises(UsageError, match="a latency is milliseconds"):
        latency_limit(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(1, (1,)), ("8", (8,)), ("1, 8,32", (1, 8, 32)), ([4, 2, 4], (4, 2)), ((1,), (1,))],
)
def test_batch_sizes_in_all_their_forms(given, expected):
    assert make_grid(batch_size=given).batch_sizes == expected


@pytest.mark.parametrize("given", [0, "", "1,", "a", [], [0], "1.5", -2, [1, None]])
def test_batch_sizes_that_mean_nothing(given):
    with pytest.raises(UsageError, match="a batch size is a number of at least 1"):
        make_grid(batch_size=given)


@pytest.mark.parametrize(("given", "expected"), [(3, 3), ("3", 3), ("auto", None), ("AUTO", None)])
def test_instances_in_all_their_forms(given, expected):
    assert make_grid(instances=given).instances == expected


@pytest.mark.parametrize("given", [0, "0", "-1", "all", "", 1.5])
def test_instances_that_mean_nothing(given):
    with pytest.raises(UsageError, match="instances are a number of at least 1, or auto"):
        make_grid(instances=given)


def test_one_shape_of_an_input():
    assert make_grid(shapes={"x": (1, 3)}).shapes == ({"x": (1, 3)},)
    assert make_grid(shapes={"x": [1, 3]}).shapes == ({"x": (1, 3)},)
    assert make_grid(shapes={"x": "1x3"}).shapes == ({"x": (1, 3)},)
    assert make_grid().shapes == ({},)


def test_shapes_of_several_inputs_go_together():
    found = make_grid(shapes={"ids": [(1, 8), (1, 16)], "mask": ["1x8", "1x16"], "x": (1, 3)})
    assert found.shapes == (
        {"ids": (1, 8), "mask": (1, 8), "x": (1, 3)},
        {"ids": (1, 16), "mask": (1, 16), "x": (1, 3)},
    )


def test_shapes_that_do_not_go_together():
    with pytest.raises(UsageError, match="ids has 2, mask has 3; give each as many, or one"):
        make_grid(shapes={"ids": [(1, 8)] * 2, "mask": [(1, 8)] * 3, "x": (1, 3)})


@pytest.mark.parametrize("given", [(), (1, 0), [(1, 2), (1, 0)], "wide", [()], None])
def test_shapes_that_mean_nothing(given):
    with pytest.raises(UsageError, match="the shape of 'x' is sizes of at least 1"):
        make_grid(shapes={"x": given})


def test_a_sweep_has_no_number_of_instances():
    for options in ({"instances": 2}, {"threads": 1}, {"instances": "auto"}):
        with pytest.raises(UsageError, match="a sweep tries all layouts"):
            make_grid(sweep=True, **options)


def test_the_threads_of_an_artifact_count_where_none_are_given():
    assert Grid().layouts(FOUR, made_for=2) == (Layout(1, 2),)
    assert Grid(threads=1).layouts(FOUR, made_for=2) == (Layout(1, 1),)
    assert Grid(instances=None).layouts(FOUR, made_for=2) == (Layout(2, 2),)
    assert Grid(sweep=True).layouts(FOUR, made_for=2) == (Layout(4, 1), Layout(2, 2), Layout(1, 4))


def test_a_layout_that_does_not_fit_is_refused_before_anything_is_measured():
    with pytest.raises(UsageError, match="3 instances of 2 cores asked for"):
        Grid(instances=3, threads=2).layouts(FOUR, made_for=1)


def test_a_case_says_what_it_is():
    (case,) = cases([Layout(2, 1)], [8], [{"ids": (1, 128)}])
    assert str(case) == "instances 2 x 1, batch 8, ids 8x128"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.builds(Layout, st.integers(1, 8), st.integers(1, 8)), min_size=1, max_size=4, unique=True
    ),
    st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(1, 512), min_size=1, max_size=4, unique=True),
)
def test_every_combination_is_a_case_once(chosen, sizes, lengths):
    found = cases(chosen, sizes, [{"ids": (1, length)} for length in lengths])
    seen = {(one.layout, one.batch_size, one.shapes["ids"]) for one in found}
    assert len(found) == len(seen) == len(chosen) * len(sizes) * len(lengths)
    assert all(one.shapes["ids"][0] == one.batch_size for one in found)
