import os

import pytest

from octavo.bench.topology import (
    Core,
    Topology,
    available_topology,
    choose_cores,
    parse_cpu_list,
    read_topology,
)
from octavo.errors import UsageError


def write_machine(root, cores, nodes):
    """Write the tree under /sys/devices/system; `cores` maps a socket to its cores' threads."""
    for socket, members in cores.items():
        for threads in members:
            for cpu in threads:
                folder = root / "cpu" / f"cpu{cpu}" / "topology"
                folder.mkdir(parents=True)
                (folder / "physical_package_id").write_text(f"{socket}\n")
                text = ",".join(str(thread) for thread in threads)
                (folder / "thread_siblings_list").write_text(text + "\n")
    for node, cpus in nodes.items():
        folder = root / "node" / f"node{node}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(cpus + "\n")


@pytest.fixture
def two_sockets(tmp_path):
    """Two sockets of four cores with two threads each, numbered as Linux does on Intel servers."""
    cores = {
        socket: [(first, first + 8) for first in range(socket * 4, socket * 4 + 4)]
        for socket in (0, 1)
    }
    write_machine(tmp_path, cores, {0: "0-3,8-11", 1: "4-7,12-15"})
    return tmp_path


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,8,10-11\n", (0, 1, 2, 3, 8, 10, 11)), ("5", (5,)), ("\n", ()), ("0-0", (0,))],
)
def test_the_kernels_lists_are_read(text, cpus):
    assert parse_cpu_list(text) == cpus


def test_two_sockets_with_smt_are_read(two_sockets):
    topology = read_topology(two_sockets)
    assert (topology.sockets, topology.nodes, len(topology.cores)) == (2, 2, 8)
    assert topology.smt
    assert topology.cpus == tuple(range(16))
    assert topology.cores[5] == Core(socket=1, node=1, cpus=(5, 13))


def test_offline_cpus_are_left_out(tmp_path):
    write_machine(tmp_path, {0: [(0,), (2,)]}, {0: "0,2"})
    (tmp_path / "cpu" / "cpu1").mkdir()
    assert read_topology(tmp_path).cpus == (0, 2)


def test_a_machine_without_memory_nodes_has_one(tmp_path):
    write_machine(tmp_path, {0: [(0,)]}, {})
    assert read_topology(tmp_path).cores == (Core(0, 0, (0,)),)


def test_a_kernel_that_shows_nothing_gives_the_cpus_we_may_use(tmp_path):
    assert read_topology(tmp_path).cpus == tuple(sorted(os.sched_getaffinity(0)))


def test_affinity_restricts_cores_and_threads(two_sockets):
    left = read_topology(two_sockets).restricted({1, 9, 6})
    assert left.cores == (Core(0, 0, (1, 9)), Core(1, 1, (6,)))


def test_what_this_process_may_use_is_never_more_than_its_affinity():
    assert set(available_topology().cpus) == os.sched_getaffinity(0)


def test_threads_get_physical_cores_of_one_node_and_the_first_core_last(two_sockets):
    topology = read_topology(two_sockets)
    assert choose_cores(topology, 3) == (1, 2, 3)
    assert choose_cores(topology, 4) == (1, 2, 3, 0)


def test_a_node_with_room_is_preferred_to_two_halves(two_sockets):
    topology = read_topology(two_sockets).restricted({2, 3, 4, 5, 6})
    assert choose_cores(topology, 3) == (4, 5, 6)


def test_a_socket_of_several_nodes_is_preferred_to_two_sockets():
    cores = [Core(socket=cpu // 4, node=cpu // 2, cpus=(cpu,)) for cpu in range(8)]
    topology = Topology(tuple(cores)).restricted({1, 4, 5, 6, 7})
    assert choose_cores(topology, 4) == (4, 5, 6, 7)


def test_all_cores_are_used_before_a_sibling_is(two_sockets):
    chosen = choose_cores(read_topology(two_sockets), 9)
    assert set(chosen[:8]) == set(range(8))
    assert chosen[8] == 8


@pytest.mark.parametrize("count", [0, -1, 17])
def test_more_threads_than_cpus_are_refused_with_the_number_there_is(two_sockets, count):
    with pytest.raises(UsageError, match=r"may use 16 CPUs; ask for 1 to 16"):
        choose_cores(read_topology(two_sockets), count)
