import pytest

from octavo.bench.cgroup import (
    cpu_limit,
    cpuset,
    halted_seconds,
    memory_limit,
    parse_cfs,
    parse_cpu_max,
    parse_cpu_stat,
    parse_membership,
)


@pytest.fixture
def membership(tmp_path):
    def write(text):
        path = tmp_path / "membership"
        path.write_text(text)
        return path

    return write


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("text", "limit"), [("200000 100000\n", 2.0), ("50000 100000", 0.5), ("max 100000\n", None)]
)
def test_cpu_max_of_version_2(text, limit):
    assert parse_cpu_max(text) == limit


def test_cfs_quota_of_version_1():
    assert parse_cfs("150000\n", "100000\n") == 1.5
    assert parse_cfs("-1\n", "100000\n") is None


def test_membership_of_both_versions():
    text = "4:cpu,cpuacct:/a\n3:memory:/b\n0::/c\n"
    assert parse_membership(text) == {"cpu": "/a", "cpuacct": "/a", "memory": "/b", "": "/c"}


def test_the_smallest_limit_of_all_enclosing_groups_rules(tmp_path, membership):
    put(tmp_path / "user.slice" / "job" / "cpu.max", "max 100000\n")
    put(tmp_path / "user.slice" / "cpu.max", "300000 100000\n")
    put(tmp_path / "user.slice" / "job" / "memory.max", "1000000\n")
    put(tmp_path / "user.slice" / "memory.max", "max\n")
    here = membership("0::/user.slice/job\n")
    assert cpu_limit(tmp_path, here) == 3.0
    assert memory_limit(tmp_path, here) == 1_000_000


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_version_1_of_a_container_that_sees_itself_as_the_root(tmp_path, membership, mount):
    put(tmp_path / mount / "cpu.cfs_quota_us", "250000\n")
    put(tmp_path / mount / "cpu.cfs_period_us", "100000\n")
    put(tmp_path / "memory" / "memory.limit_in_bytes", "9223372036854771712\n")
    here = membership("4:cpu,cpuacct:/docker/1f2e\n3:memory:/docker/1f2e\n")
    assert cpu_limit(tmp_path, here) == 2.5
    assert memory_limit(tmp_path, here) is None


def test_no_group_is_no_limit(tmp_path, membership):
    assert cpu_limit(tmp_path, membership("0::/\n")) is None
    assert cpu_limit(tmp_path, tmp_path / "absent") is None


def test_the_cpuset_of_version_2_is_what_is_effective(tmp_path, membership):
    put(tmp_path / "cpuset.cpus.effective", "0-15\n")
    put(tmp_path / "job" / "cpuset.cpus", "\n")
    put(tmp_path / "job" / "cpuset.cpus.effective", "4-7,12\n")
    assert cpuset(tmp_path, membership("0::/job\n")) == (4, 5, 6, 7, 12)


@pytest.mark.parametrize("name", ["cpuset.cpus", "cpuset.effective_cpus"])
def test_the_cpuset_of_version_1(tmp_path, membership, name):
    put(tmp_path / "cpuset" / name, "0-15\n")
    put(tmp_path / "cpuset" / "docker" / "1f2e" / name, "2,6-7\n")
    here = membership("4:cpuset:/docker/1f2e\n3:memory:/docker/1f2e\n")
    assert cpuset(tmp_path, here) == (2, 6, 7)


def test_no_cpuset_is_none(tmp_path, membership):
    assert cpuset(tmp_path, membership("0::/\n")) is None
    assert cpuset(tmp_path, tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("usage_usec 9\nnr_periods 40\nnr_throttled 9\nthrottled_usec 2500000\n", 2.5),
        ("nr_periods 40\nnr_throttled 9\nthrottled_time 1500000000\n", 1.5),
        ("usage_usec 123\n", 0.0),
    ],
)
def test_halted_time_of_both_versions(text, seconds):
    assert parse_cpu_stat(text) == seconds


def test_halted_time_of_all_enclosing_groups_is_added_up(tmp_path, membership):
    put(tmp_path / "cpu.stat", "usage_usec 5\n")
    put(tmp_path / "pod" / "cpu.stat", "throttled_usec 250000\n")
    put(tmp_path / "pod" / "job" / "cpu.stat", "throttled_usec 500000\n")
    assert halted_seconds(tmp_path, membership("0::/pod/job\n")) == 0.75


def test_a_controller_under_two_names_counts_once(tmp_path, membership):
    put(tmp_path / "cpu,cpuacct" / "cpu.stat", "throttled_time 1000000000\n")
    (tmp_path / "cpu").symlink_to(tmp_path / "cpu,cpuacct")
    assert halted_seconds(tmp_path, membership("4:cpu,cpuacct:/\n")) == 1.0
