"""`litesweep doctor`: each finding where it holds, and silence on a machine that is set up well."""

import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from jobs.checkup import facts, to_json
from suite.doctor import Examination, diagnose, examine, warnings
from suite.probe import Probe
from suite.topology import format_cpu_list, granted_cpus
from tests.conftest import REPOSITORY, Litesweep
from tests.machines import (
    ALTRA,
    CORETEMP,
    CPU,
    GROUP,
    RAPL,
    RAPL_XEON,
    XEON,
    frequency,
    lay,
    proc,
    rise,
)

STEADY = Probe(cpu=0, least_ns=1_000_000, median_ns=1_010_000)
Files = Mapping[str, str]


def seen(
    root: Path,
    *files: Files,
    granted: range = range(16),
    later: Files | None = None,
    probe: Probe = STEADY,
) -> Examination:
    """Examine a machine of these files, which has those of `later` once we have slept."""
    lay(root, *files)
    return examine(granted, root, sleep=lambda _: lay(root, later or {}), probe=lambda _: probe)


def found(examination: Examination) -> dict[str, str]:
    """Return how severe each finding is, by its name."""
    return {finding.name: finding.severity for finding in diagnose(examination)}


PLAIN = {"smt": "note", "numa": "note"}
"""What is to be known of the two-socket machine even when all is well."""


def test_a_machine_that_is_set_up_well(tmp_path: Path) -> None:
    assert found(seen(tmp_path, XEON)) == PLAIN
    assert warnings(seen(tmp_path, XEON), "host") == []


@pytest.mark.parametrize(
    ("files", "name", "severity"),
    [
        (frequency(16, scaling_governor="powersave"), "governor", "warning"),
        (frequency(16, scaling_cur_freq="2200000"), "frequency", "warning"),
        (frequency(16, scaling_cur_freq="2400000"), "", ""),
        ({f"{CPU}/intel_pstate/no_turbo": "0"}, "turbo", "note"),
        ({**CORETEMP, "sys/class/hwmon/hwmon2/temp1_input": "86000"}, "temperature", "warning"),
        ({**CORETEMP, "sys/class/hwmon/hwmon2/temp1_input": "84000"}, "", ""),
        ({f"{GROUP}/job/cpu.max": "800000 100000"}, "quota", "warning"),
        ({f"{GROUP}/job/cpu.max": "1600000 100000"}, "", ""),
        ({f"{GROUP}/job/cpu.stat": "nr_throttled 4\nthrottled_usec 5"}, "throttled", "note"),
        (proc(16, steal=20), "steal", "warning"),
        (proc(16, steal=5), "", ""),
        ({"proc/meminfo": "SwapTotal: 800 kB\nSwapFree: 700 kB"}, "swap", "note"),
        (
            {"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"},
            "huge_pages",
            "note",
        ),
        (
            {"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet"},
            "clock",
            "warning",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_finding_where_it_holds_and_only_there(
    tmp_path: Path, files: Files, name: str, severity: str
) -> None:
    assert found(seen(tmp_path, XEON, files)) == {**PLAIN, **({name: severity} if name else {})}


def test_half_of_a_machine(tmp_path: Path) -> None:
    half = {f"{GROUP}/job/cpuset.cpus.effective": "0-3,8-11"}
    ours = (*range(4), *range(8, 12))
    lay(tmp_path, XEON, half)
    whole_cores = examine(ours, tmp_path, sleep=lambda _: None, probe=lambda _: STEADY)
    assert found(whole_cores) == {"shared_node": "note", "smt": "note"}


def test_a_neighbour_on_the_other_half_of_a_core(tmp_path: Path) -> None:
    others = {f"{GROUP}/job/cpuset.cpus.effective": "0-7"}
    examination = seen(tmp_path, XEON, others, granted=range(8))
    assert found(examination) == {
        "sibling_not_ours": "warning",
        "shared_node": "note",
        "numa": "note",
    }
    [line] = warnings(examination, "n1")
    assert line.startswith("sibling_not_ours: on n1 CPUs 8-15 are SMT siblings")


def test_an_affinity_that_is_narrower_than_the_cgroup(tmp_path: Path) -> None:
    assert found(seen(tmp_path, XEON, granted=range(4)))["affinity"] == "note"


@pytest.mark.parametrize("taken", ["busy", "steal"])
def test_others_that_run_while_we_sleep(tmp_path: Path, taken: str) -> None:
    ticks = {"busy": 1000, "steal": 0, "idle": 90_000}
    quiet = proc(16, **ticks | {"busy": 1002, "idle": 90_008})
    loud = proc(16, **{**ticks, "idle": 90_002, taken: ticks[taken] + 8})
    both = [kind["proc/stat"].splitlines() for kind in (quiet, loud)]
    only_cpu_5 = "\n".join(b if b.startswith("cpu5 ") else a for a, b in zip(*both, strict=True))

    assert found(seen(tmp_path, XEON, proc(16, **ticks), later=quiet)) == PLAIN
    hit = seen(tmp_path, XEON, proc(16, **ticks), later={"proc/stat": only_cpu_5})
    assert found(hit) == {"busy": "warning", **PLAIN}
    assert "others used CPUs 5 for up to 80%" in warnings(hit, "host")[0]


def test_energy_that_can_be_counted_and_that_could_be(tmp_path: Path) -> None:
    def sleep(_: float) -> None:
        rise(tmp_path, {"0": 1, "1": 1, "0:1": 1, "1:1": 1})

    lay(tmp_path, XEON, RAPL_XEON)
    counted = examine(range(16), tmp_path, sleep=sleep, probe=lambda _: STEADY)
    assert found(counted) == PLAIN
    assert facts(counted)["energy counted"] == "packages (2), memory (2)"
    assert "energy" not in to_json(counted)["absent"]
    assert len(to_json(counted)["energy"]["package"]) == 2

    for place in ("0", "0:1"):  # root may read whatever the mode is
        unreadable = tmp_path / f"{RAPL}:{place}/energy_uj"
        unreadable.unlink()
        unreadable.mkdir()
    sealed = examine(range(16), tmp_path, sleep=lambda _: None, probe=lambda _: STEADY)
    assert found(sealed) == {"energy": "note", **PLAIN}
    assert "energy_uj: Is a directory" in to_json(sealed)["absent"]["energy"]
    (advice,) = (finding.advice for finding in diagnose(sealed) if finding.name == "energy")
    assert "chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in advice


def test_a_probe_that_is_disturbed(tmp_path: Path) -> None:
    shaken = Probe(cpu=0, least_ns=1_000_000, median_ns=1_200_000)
    assert found(seen(tmp_path, XEON, probe=shaken)) == {"probe": "warning", **PLAIN}


def test_what_is_absent_is_not_found_fault_with(tmp_path: Path) -> None:
    nothing = seen(tmp_path)
    assert diagnose(nothing) == ()
    assert facts(nothing).keys() == {"CPUs granted", "probe"}
    arm = seen(tmp_path, ALTRA, granted=range(4))
    assert found(arm) == {"governor": "warning"}


def test_every_finding_says_what_and_what_to_do(tmp_path: Path) -> None:
    wrong = (
        XEON,
        frequency(16, scaling_governor="powersave", scaling_cur_freq="1000000"),
        proc(16, steal=500),
        {f"{CPU}/intel_pstate/no_turbo": "0", f"{GROUP}/job/cpu.max": "50000 100000"},
    )
    findings = diagnose(seen(tmp_path, *wrong))
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities, reverse=True)  # warnings come first
    documented = (REPOSITORY / "docs" / "doctor.md").read_text()
    for finding in findings:
        assert finding.what
        assert finding.advice.endswith(".")
        assert f"`{finding.name}`" in documented


def test_json_has_all_of_it(tmp_path: Path) -> None:
    said = json.loads(json.dumps(to_json(seen(tmp_path, ALTRA, granted=range(4)))))
    assert said["machine"]["quota_cpus"] == "unlimited"
    assert said["state"]["governor"] == "schedutil"
    assert said["state"]["turbo"] is None
    assert said["absent"] == dict.fromkeys(("cpuset", "turbo", "energy"), "not offered here")
    assert [finding["name"] for finding in said["findings"]] == ["governor"]
    assert said["probe"]["cpu"] == 0


# The command


def test_the_command_tells_people_and_programs(litesweep: Litesweep) -> None:
    done = litesweep("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert platform.node() in done.stdout
    assert format_cpu_list(granted_cpus()) in done.stdout
    told = litesweep("doctor", "--json")
    assert told.returncode == 0
    said = json.loads(told.stdout)
    assert said["machine"]["granted"]
    for name in said["absent"]:
        assert name in done.stdout


def test_the_command_sees_a_narrower_affinity() -> None:
    cpu = max(granted_cpus())
    code = (
        f"import os, sys; os.sched_setaffinity(0, {{{cpu}}}); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-m", "jobs", "doctor", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    assert said["machine"]["granted"] == [cpu]
    assert said["probe"]["cpu"] == cpu
    found = {finding["name"] for finding in said["findings"]}
    assert ("shared_node" in found) == (len(granted_cpus()) > 1)
