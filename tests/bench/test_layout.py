from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import hybrid, sub_numa, two_sockets

from octavo.bench.topology import Core, Topology, choose_cores, layout, node_of, read_topology
from octavo.errors import UsageError


@pytest.fixture
def servers(tmp_path):
    return read_topology(two_sockets(tmp_path))


@st.composite
def topologies(draw):
    """Sockets of several memory nodes, or memory nodes of several sockets, used in part."""
    outer, inner = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    sockets_outside = draw(st.booleans())
    threads = draw(st.integers(1, 2))
    cores = []
    for place in range(outer * inner):
        socket, node = (place // inner, place) if sockets_outside else (place, place // inner)
        for _ in range(draw(st.integers(1, 6))):
            first = len(cores) * threads
            slow = draw(st.booleans())
            cores.append(Core(socket, node, tuple(range(first, first + threads)), slow))
    every = Topology(tuple(cores))
    allowed = draw(st.sets(st.sampled_from(every.cpus), min_size=1))
    return every.restricted(allowed if draw(st.booleans()) else every.cpus)


def owner(topology, cpu):
    return next(core for core in topology.cores if cpu in core.cpus)


def places(topology, cpus, of):
    return {getattr(owner(topology, cpu), of) for cpu in cpus}


def fitting(topology, of, size):
    return sum(n // size for n in Counter(getattr(core, of) for core in topology.cores).values())


@given(topologies(), st.integers(1, 8), st.integers(1, 8))
def test_instances_share_no_core_and_straddle_only_what_cannot_be_avoided(topology, count, size):
    there = len(topology.cores)
    if count * size > there:
        with pytest.raises(UsageError, match=f"may use {there} physical cores"):
            layout(topology, count, size)
        return
    chosen = layout(topology, count, size)
    assert [len(instance) for instance in chosen] == [size] * count
    owners = [owner(topology, cpu) for instance in chosen for cpu in instance]
    assert len(set(owners)) == count * size
    for of in ("node", "socket"):
        inside = sum(len(places(topology, instance, of)) == 1 for instance in chosen)
        assert inside >= min(count, fitting(topology, of, size))


@given(topologies(), st.integers(1, 8))
def test_as_many_as_fit_without_straddling_a_node_where_a_node_has_room(topology, size):
    if size > len(topology.cores):
        with pytest.raises(UsageError):
            layout(topology, None, size)
        return
    chosen = layout(topology, None, size)
    kinds = Counter((core.socket, core.node, core.efficiency) for core in topology.cores)
    of_one_kind = sum(cores // size for cores in kinds.values())
    if of_one_kind:
        assert len(chosen) == of_one_kind
        assert all(len(places(topology, instance, "efficiency")) == 1 for instance in chosen)
    if fitting(topology, "node", size):
        assert all(len(places(topology, instance, "node")) == 1 for instance in chosen)
    assert len(chosen) >= 1


@given(topologies(), st.integers(1, 4), st.floats(0.1, 20))
def test_as_many_as_fit_leaves_no_instance_halted_by_the_container(topology, size, quota):
    limited = Topology(topology.cores, quota)
    if size <= len(topology.cores):
        count = len(layout(limited, None, size))
        assert count == 1 or count * size <= quota
        assert count == min(len(layout(topology, None, size)), max(1, int(quota) // size))


def test_instances_lie_on_one_socket_if_it_has_the_cores(servers):
    assert layout(servers, 2, 2) == ((1, 2), (3, 0))
    assert layout(servers, 3, 2) == ((1, 2), (3, 0), (4, 5))
    assert layout(servers.restricted({1, 4, 5, 6, 7}), 2, 2) == ((4, 5), (6, 7))


def test_no_sibling_is_used_and_the_first_core_comes_last(servers):
    chosen = layout(servers, None, 1)
    assert chosen == ((1,), (2,), (3,), (0,), (4,), (5,), (6,), (7,))


def test_an_instance_straddles_memory_nodes_of_one_socket_before_sockets(tmp_path):
    topology = read_topology(sub_numa(tmp_path))
    assert layout(topology, 4, 3) == ((1, 0, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11))


def test_an_instance_has_cores_of_one_kind_and_the_fast_ones_come_first(tmp_path):
    topology = read_topology(hybrid(tmp_path))
    assert layout(topology, 1, 2) == ((2, 0),)
    assert layout(topology, None, 2) == ((2, 0), (4, 5), (6, 7))
    assert layout(topology, 1, 4) == ((4, 5, 6, 7),)
    assert layout(topology, 1, 6) == ((2, 0, 4, 5, 6, 7),)


def test_virtual_sockets_of_one_core_are_no_reason_to_straddle_memory_nodes():
    topology = Topology(tuple(Core(cpu, cpu // 4, (cpu,)) for cpu in range(8)))
    assert layout(topology, 2, 4) == ((1, 2, 3, 0), (4, 5, 6, 7))
    assert len(layout(topology, None, 3)) == 2


@pytest.mark.parametrize(
    ("instances", "cores", "hint"),
    [
        (5, 2, r"5 instances of 2 cores .* 8 physical cores \(16 hardware threads\); .*4 inst"),
        (1, 9, "ask for 1 to 8 cores per instance"),
        (None, 9, "ask for 1 to 8 cores per instance"),
        (2, 8, "at most 1 instance of 8 cores, or give it more"),
        (0, 1, "ask for 1 or more of both"),
        (1, 0, "ask for 1 or more of both"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(servers, instances, cores, hint):
    with pytest.raises(UsageError, match=hint):
        layout(servers, instances, cores)


def test_the_memory_node_of_an_instance_is_known(servers):
    assert [node_of(servers, cpus) for cpus in layout(servers, 2, 4)] == [0, 1]
    assert node_of(servers, (3, 4)) is None
    assert node_of(servers, ()) is None


def test_threads_get_physical_cores_of_one_node_and_the_first_core_last(servers):
    assert choose_cores(servers, 3) == (1, 2, 3)
    assert choose_cores(servers, 4) == (1, 2, 3, 0)


def test_a_node_with_room_is_preferred_to_two_halves(servers):
    assert choose_cores(servers.restricted({2, 3, 4, 5, 6}), 3) == (4, 5, 6)


def test_a_socket_of_several_nodes_is_preferred_to_two_sockets():
    cores = [Core(socket=cpu // 4, node=cpu // 2, cpus=(cpu,)) for cpu in range(8)]
    topology = Topology(tuple(cores)).restricted({1, 4, 5, 6, 7})
    assert choose_cores(topology, 4) == (4, 5, 6, 7)


def test_all_cores_are_used_before_a_sibling_is(servers):
    chosen = choose_cores(servers, 9)
    assert set(chosen[:8]) == set(range(8))
    assert chosen[8] in range(8, 16)


@pytest.mark.parametrize("count", [0, -1, 17])
def test_more_threads_than_cpus_are_refused_with_the_number_there_is(servers, count):
    with pytest.raises(UsageError, match=r"may use 16 CPUs; ask for 1 to 16"):
        choose_cores(servers, count)
