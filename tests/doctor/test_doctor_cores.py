from dataclasses import replace

from doctor_machines import HYBRID, TWO_SOCKETS

from octavo.doctor.cores import MemoryNode, describe_cores


def test_two_sockets_with_smt_are_counted():
    cores = describe_cores(TWO_SOCKETS, TWO_SOCKETS)
    assert (cores.sockets, cores.numa_nodes, cores.physical, cores.logical) == (2, 2, 8, 16)
    assert (cores.available_cores, cores.threads) == (8, 8)


def test_memory_nodes_are_told_with_what_is_near_to_them():
    assert describe_cores(TWO_SOCKETS, TWO_SOCKETS).nodes == (
        MemoryNode(0, (0,), 4, (0, 1, 2, 3, 8, 9, 10, 11)),
        MemoryNode(1, (1,), 4, (4, 5, 6, 7, 12, 13, 14, 15)),
    )


def test_affinity_bounds_the_threads():
    cores = describe_cores(TWO_SOCKETS, TWO_SOCKETS.restricted({0, 8, 3}))
    assert (cores.available, cores.available_cores, cores.threads) == ((0, 3, 8), 2, 2)


def test_the_limit_of_a_container_bounds_the_threads():
    limited = describe_cores(TWO_SOCKETS, replace(TWO_SOCKETS, quota=2.5), cpuset=range(16))
    assert (limited.available_cores, limited.cpu_limit, limited.threads) == (8, 2.5, 2)
    assert limited.cpuset == tuple(range(16))
    assert describe_cores(TWO_SOCKETS, replace(TWO_SOCKETS, quota=0.5)).threads == 1


def test_slower_cores_and_offline_cpus_are_told():
    cores = describe_cores(HYBRID, HYBRID, offline=[8, 9])
    assert (cores.physical, cores.efficiency, cores.offline) == (6, 4, (8, 9))
