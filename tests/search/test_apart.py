from dataclasses import replace

import pytest
from test_initial import CONV, follow, network

from octavo.plan import FP32, Range
from octavo.search.apart import far_apart
from octavo.search.initial import initial_plan

NARROW, WIDE = Range(0.0, 1.0), Range(-20.0, 20.0)


def tied(graph, *names):
    """Return the graph with these tensors tied, when all of it is INT8."""
    tensors = {n: replace(t, tie="t" if n in names else None) for n, t in graph.tensors.items()}
    return replace(graph, tensors=tensors)


def join(*more, ties=("a", "b", "join")):
    """Return two convolutions, their join and one behind it, and what else is given."""
    graph = network(
        ("a", "compute", CONV, "x"),
        ("b", "compute", CONV, "x"),
        *more,
        ("join", "follow", follow(2), "m b" if any(g[0] == "m" for g in more) else "a b"),
        ("last", "compute", CONV, "join"),
        kinds={"join": "concat", "m": "move"},
    )
    return tied(graph, *ties)


def found(graph, a=NARROW, b=WIDE, **ranges):
    plan = initial_plan(graph).plan
    assert not plan.format("join").is_float
    return far_apart(graph, plan, {"a": a, "b": b, "join": WIDE} | ranges)


READER = ("reader", "compute", CONV, "a")


def test_a_narrow_tensor_that_others_read_parts_a_join():
    reason = found(join(READER))["join"]

    assert reason == "it would widen the range of 'a' 40 times, which others read too"


def test_a_narrow_tensor_that_the_model_returns_parts_a_join():
    graph = join()

    assert set(found(replace(graph, outputs=("last", "a")))) == {"join"}


def test_a_narrow_tensor_of_the_join_alone_parts_nothing():
    """What reads the join sees one range whatever is done."""
    assert found(join()) == {}


@pytest.mark.parametrize("high", [20.0, 5.1, 0.0])
def test_ranges_that_are_near_and_constants_part_nothing(high):
    assert found(join(READER), a=Range(0.0, high)) == {}


def test_a_wide_tensor_that_others_read_parts_nothing():
    assert found(join(("reader", "compute", CONV, "b"))) == {}


def test_a_join_that_ties_nothing_is_left_alone():
    assert found(join(READER, ties=())) == {}


def test_a_join_in_float_is_left_alone():
    graph = join(READER)
    plan = initial_plan(graph, float_patterns=["join"]).plan

    assert plan.format("join") == FP32
    assert far_apart(graph, plan, {"a": NARROW, "b": WIDE, "join": WIDE}) == {}


def test_readers_of_what_is_moved_into_the_join_count():
    moved = ("m", "follow", follow(), "a")
    ties = ("a", "m", "b", "join")

    assert set(found(join(moved, READER, ties=ties), m=NARROW)) == {"join"}
    assert found(join(moved, ties=ties), m=NARROW) == {}
