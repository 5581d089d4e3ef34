import os

import pytest
from machines import hybrid, put, sub_numa, two_sockets, write_machine

from octavo.bench.layout import layout
from octavo.bench.topology import (
    Core,
    available_topology,
    offline_cpus,
    parse_cpu_list,
    read_topology,
)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,8,10-11\n", (0, 1, 2, 3, 8, 10, 11)), ("5", (5,)), ("\n", ()), ("0-0", (0,))],
)
def test_the_kernels_lists_are_read(text, cpus):
    assert parse_cpu_list(text) == cpus


def test_two_sockets_with_smt_are_read(tmp_path):
    topology = read_topology(two_sockets(tmp_path))
    assert (topology.sockets, topology.nodes, len(topology.cores)) == (2, 2, 8)
    assert topology.smt
    assert topology.cpus == tuple(range(16))
    assert topology.cores[5] == Core(socket=1, node=1, cpus=(5, 13))


def test_the_memory_nodes_of_sub_numa_clustering_are_read(tmp_path):
    topology = read_topology(sub_numa(tmp_path))
    assert (topology.sockets, topology.nodes, topology.smt) == (2, 6, False)
    assert [core.node for core in topology.cores] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [core.socket for core in topology.cores] == [0] * 6 + [1] * 6


def test_one_memory_node_may_hold_two_sockets(tmp_path):
    write_machine(tmp_path, {0: [(0,), (1,)], 1: [(2,), (3,)]}, {0: "0-3"})
    topology = read_topology(tmp_path)
    assert (topology.sockets, topology.nodes) == (2, 1)


def test_cpus_without_a_topology_are_offline(tmp_path):
    write_machine(tmp_path, {0: [(0,), (2,)]}, {0: "0,2"})
    (tmp_path / "cpu" / "cpu1").mkdir()
    assert read_topology(tmp_path).cpus == (0, 2)


def test_offline_cpus_are_left_out_even_as_siblings(tmp_path):
    write_machine(tmp_path, {0: [(0, 2), (1, 3)]}, {0: "0-3"}, online="0-2")
    put(tmp_path / "cpu" / "present", "0-3")
    topology = read_topology(tmp_path)
    assert [core.cpus for core in topology.cores] == [(0, 2), (1,)]
    assert offline_cpus(tmp_path) == (3,)


def test_a_machine_without_memory_nodes_has_one(tmp_path):
    write_machine(tmp_path, {0: [(0,)]}, {})
    assert read_topology(tmp_path).cores == (Core(0, 0, (0,)),)


def test_a_kernel_that_shows_nothing_gives_the_cpus_we_may_use(tmp_path):
    assert read_topology(tmp_path).cpus == tuple(sorted(os.sched_getaffinity(0)))
    assert offline_cpus(tmp_path) == ()


def test_a_virtual_machine_may_lack_any_field(tmp_path):
    put(tmp_path / "cpu" / "online", "0-4")
    put(tmp_path / "cpu" / "cpu0" / "topology" / "core_id", 0)
    put(tmp_path / "cpu" / "cpu1" / "topology" / "physical_package_id", -1)
    put(tmp_path / "cpu" / "cpu2" / "topology" / "thread_siblings_list", "")
    put(tmp_path / "cpu" / "cpu3" / "topology" / "physical_package_id", "")
    put(tmp_path / "cpu" / "cpu3" / "topology" / "core_cpus_list", "3-4")
    assert read_topology(tmp_path).cores == (
        *(Core(0, 0, (cpu,)) for cpu in range(3)),
        Core(0, 0, (3, 4)),
    )


def test_siblings_that_contradict_each_other_are_in_one_core_each(tmp_path):
    write_machine(tmp_path, {0: [(0,), (1,)]}, {})
    put(tmp_path / "cpu" / "cpu1" / "topology" / "thread_siblings_list", "0-1")
    assert [core.cpus for core in read_topology(tmp_path).cores] == [(0,), (1,)]


def test_the_slower_kind_of_cores_of_intel_is_known(tmp_path):
    cores = read_topology(hybrid(tmp_path)).cores
    assert [core.cpus for core in cores if not core.efficiency] == [(0, 1), (2, 3)]
    assert [core.cpus for core in cores if core.efficiency] == [(4,), (5,), (6,), (7,)]


@pytest.mark.parametrize(("capacity", "slow"), [(446, True), (980, False)])
def test_the_slower_kind_of_cores_of_arm_has_less_capacity(tmp_path, capacity, slow):
    write_machine(tmp_path, {0: [(0,), (1,)]}, {})
    put(tmp_path / "cpu" / "cpu0" / "cpu_capacity", capacity)
    put(tmp_path / "cpu" / "cpu1" / "cpu_capacity", 1024)
    assert [core.efficiency for core in read_topology(tmp_path).cores] == [slow, False]


def test_affinity_restricts_cores_and_threads(tmp_path):
    left = read_topology(two_sockets(tmp_path)).restricted({1, 9, 6})
    assert left.cores == (Core(0, 0, (1, 9)), Core(1, 1, (6,)))


def test_what_this_process_may_use_is_never_more_than_its_affinity():
    assert set(available_topology().cpus) <= os.sched_getaffinity(0)


def limited_v1(groups):
    put(groups / "cpuset" / "docker" / "1f" / "cpuset.cpus", "2-5,10-13")
    put(groups / "cpu" / "docker" / "1f" / "cpu.cfs_quota_us", 250000)
    put(groups / "cpu" / "docker" / "1f" / "cpu.cfs_period_us", 100000)
    return "4:cpu,cpuacct:/docker/1f\n3:cpuset:/docker/1f"


def limited_v2(groups):
    put(groups / "pod" / "cpuset.cpus.effective", "2-5,10-13")
    put(groups / "pod" / "cpu.max", "250000 100000")
    return "0::/pod"


@pytest.fixture(params=[limited_v1, limited_v2])
def container(request, tmp_path, monkeypatch):
    """What a process of a container on two sockets sees; the function sets its affinity."""
    put(tmp_path / "membership", request.param(tmp_path / "groups"))
    two_sockets(tmp_path / "system")

    def look(affinity):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(affinity))
        return available_topology(tmp_path / "system", tmp_path / "groups", tmp_path / "membership")

    return look


def test_a_container_limits_the_cores_and_their_time(container):
    topology = container(range(16))
    assert topology.cores == tuple(
        Core(socket, socket, (cpu, cpu + 8)) for socket, cpu in [(0, 2), (0, 3), (1, 4), (1, 5)]
    )
    assert topology.quota == 2.5
    assert len(layout(topology, None, 1)) == 2
    assert len(layout(topology, 4, 1)) == 4


def test_affinity_and_container_rule_together(container):
    assert container({0, 3, 4}).cpus == (3, 4)
    assert container({0, 1}).cpus == (0, 1)  # a contradiction: what the kernel lets us do counts
