"""Energy of a trial: made-up machines, and real trials on stand-ins."""

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import open_results, to_json
from analysis.frugality import PACKAGES_AND_MEMORY, Used
from jobs import run
from suite import Axes, Measure, ModelSpec, Sweep
from suite.energy import (
    LEAST_WINDOW_NS,
    MOST_W,
    Counter,
    Counters,
    Power,
    find_counters,
    idle_power,
    risen_j,
)
from suite.results.rows import TrialRow
from suite.results.write import write_results
from suite.scenarios import parse
from suite.topology import granted_cpus, place_instances, read_cpus
from suite.trial.instruments import BARE, Instruments
from suite.trial.launch import TrialName, run_trial
from suite.trial.loads import Load, run_load_trial
from suite.trial.protocol import TrialRequest
from tests.machines import RAPL, RAPL_EPYC, RAPL_XEON, XEON, frequency, lay, rise, zone
from tests.rows import a_node, some_results

RISING = {"0": 0.001, "0:1": 0.001, "1": 0.001, "1:1": 0.001}
SECOND_NS = 10**9


def found(root: Path, *files: Mapping[str, str]) -> Counters:
    """Return the counters of a machine of these files, all of which rise."""
    lay(root, *files)

    def rise_all(_: float) -> None:
        rise(root, {p: j for p, j in RISING.items() if (root / f"{RAPL}:{p}/energy_uj").is_file()})

    return find_counters(root, rise_all)


# Which counters there are


def test_packages_and_their_memory_and_nothing_twice(tmp_path: Path) -> None:
    counters = found(tmp_path, RAPL_XEON)
    zones = [str(Path(path).parent.relative_to(tmp_path)) for path in counters.paths]
    assert zones == [f"{RAPL}:{place}" for place in ("0", "1", "0:1", "1:1")]
    assert (len(counters.package), len(counters.dram), counters.absent) == (2, 2, "")


def test_amd_counts_packages_alone(tmp_path: Path) -> None:
    counters = found(tmp_path, RAPL_EPYC)
    assert (len(counters.package), counters.dram) == (1, ())
    assert counters.absent == "memory: not offered here"


def test_a_machine_without(tmp_path: Path) -> None:
    def never(_: float) -> None:
        raise AssertionError("there is nothing to wait for")

    counters = find_counters(tmp_path, never)
    assert counters == Counters()
    assert counters.absent == "not offered here"
    assert math.isnan(idle_power(counters, never).package_w)
    used = counters.between(counters.read(), counters.read())
    assert math.isnan(used.package_j) and math.isnan(used.dram_j)
    assert used.absent == "not offered here"


def test_what_may_not_be_read_leaves_no_partial_sum(tmp_path: Path) -> None:
    lay(tmp_path, RAPL_XEON)
    # Root reads whatever its mode is, so that something else stands where the file should.
    unreadable = tmp_path / f"{RAPL}:1/energy_uj"
    unreadable.unlink()
    unreadable.mkdir()
    counters = found(tmp_path)
    assert counters.package == ()
    assert counters.absent == f"packages: /{RAPL}:1/energy_uj: Is a directory"
    assert len(counters.dram) == 2


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user without rights for a while, if we are root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_the_files_of_root_alone() -> None:
    with TemporaryDirectory() as folder:  # pytest's own are closed to others
        root = lay(Path(folder), RAPL_XEON)
        root.chmod(0o755)
        for file in root.glob(f"{RAPL}:*/energy_uj"):
            file.chmod(0o400 if os.geteuid() == 0 else 0)
        with nobody():
            counters = find_counters(root)
    assert counters.paths == ()
    assert counters.absent == (
        f"packages: /{RAPL}:0/energy_uj: Permission denied; "
        f"memory: /{RAPL}:0:1/energy_uj: Permission denied"
    )


def test_what_a_container_hides(tmp_path: Path) -> None:
    powercap = tmp_path / "sys/class/powercap"
    powercap.mkdir(parents=True)
    (powercap / "intel-rapl:0").symlink_to("../../devices/virtual/powercap/intel-rapl:0")
    absent = find_counters(tmp_path).absent
    assert absent == "packages: hidden from this container; memory: hidden from this container"


def test_a_counter_that_does_not_count(tmp_path: Path) -> None:
    lay(tmp_path, RAPL_XEON)
    counters = find_counters(tmp_path, lambda _: rise(tmp_path, {"0": 1, "1": 1, "0:1": 1}))
    assert len(counters.package) == 2
    assert counters.dram == ()
    assert counters.absent == f"memory: {tmp_path}/{RAPL}:1:1/energy_uj does not rise"


@pytest.mark.parametrize("text", ["", "many", "-5"])
def test_a_range_that_makes_no_sense(tmp_path: Path, text: str) -> None:
    counters = found(tmp_path, RAPL_EPYC, {f"{RAPL}:0/max_energy_range_uj": text})
    assert counters.package == ()
    assert "max_energy_range_uj makes no sense" in counters.absent


# What they say


@given(st.integers(1, 10**12), st.integers(0, 10**13), st.floats(0, 1, exclude_max=True), st.data())
def test_a_counter_that_goes_around_loses_nothing(
    range_uj: int, begin: int, share: float, data: st.DataObject
) -> None:
    begin_uj = begin % (range_uj + 1)
    risen_uj = round(share * range_uj)
    longest_ns = math.ceil(range_uj / 1e6 / MOST_W * 1e9) - 1
    wall_ns = data.draw(st.integers(1, 10**12))
    told = risen_j(Counter("", range_uj), begin_uj, (begin_uj + risen_uj) % (range_uj + 1), wall_ns)
    if LEAST_WINDOW_NS <= wall_ns < longest_ns:
        assert told == risen_uj / 1e6
    elif wall_ns < LEAST_WINDOW_NS or wall_ns > longest_ns + 1:
        assert "sampled for" in str(told)


def test_packages_are_summed_around_the_end_of_a_range(tmp_path: Path) -> None:
    last = zone("1", "package-1", 262_143_328_850 - 1_000_000)
    counters = found(tmp_path, RAPL_XEON, last)
    begin = counters.read(lambda: 0)
    rise(tmp_path, {"0": 20.0, "1": 30.0, "0:1": 2.0, "1:1": 3.0})
    end = counters.read(lambda: SECOND_NS)
    assert end.values_uj[1] < begin.values_uj[1]  # that of package-1 has begun anew
    used = counters.between(begin, end)
    assert used.package_j == pytest.approx(50)
    assert used.dram_j == pytest.approx(5)


def test_windows_that_tell_nothing(tmp_path: Path) -> None:
    counters = found(tmp_path, RAPL_XEON)
    begin = counters.read(lambda: 0)
    rise(tmp_path, {"0": 1, "1": 1, "0:1": 1, "1:1": 1})

    def used(wall_ns: int) -> tuple[bool, bool, str]:
        energy = counters.between(begin, counters.read(lambda: wall_ns))
        return math.isnan(energy.package_j), math.isnan(energy.dram_j), energy.absent

    short = "sampled for less than 0.1 s"
    assert used(LEAST_WINDOW_NS - 1) == (True, True, f"packages: {short}; memory: {short}")
    assert used(LEAST_WINDOW_NS) == (False, False, "")
    # The range of the memory's is that of the packages over four.
    twice = "sampled for so long that a counter may have gone around twice"
    assert used(100 * SECOND_NS) == (False, True, f"memory: {twice}")
    assert used(300 * SECOND_NS) == (True, True, f"packages: {twice}; memory: {twice}")


def test_a_counter_that_was_taken_away_meanwhile(tmp_path: Path) -> None:
    counters = found(tmp_path, RAPL_XEON)
    begin = counters.read(lambda: 0)
    (tmp_path / f"{RAPL}:0/energy_uj").unlink()
    rise(tmp_path, {"0:1": 1, "1:1": 1})
    end = counters.read(lambda: SECOND_NS)
    assert end.values_uj[0] == -1
    used = counters.between(begin, end)
    assert math.isnan(used.package_j)
    assert used.dram_j == pytest.approx(2)
    assert used.absent == f"packages: {tmp_path}/{RAPL}:0/energy_uj could not be read"


def test_the_power_of_an_idle_node_knows_no_spike(tmp_path: Path) -> None:
    counters = found(tmp_path, RAPL_XEON)
    now_ns, stretches = 0, 0

    def sleep(seconds: float) -> None:
        nonlocal now_ns, stretches
        now_ns += round(seconds * 1e9)
        stretches += 1
        spike = 500 if stretches == 2 else 0
        rise(tmp_path, {"0": 20 * seconds + spike, "1": 10 * seconds, "0:1": seconds, "1:1": 0})

    idle = idle_power(counters, sleep, lambda: now_ns)
    assert idle.package_w == pytest.approx(30)
    assert idle.dram_w == pytest.approx(1)
    assert now_ns == 3 * SECOND_NS


NAME = TrialName("run", "c0", "n0", 0, 0)


def measured(tiny_tflite: Path, instruments: Instruments = BARE, **said: str) -> TrialRow:
    request = TrialRequest(str(tiny_tflite), 1, granted_cpus()[:1], 0, **said)  # type: ignore[arg-type]
    return run_trial(NAME, request, 60, instruments=instruments)


# From counters that count to images per joule

STAND_IN = """
import os, sys, time
ranges_uj = {place: int(open(f"{place}/max_energy_range_uj").read()) for place in sys.argv[2:]}
begins_uj = {place: int(open(f"{place}/energy_uj").read()) for place in ranges_uj}
watts, begin = float(sys.argv[1]), time.perf_counter()
print(flush=True)
while True:
    for place in ranges_uj:
        risen_uj = round(watts * 1e6 * (time.perf_counter() - begin))
        with open(f"{place}/new", "w") as file:
            file.write(str((begins_uj[place] + risen_uj) % (ranges_uj[place] + 1)))
        os.replace(f"{place}/new", f"{place}/energy_uj")
    time.sleep(0.001)
"""
WATTS = 40.0


@contextmanager
def counting(root: Path, *places: str) -> Iterator[None]:
    """Let the counters in `places` rise by `WATTS` each, a thousand times a second."""
    folders = [str(root / f"{RAPL}:{place}") for place in places]
    command = [sys.executable, "-c", STAND_IN, str(WATTS), *folders]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Path]:
    """The root of a machine of two packages whose counters count; one begins anew soon."""
    soon = zone("1", "package-1", 262_143_328_850 - round(1e6 * WATTS))
    lay(tmp_path, RAPL_XEON, soon)
    with counting(tmp_path, "0", "1", "0:1", "1:1"):
        yield tmp_path


def counters_of(root: Path) -> Counters:
    """Find the counters, however long the stand-in has to wait for a CPU before they rise."""
    files = [root / f"{RAPL}:{place}/energy_uj" for place in RISING]

    def until_all_rise(_: float) -> None:
        before = [file.read_text() for file in files]
        while any(file.read_text() == text for file, text in zip(files, before, strict=True)):
            time.sleep(0.01)

    return find_counters(root, until_all_rise)


def test_from_a_real_trial_to_images_per_joule(
    counted: Path, tiny_tflite: Path, tmp_path: Path
) -> None:
    counters = counters_of(counted)
    instruments = Instruments(counters, idle=Power(10.0, 2.0))
    request = TrialRequest(str(tiny_tflite), 1, granted_cpus()[:1], 0, sampling_ns=SECOND_NS)
    trials = tuple(
        run_trial(replace(NAME, round=turn), request, 60, instruments=instruments)
        for turn in range(2)
    )
    for trial in trials:
        seconds = trial.sampling_wall_ns / 1e9
        # Two packages, of which one has begun anew, and the memory of each.
        assert trial.package_energy_j / seconds == pytest.approx(2 * WATTS, rel=0.2)
        assert trial.dram_energy_j / seconds == pytest.approx(2 * WATTS, rel=0.2)
        assert trial.energy_absent == ""

    write_results(tmp_path / "results.h5", some_results(trials=trials, nodes=(a_node(),)))
    cell = open_results(tmp_path / "results.h5").squeeze("cpu_type")
    cell = cell.sel(model="resnet50", quantization="float32", threads=1)
    assert cell["energy_covers"] == PACKAGES_AND_MEMORY
    kept = [trial.latency_ns[trial.warmup_count :] for trial in trials]
    mean_s = np.mean(np.concatenate(kept)) / 1e9
    assert cell["energy_j"].item() == pytest.approx(4 * WATTS * mean_s, rel=0.25)
    assert cell["images_per_joule"].item() == pytest.approx(1 / cell["energy_j"].item(), rel=1e-9)
    idle_j = np.median(
        [12 * t.sampling_wall_ns / 1e9 / len(k) for t, k in zip(trials, kept, strict=True)]
    )
    idle_j /= trials[0].inner_loops
    assert cell["net_energy_j"].item() == pytest.approx(cell["energy_j"].item() - idle_j, rel=0.05)


def test_a_run_measures_the_idle_node_and_then_its_cells(
    counted: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.worker.find_counters", lambda: counters_of(counted))
    sweep = Sweep(
        name="counted",
        axes=Axes(model=("m",)),
        models={"m": ModelSpec(source=str(models / "tiny.tflite"))},
        measure=Measure(min_trials=2, max_trials=2),
    )
    folder = run(sweep, tmp_path / "out")
    results = open_results(folder)
    assert results["energy_absent"].item() == ""
    idle_w = results["idle_package_w"].values.ravel()
    assert idle_w == pytest.approx([2 * WATTS] * 2, rel=0.2)
    assert len({*idle_w.tolist()}) == 1  # measured once a job
    [record] = to_json(results)
    assert record["energy_j"] > 0 and record["images_per_joule"] > 0
    assert record["energy_covers"] == PACKAGES_AND_MEMORY
    # These counters know no idle node: nothing is left beyond it.
    assert abs(record["net_energy_j"]) < 0.3 * record["energy_j"]

    # Who takes the counters away meanwhile does not make another machine of it.
    (folder / "results.h5").unlink()
    shutil.rmtree(folder / "shards")
    monkeypatch.setattr("jobs.worker.find_counters", Counters)
    run(sweep, folder)
    results = open_results(folder)
    assert results.sizes["node"] == 1
    assert results["energy_absent"].item() == ""
    assert to_json(results) == [record]


def test_a_trial_that_is_too_short_for_the_counters_says_so(
    counted: Path, tiny_tflite: Path, tmp_path: Path
) -> None:
    request = TrialRequest(str(tiny_tflite), 1, granted_cpus()[:1], 0, sampling_ns=1)
    instruments = Instruments(counters_of(counted))
    trial = run_trial(replace(NAME, cell_id="c0"), request, 60, instruments=instruments)
    short = "packages: sampled for less than 0.1 s; memory: sampled for less than 0.1 s"
    assert math.isnan(trial.package_energy_j)
    assert trial.energy_absent == short
    write_results(tmp_path / "results.h5", some_results(trials=(trial,)))
    [record] = to_json(open_results(tmp_path / "results.h5"))
    assert record["energy_lack"] == short
    assert "energy_j" not in record


@pytest.mark.parametrize("scenario", ["single-stream", "offline"])
def test_the_energy_of_several_instances_is_that_of_their_window(
    counted: Path, tiny_tflite: Path, tmp_path: Path, scenario: str
) -> None:
    lay(tmp_path, XEON, frequency(512))
    granted = read_cpus(granted_cpus())
    instruments = Instruments(counters_of(counted), Power(10.0, 2.0), granted, tmp_path)
    placement = place_instances(granted, 1, 2)
    shared = len(granted) < 2
    request = TrialRequest(str(tiny_tflite), 1, (), 0, sampling_ns=SECOND_NS)
    trial, instances = run_load_trial(
        NAME, request, Load(parse(scenario), placement, 1, shared), 60, instruments=instruments
    )
    assert (trial.status, len(instances)) == ("ok", 2)
    assert trial.package_energy_j / trial.window_ns * 1e9 == pytest.approx(2 * WATTS, rel=0.2)
    assert trial.idle_package_w == 10
    assert trial.frequency_after_hz == 2.6e9
    alone = measured(tiny_tflite)
    assert trial.steady_rss_bytes > 1.5 * alone.steady_rss_bytes
    samples = len(trial.latency_ns) - trial.warmup_count
    used = Used.by(lambda name: getattr(trial, name), samples, 1)
    assert used.package_j == pytest.approx(2 * WATTS / trial.throughput_per_s, rel=0.2)
    assert used.idle_package_j == pytest.approx(10 / trial.throughput_per_s, rel=1e-6)
