import ctypes
import os
import shutil

import pytest

from octavo.doctor.conditions import (
    find_memory_control,
    read_conditions,
    read_governor,
    read_limit,
    read_turbo,
)

STAT = "cpu  0 0 0 0 0 0 0 0\ncpu0 60 0 30 900 0 0 0 10\ncpu1 500 0 0 0 0 0 0 500\n"


def put(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{content}\n")


def test_the_governors_of_our_cpus_are_read(tmp_path):
    for cpu, governor in enumerate(["powersave", "performance", "powersave"]):
        put(tmp_path / f"cpu{cpu}" / "cpufreq" / "scaling_governor", governor)
    assert read_governor([0, 2], tmp_path) == "powersave"
    assert read_governor([0, 1], tmp_path) == "performance, powersave"
    assert read_governor([7], tmp_path) is None


def test_the_limit_of_the_cpu_that_is_held_back_most_is_read(tmp_path):
    for cpu, (allowed, most) in enumerate([(3_500_000, 3_500_000), (1_800_000, 3_600_000)]):
        put(tmp_path / f"cpu{cpu}" / "cpufreq" / "scaling_max_freq", allowed)
        put(tmp_path / f"cpu{cpu}" / "cpufreq" / "cpuinfo_max_freq", most)
    put(tmp_path / "cpu2" / "cpufreq" / "scaling_max_freq", 1000)
    assert read_limit([0, 1, 2], tmp_path) == (1800.0, 3600.0)
    assert read_limit([0], tmp_path) == (3500.0, 3500.0)
    assert read_limit([2, 7], tmp_path) is None


@pytest.mark.parametrize(
    ("file", "content", "turbo"),
    [
        ("intel_pstate/no_turbo", 0, True),
        ("intel_pstate/no_turbo", 1, False),
        ("cpufreq/boost", 1, True),
        ("cpufreq/boost", 0, False),
        ("cpu3/cpufreq/boost", 1, True),
        ("cpu3/cpufreq/boost", 0, False),
        ("other", 1, None),
    ],
)
def test_turbo_is_read_where_the_driver_shows_it(tmp_path, file, content, turbo):
    put(tmp_path / file, content)
    assert read_turbo([3], tmp_path) is turbo


def test_stolen_time_is_a_share_of_what_our_cpus_wanted(tmp_path):
    put(tmp_path / "stat", STAT)
    assert read_conditions({0}, tmp_path, tmp_path / "stat").steal == pytest.approx(0.1)
    assert read_conditions({1}, tmp_path, tmp_path / "stat").steal == pytest.approx(0.5)


def test_what_the_kernel_does_not_tell_is_none(tmp_path):
    found = read_conditions({0}, tmp_path, tmp_path / "stat")
    assert (found.steal, found.governor, found.megahertz, found.turbo) == (None,) * 4
    assert found.throttled == 0
    assert found.load == pytest.approx(os.getloadavg()[0], abs=0.5)


def test_numactl_is_found_then_its_library_then_nothing(monkeypatch):
    def no_library(name):
        raise OSError(name)

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert find_memory_control() == "numactl"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: name)
    assert find_memory_control() == "libnuma"
    monkeypatch.setattr(ctypes, "CDLL", no_library)
    assert find_memory_control() is None
