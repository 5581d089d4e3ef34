import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octavo.bench.cores import Core, Topology
from octavo.bench.places import Layout, Place, complaints, layouts, most_instances, places, used
from octavo.errors import UsageError

BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def machine(*nodes, smt=1, quota=None):
    """A machine with so many cores on each memory node, a node for each socket."""
    homes = [node for node, count in enumerate(nodes) for _ in range(count)]
    cores = [
        Core(node, node, tuple(core + len(homes) * thread for thread in range(smt)))
        for core, node in enumerate(homes)
    ]
    return Topology(tuple(cores), quota)


def written(found):
    return [str(layout) for layout in found]


def test_every_instance_has_cores_and_a_memory_node_of_its_own():
    found = places(machine(4, 4), Layout(4, 2))
    assert [place.node for place in found] == [0, 0, 1, 1]
    cores = [core for place in found for core in place.cores]
    assert sorted(cores) == list(range(8))


def test_an_instance_on_several_nodes_is_bound_to_none():
    (place,) = places(machine(2, 2), Layout(1, 4))
    assert place.node is None


def test_instances_do_not_share_cores_by_their_hardware_threads():
    with pytest.raises(UsageError, match="3 instances of 1 cores asked for"):
        places(machine(2, smt=2), Layout(3, 1))


def test_one_instance_may_have_more_threads_than_there_are_cores():
    (place,) = places(machine(2, smt=2), Layout(1, 4))
    assert sorted(place.cores) == [0, 1, 2, 3]


@pytest.mark.parametrize("wanted", [Layout(0, 1), Layout(1, 0), Layout(-1, 2), Layout(2, 3)])
def test_what_does_not_fit_is_refused(wanted):
    with pytest.raises(UsageError, match="asked for"):
        places(machine(4), wanted)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ((1,), ["1 x 1"]),
        ((2,), ["2 x 1", "1 x 2"]),
        ((12,), ["12 x 1", "6 x 2", "4 x 3", "3 x 4", "2 x 6", "1 x 12"]),
        ((6, 6), ["12 x 1", "6 x 2", "4 x 3", "2 x 6", "1 x 12"]),
        ((3, 5), ["8 x 1", "1 x 8"]),
        ((7,), ["7 x 1", "1 x 7"]),
    ],
)
def test_a_sweep_shares_all_cores_among_equal_instances(nodes, expected):
    assert written(layouts(machine(*nodes))) == expected


def test_a_sweep_leaves_alone_what_the_container_does_not_give():
    assert written(layouts(machine(64, quota=4.0))) == ["4 x 1", "2 x 2", "1 x 4"]
    assert written(layouts(machine(4, quota=0.5))) == ["1 x 1"]


def test_hardware_threads_of_one_core_count_once():
    assert written(layouts(machine(2, smt=2))) == ["2 x 1", "1 x 2"]


def test_as_many_instances_as_fit():
    assert most_instances(machine(5, 3), 2) == Layout(3, 2)


def test_more_threads_than_a_container_has_time_for_are_a_complaint():
    chosen = (Place((0, 1)), Place((2, 3)))
    assert used(chosen) == (0, 1, 2, 3)
    assert complaints(machine(4), chosen) == []
    assert complaints(machine(4, quota=4.0), chosen) == []
    assert complaints(machine(4, quota=1.5), chosen) == [
        "the container has the time of 1.5 CPUs for threads on 4"
    ]


@BUSY
@given(
    nodes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    smt=st.integers(1, 2),
    quota=st.none() | st.floats(0.5, 40),
)
def test_every_layout_of_a_sweep_uses_each_core_at_most_once(nodes, smt, quota):
    topology = machine(*nodes, smt=smt, quota=quota)
    usable = len(topology.cores) if quota is None else max(1, min(sum(nodes), int(quota)))
    found = layouts(topology)
    assert found
    for layout in found:
        chosen = places(topology, layout)
        assert layout.instances * layout.cores == usable
        assert len(chosen) == layout.instances
        assert {len(place.cores) for place in chosen} == {layout.cores}
        by_core = [core for place in chosen for core in place.cores]
        physical = [core % len(topology.cores) for core in by_core]
        assert len(set(physical)) == usable
    assert all(one.cores < other.cores for one, other in itertools.pairwise(found))
