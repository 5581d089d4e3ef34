import pytest

from octavo.bench.noise import (
    CpuTimes,
    Snapshot,
    noise_between,
    overloaded,
    parse_stat,
    read_megahertz,
)

STAT = """cpu  900 0 300 9000 100 0 30 40 20 0
cpu0 400 0 200 4000 100 0 10 40 20 0
cpu1 500 10 100 5000 0 5 20 0 0 0
cpu10 7 7 7 7 7 7 7 7 7 7
intr 12345
"""


def at(busy, stolen, total, load=0.0):
    return Snapshot(CpuTimes(busy, stolen, total), load)


def test_the_times_of_the_wanted_cpus_are_added_up_in_seconds():
    assert parse_stat(STAT, {0}, 100) == CpuTimes(busy=6.1, stolen=0.4, total=47.5)
    both = parse_stat(STAT, {0, 1}, 100)
    assert (both.busy, both.stolen, both.total) == pytest.approx((12.45, 0.4, 103.85))


def test_a_quiet_machine_gives_no_reason():
    noise = noise_between(at(10, 1, 100), at(19, 1, 110), own_seconds=9, cpus=2)
    assert (noise.steal, noise.foreign, noise.reasons) == (0.0, 0.0, ())
    assert noise.megahertz is None


def test_stolen_time_is_a_reason():
    noise = noise_between(at(0, 0, 0), at(90, 10, 100), own_seconds=90, cpus=2)
    assert noise.steal == pytest.approx(0.1)
    assert noise.reasons == ("the hypervisor took 10% of the time of our cores",)


def test_other_processes_are_a_reason_and_our_own_time_is_not():
    noise = noise_between(at(0, 0, 0), at(90, 0, 100), own_seconds=60, cpus=2)
    assert noise.foreign == pytest.approx(0.3)
    assert noise.reasons == ("other processes used 30% of the time of our cores",)


def test_a_load_beyond_the_cpus_is_a_reason():
    noise = noise_between(at(0, 0, 0, load=3.1), at(0, 0, 1), own_seconds=0, cpus=2)
    assert noise.reasons == ("the load average was 3.1 on 2 CPUs",)
    assert not overloaded(3.0, 2)


def test_reasons_found_elsewhere_are_kept():
    noise = noise_between(at(0, 0, 0), at(0, 0, 1), own_seconds=0, cpus=2, reasons=["wide"])
    assert noise.reasons == ("wide",)


def test_the_lowest_and_highest_frequency_are_kept():
    noise = noise_between(
        at(0, 0, 0), at(0, 0, 1), own_seconds=0, cpus=2, megahertz=[2600.0, 1200.0, 3100.0]
    )
    assert noise.megahertz == (1200.0, 3100.0)


def test_frequencies_are_read_where_the_kernel_tells(tmp_path):
    folder = tmp_path / "cpu3" / "cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_cur_freq").write_text("2600000\n")
    assert read_megahertz([3, 4], tmp_path) == (2600.0,)
