import json

import pytest

from octavo.bench.noise import (
    CpuTimes,
    Noise,
    Snapshot,
    noise_between,
    overloaded,
    parse_stat,
    read_megahertz,
    read_throttled,
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


def test_a_container_that_halts_us_is_a_reason():
    before = Snapshot(CpuTimes(0, 0, 0), 0.0, halted=3.0)
    after = Snapshot(CpuTimes(50, 0, 100), 0.0, halted=23.0)
    noise = noise_between(before, after, own_seconds=50, cpus=2)
    assert noise.halted == pytest.approx(0.2)
    (reason,) = noise.reasons
    assert "halted our cores for 20% of the time; use fewer threads" in reason


def test_only_throttling_while_measuring_is_a_reason():
    before = Snapshot(CpuTimes(0, 0, 0), 0.0, throttled=7)
    same = Snapshot(CpuTimes(0, 0, 1), 0.0, throttled=7)
    assert noise_between(before, same, own_seconds=0, cpus=2).reasons == ()
    more = Snapshot(CpuTimes(0, 0, 1), 0.0, throttled=10)
    noise = noise_between(before, more, own_seconds=0, cpus=2)
    assert noise.throttled == 3
    assert noise.reasons == ("our cores were slowed down for heat or power (3 events)",)


@pytest.mark.parametrize(("low", "noisy"), [(2300.0, False), (2200.0, True)])
def test_a_frequency_that_falls_by_a_quarter_is_a_reason(low, noisy):
    seen = [3000.0, low]
    noise = noise_between(at(0, 0, 0), at(0, 0, 1), own_seconds=0, cpus=2, megahertz=seen)
    assert bool(noise.reasons) == noisy
    assert not noisy or "between 2200 and 3000 MHz" in noise.reasons[0]


def test_throttling_of_a_package_counts_once_and_that_of_a_core_for_each(tmp_path):
    for cpu, (package, core_count, package_count) in enumerate([(0, 2, 5), (0, 3, 5), (1, 0, 4)]):
        for name, value in (
            ("topology/physical_package_id", package),
            ("thermal_throttle/core_throttle_count", core_count),
            ("thermal_throttle/package_throttle_count", package_count),
        ):
            file = tmp_path / f"cpu{cpu}" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{value}\n")
    assert read_throttled([0, 1, 2], tmp_path) == 2 + 3 + 5 + 4
    assert read_throttled([1], tmp_path) == 3 + 5
    assert read_throttled([9], tmp_path) == 0


def test_noise_survives_json_and_older_results_are_read():
    noise = noise_between(
        at(0, 0, 0), at(90, 10, 100), own_seconds=90, cpus=2, megahertz=[2000.0, 3000.0]
    )
    assert Noise.from_json(json.loads(json.dumps(noise.to_json()))) == noise
    old = {"steal": 0.1, "foreign": 0.0, "load": 1.0, "megahertz": None, "reasons": ["x"]}
    assert Noise.from_json(old) == Noise(0.1, 0.0, 1.0, None, ("x",))
