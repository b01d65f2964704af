"""The node's state, on machines that stand in a folder, and on this one."""

import math
import os
from pathlib import Path

import pytest

from suite.cgroup import Throttling, cpu_quota, cpuset, throttling
from suite.probe import run_probe
from suite.state import cpu_times, read_machine, read_state
from suite.topology import granted_cpus
from suite.watch import Watch
from tests.machines import ALTRA, CPU, GROUP, XEON, frequency, lay, proc, topology

TICK_NS = 1e9 / os.sysconf("SC_CLK_TCK")


def test_a_machine_that_tells_everything(tmp_path: Path) -> None:
    root = lay(tmp_path, XEON)
    machine, state = read_machine(range(16), root), read_state(range(16), root)
    assert machine.absent == state.absent == {}
    assert machine.online == machine.cpuset == tuple(range(16))
    assert machine.quota_cpus == math.inf
    assert machine.numa_nodes == 2
    assert machine.cpus is not None
    assert [cpu.core for cpu in machine.cpus] == [*range(8), *range(8)]
    assert (machine.nominal_hz, machine.clock_source) == (2.5e9, "tsc")
    assert machine.huge_pages == "madvise"
    assert (state.governor, state.turbo, state.frequency_hz) == ("performance", False, 2.6e9)
    assert (state.temperature_degc, state.temperature_limit_degc) == (62, 100)
    assert state.throttling == Throttling(0, 0)
    assert (state.load, state.swapped_bytes) == (1.5, 0)
    assert state.cpu_times is not None
    assert state.cpu_times[3].busy_ns == pytest.approx(100 * TICK_NS)
    assert state.cpu_times[3].total_ns == pytest.approx(1000 * TICK_NS)


def test_what_is_granted_is_what_is_read(tmp_path: Path) -> None:
    root = lay(tmp_path, XEON, proc(16, steal=7), {f"{CPU}/cpu9/cpufreq/scaling_governor": "slow"})
    machine, state = read_machine((1, 9), root), read_state((1, 9), root)
    assert machine.numa_nodes == 1
    assert state.cpu_times is not None
    assert state.cpu_times.keys() == {1, 9}
    assert state.steal_ns == pytest.approx(14 * TICK_NS)
    assert state.governor == "performance slow"


def test_an_aarch64_server(tmp_path: Path) -> None:
    root = lay(tmp_path, ALTRA)
    machine, state = read_machine(range(4), root), read_state(range(4), root)
    assert machine.nominal_hz == pytest.approx(2.8e9)
    assert (state.temperature_degc, state.temperature_limit_degc) == (55, 105)
    assert state.turbo is None
    assert machine.absent == {"cpuset": "not offered here"}
    assert state.absent == {"turbo": "not offered here"}


@pytest.mark.parametrize(
    ("path", "text", "turbo"),
    [
        ("intel_pstate/no_turbo", "0", True),
        ("intel_pstate/no_turbo", "1", False),
        ("cpufreq/boost", "1", True),
        ("cpufreq/boost", "0", False),
        ("cpufreq/boost", "perhaps", None),
    ],
)
def test_turbo(tmp_path: Path, path: str, text: str, turbo: bool | None) -> None:
    state = read_state((0,), lay(tmp_path, {f"{CPU}/{path}": f"{text}\n"}))
    assert state.turbo is turbo
    assert ("turbo" in state.absent) is (turbo is None)


def test_a_container_in_which_nothing_can_be_read(tmp_path: Path) -> None:
    machine, state = read_machine((0, 1), tmp_path), read_state((0, 1), tmp_path)
    assert set(machine.absent.values()) == set(state.absent.values()) == {"not offered here"}
    told = {k: v for k, v in {**vars(machine), **vars(state)}.items() if k != "absent"}
    assert {name for name, value in told.items() if value is not None} == {"granted", "unix_ns"}


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    refused = (f"{CPU}/intel_pstate/no_turbo", f"{CPU}/cpu0/cpufreq/scaling_cur_freq")
    root = lay(tmp_path, {path: text for path, text in XEON.items() if path not in refused})
    for path in refused:
        (root / path).mkdir(parents=True)  # permissions would not stop root
    state = read_state((0,), root)
    assert (state.turbo, state.frequency_hz) == (None, None)
    assert state.absent == {
        "turbo": f"/{refused[0]}: Is a directory",
        "frequency": f"/{refused[1]}: Is a directory",
    }


@pytest.mark.parametrize("garbage", ["", "\n", "?", "-", "1-", "9" * 30 + "x", "a b c", "\0", "é"])
def test_garbage_is_absent_and_never_an_error(tmp_path: Path, garbage: str) -> None:
    root = lay(tmp_path, dict.fromkeys({**XEON, **ALTRA}, garbage))
    machine, state = read_machine((0, 1), root), read_state((0, 1), root)
    assert machine.cpus is None
    assert machine.quota_cpus is None
    assert state.cpu_times is None
    assert state.frequency_hz is None
    assert state.turbo is None
    assert state.throttling is None
    assert "makes no sense" in state.absent["frequency"]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    root = lay(tmp_path, XEON)
    for path in root.rglob("*"):
        if path.is_file():
            path.write_bytes(b"\xff\xfe\x00")
    assert read_machine((0,), root).online is None
    assert read_state((0,), root).load is None


def test_a_cpu_that_is_not_there_has_no_times(tmp_path: Path) -> None:
    root = lay(tmp_path, proc(2))
    assert cpu_times((0, 1), root) is not None
    assert cpu_times((0, 2), root) is None


# Control groups


def test_the_quota_is_the_least_of_all_groups_above(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "nothing") is None
    v2 = {f"{GROUP}/a/b/cpu.max": "max 100000\n", f"{GROUP}/a/cpu.max": "150000 100000\n"}
    assert cpu_quota(lay(tmp_path / "v2", {"proc/self/cgroup": "0::/a/b\n"}, v2)) == 1.5
    free = {"proc/self/cgroup": "0::/a\n", f"{GROUP}/a/cpu.max": "max 100000\n"}
    assert cpu_quota(lay(tmp_path / "free", free)) == math.inf
    v1 = {
        "proc/self/cgroup": "5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n",
        f"{GROUP}/cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n",
        f"{GROUP}/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
        f"{GROUP}/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
    }
    assert cpu_quota(lay(tmp_path / "v1", v1)) == 4.0


def test_version_1_may_name_its_controllers_in_another_order_than_its_folder(
    tmp_path: Path,
) -> None:
    files = {
        "proc/self/cgroup": "3:cpuacct,cpu:/job\n2:cpuset:/job\n",
        f"{GROUP}/cpu/job/cpu.cfs_quota_us": "50000\n",
        f"{GROUP}/cpu/job/cpu.cfs_period_us": "100000\n",
        f"{GROUP}/cpuset/job/cpuset.cpus": "2-3\n",
    }
    assert cpu_quota(lay(tmp_path, files)) == 0.5
    assert cpuset(tmp_path) == (2, 3)


def test_a_container_sees_its_own_group_at_the_top(tmp_path: Path) -> None:
    # Version 1 without a namespace: the path is the host's, what is mounted the group itself.
    files = {
        "proc/self/cgroup": "3:cpu:/docker/0123\n",
        f"{GROUP}/cpu/cpu.cfs_quota_us": "200000\n",
        f"{GROUP}/cpu/cpu.cfs_period_us": "100000\n",
        f"{GROUP}/cpu/cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 5000\n",
    }
    assert cpu_quota(lay(tmp_path, files)) == 2.0
    assert throttling(tmp_path) == Throttling(3, 5000)


def test_throttling_is_that_of_all_groups_above(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        f"{GROUP}/a/b/cpu.stat": "nr_throttled 2\nthrottled_usec 7\n",
        f"{GROUP}/a/cpu.stat": "nr_throttled 1\nthrottled_usec 5\n",
        f"{GROUP}/cpu.stat": "usage_usec 8\n",
    }
    assert throttling(lay(tmp_path, files)) == Throttling(3, 12_000)


def test_groups_outside_of_what_is_mounted_are_left_alone(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/../other\nno group\n", "cpu.max": "1 1\n"}
    assert cpu_quota(lay(tmp_path, files, {f"{GROUP}/x": ""})) is None


# This machine


def test_this_machine_tells_of_itself_or_says_what_is_absent() -> None:
    cpus = granted_cpus()
    machine, state = read_machine(cpus), read_state(cpus)
    words = {**machine.absent, **state.absent}
    assert machine.online
    assert set(cpus) <= set(machine.online)
    assert (state.frequency_hz is None) == ("frequency" in words)
    assert (state.turbo is None) == ("turbo" in words)
    later = read_state(cpus)
    assert state.cpu_times is not None
    assert later.cpu_times is not None
    for cpu in cpus:
        assert later.cpu_times[cpu].total_ns >= state.cpu_times[cpu].total_ns > 0


def test_the_probe_does_its_work_where_it_is_told_to_and_leaves_no_trace() -> None:
    before = os.sched_getaffinity(0)
    probe = run_probe(max(before))
    assert os.sched_getaffinity(0) == before
    assert probe.cpu == max(before)
    assert 0 < probe.least_ns <= probe.median_ns
    assert probe.spread == probe.median_ns / probe.least_ns - 1


def test_a_state_is_recorded_before_each_round_and_after_the_last() -> None:
    rows = []
    watch = Watch("run", 3, "node", granted_cpus(), rows.append)
    watch.after()
    assert rows == []
    for number in (4, 4, 4, 5, 5):
        watch.before(number)
    watch.after()
    assert [row.state_round for row in rows] == [4, 5, 6]
    assert len({row.state_id for row in rows}) == 3
    assert {(row.state_job, row.state_node_id) for row in rows} == {(3, "node")}
    assert all(row.state_probe_ns >= row.state_probe_least_ns > 0 for row in rows)


def test_absent_is_nan_or_empty_in_a_row(tmp_path: Path) -> None:
    watch = Watch("run", 0, "node", (0,), record=lambda _: None)
    bare = watch.row(0, run_probe(granted_cpus()[0]), read_state((0,), tmp_path / "none"))
    numbers = [v for k, v in vars(bare).items() if isinstance(v, float) and "probe" not in k]
    assert len(numbers) == 6
    assert all(math.isnan(number) for number in numbers)
    assert (bare.state_governor, bare.state_turbo) == ("", "")
    root = lay(
        tmp_path, topology(1, 1), proc(1, steal=3), frequency(1), {f"{CPU}/cpufreq/boost": "1"}
    )
    full = watch.row(0, run_probe(granted_cpus()[0]), read_state((0,), root))
    assert (full.state_governor, full.state_turbo) == ("performance", "on")
    assert full.state_steal_ns == pytest.approx(3 * TICK_NS)
    assert full.state_frequency_hz == pytest.approx(2.6e9)
