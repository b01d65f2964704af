"""Several instances and their scenarios: real processes on a real model."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import analysis
from suite.journal import read_journal
from suite.load.arrivals import arrivals_ns, unit_arrivals
from suite.load.queueing import ends_ns
from suite.results.read import read_results
from suite.results.rows import InstanceRow, TrialFlag, TrialRow
from suite.scenarios import parse
from suite.topology import format_cpu_list, granted_cpus
from suite.trial.group import Group, GroupError
from suite.trial.launch import INSTANCE, TrialName
from suite.trial.loads import Load, _serve, run_load_trial
from suite.trial.protocol import TrialRequest
from tests.conftest import Litesweep

NAME = TrialName("run", "cell", "node", 0, 0)
TWO = pytest.mark.skipif(len(granted_cpus()) < 2, reason="two instances need two CPUs")


def placement(instances: int) -> tuple[tuple[int, ...], ...]:
    cpus = granted_cpus()
    return tuple((cpus[number % len(cpus)],) for number in range(instances))


def measured(
    model: Path,
    scenario: str = "single-stream",
    instances: int = 2,
    *,
    batch: int = 1,
    timeout_s: float = 60,
    command: tuple[str, ...] = INSTANCE,
) -> tuple[TrialRow, tuple[InstanceRow, ...]]:
    shared = instances > len(granted_cpus())
    load = Load(parse(scenario), placement(instances), batch, shared)
    request = TrialRequest(str(model), 1, (), 0, sampling_ns=200_000_000)
    return run_load_trial(NAME, request, load, timeout_s, command)


def kept(trial: TrialRow) -> np.ndarray:  # type: ignore[type-arg]
    return trial.latency_ns[trial.warmup_count :]


@TWO
def test_two_instances_on_cpus_of_their_own(tiny_tflite: Path) -> None:
    trial, instances = measured(tiny_tflite, batch=3)
    assert (trial.status, trial.error) == ("ok", "")
    cpus = granted_cpus()
    assert [row.instance_cpus for row in instances] == [str(cpus[0]), str(cpus[1])]
    assert trial.cpus_pinned == format_cpu_list(cpus[:2])
    assert not TrialFlag(trial.validity) & (TrialFlag.AFFINITY_MISMATCH | TrialFlag.FAILED)
    assert trial.window_ns >= 200_000_000
    # The trial is the sum of its parts.
    assert [row.instance_number for row in instances] == [0, 1]
    assert {row.instance_trial_id for row in instances} == {trial.trial_id}
    assert trial.warmup_count == sum(row.instance_warmup for row in instances)
    assert len(kept(trial)) == sum(row.instance_samples for row in instances)
    assert trial.peak_rss_bytes == sum(row.instance_peak_rss_bytes for row in instances)
    assert trial.effective_parallelism == pytest.approx(
        sum(row.instance_parallelism for row in instances)
    )
    medians = np.split(kept(trial), [instances[0].instance_samples])
    assert [row.instance_median_ns for row in instances] == [*map(np.median, medians)]
    # Samples that lie wholly in the window, and at most one more at each edge of each instance.
    invocations = trial.throughput_per_s * trial.window_ns / 1e9 / 3
    counted = len(kept(trial)) * trial.inner_loops
    assert counted <= invocations <= counted + 4 * trial.inner_loops + 1
    assert trial.figure_ns == trial.median_ns


@TWO
def test_all_start_at_one_moment(tiny_tflite: Path) -> None:
    with _group(tiny_tflite, 2) as group:
        group.board.lay_out([0, 0])
        group.put(2)
        start_ns, replies = group.together("serve", inner_loops=1)
    begins = [int(arrays[1][0]) for _, arrays in replies if len(arrays[1])]
    assert all(begin >= start_ns for begin in begins)


def test_outputs_are_those_of_one_process(tiny_tflite: Path) -> None:
    alone, _ = measured(tiny_tflite, instances=1, scenario="offline")
    both, _ = measured(tiny_tflite, instances=2, scenario="offline")
    assert alone.output_digest == both.output_digest != ""


# Faults


def broken(fault: str) -> tuple[str, ...]:
    """Return a process that has a fault before it warms up, if it is the second."""
    code = (
        "import os, signal, time\n"
        "from suite.trial import instance\n"
        "whole = instance.Instance.stream\n"
        "def stream(self, **command):\n"
        f"    if self._number == 1: {fault}\n"
        "    return whole(self, **command)\n"
        "instance.Instance.stream = stream\n"
        "instance.main()"
    )
    return sys.executable, "-c", code


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "crashed", "instance 1: killed by SIGKILL (out"),
        ("raise MemoryError('no room')", "failed", "instance 1: MemoryError: no room"),
        ("os._exit(3)", "failed", "instance 1: ended with exit code 3"),
        ("time.sleep(600)", "timed_out", "no answer within 5 s"),
    ],
)
def test_the_fault_of_one_costs_the_trial(
    tiny_tflite: Path, fault: str, status: str, said: str
) -> None:
    trial, instances = measured(tiny_tflite, timeout_s=5, command=broken(fault))
    assert (trial.status, instances) == (status, ())
    assert trial.error.startswith(said)
    assert trial.validity == TrialFlag.FAILED
    assert trial.process_wall_ns < 20e9


def test_no_process_is_left_behind(tiny_tflite: Path) -> None:
    with pytest.raises(GroupError), _group(tiny_tflite, 2, broken("os._exit(3)")) as group:
        processes = group._processes
        group.together("stream", inner_loops=1, sampling_ns=0)
    assert all(process.returncode is not None for process in processes)


def test_an_error_that_an_instance_reports(tmp_path: Path) -> None:
    trial, _ = measured(tmp_path / "absent.tflite")
    assert trial.status == "failed"
    assert "absent.tflite" in trial.error


# Offline and server


def test_offline_every_invocation_of_the_pool_is_done(tiny_tflite: Path) -> None:
    trial, instances = measured(tiny_tflite, "offline", batch=2)
    assert trial.status == "ok"
    done = sum(row.instance_samples for row in instances)
    assert done == len(kept(trial))
    assert done % 2 == 0
    per_s = done * trial.inner_loops / trial.window_ns * 1e9
    assert trial.throughput_per_s == pytest.approx(2 * per_s)
    assert trial.figure_ns == pytest.approx(1e9 / per_s)


def _group(model: Path, instances: int, command: tuple[str, ...] = INSTANCE) -> Group:
    request = TrialRequest(str(model), 1, (), 0)
    requests = [TrialRequest(**{**vars(request), "cpus": cpus}) for cpus in placement(instances)]
    return Group(requests, 60, command)


@pytest.mark.parametrize("instances", [1, 2])
def test_the_queue_is_that_of_the_recursion(tiny_tflite: Path, instances: int) -> None:
    arrivals = arrivals_ns(unit_arrivals(800, 0), 4000.0)
    with _group(tiny_tflite, instances) as group:
        served = _serve(group, arrivals, 1)
    assert (served.arrival_ns == arrivals).all()
    assert (served.begin_ns >= arrivals).all()
    # Each once, in the order of arrival: an instance takes the next one, and runs one at a time.
    for number in range(instances):
        mine = served.instance == number
        assert (served.begin_ns[mine][1:] >= served.end_ns[mine][:-1]).all()
    # From the times that each was occupied for, the queue follows: the latencies are no others. A
    # free instance that was not awake in time is the one thing that the recursion cannot know.
    expected = ends_ns(arrivals, served.occupied_ns, instances)
    off = np.abs(expected - served.end_ns)
    assert np.median(off) == 0 if instances == 1 else np.median(off) < 50_000


def test_a_server_at_a_rate(tiny_tflite: Path) -> None:
    trial, instances = measured(tiny_tflite, "server@400/s")
    assert trial.status == "ok"
    assert trial.offered_per_s == 400
    assert len(kept(trial)) == sum(row.instance_samples for row in instances) == 800
    assert trial.throughput_per_s == pytest.approx(400, rel=0.2)
    assert not trial.validity & TrialFlag.OVERLOADED
    assert trial.figure_ns == trial.median_ns


def test_a_rate_that_cannot_be_served_is_said(tiny_tflite: Path) -> None:
    trial, _ = measured(tiny_tflite, "server@900000/s", instances=1)
    assert trial.status == "ok"
    assert trial.validity & TrialFlag.OVERLOADED
    assert trial.throughput_per_s < 900_000
    late = kept(trial)
    # The queue has grown until the end.
    assert np.median(late[-100:]) > 2 * np.median(late[: len(late) // 4])


def test_the_highest_rate_within_a_bound(tiny_tflite: Path) -> None:
    trial, _ = measured(tiny_tflite, "server@200ms", instances=1)
    assert trial.status == "ok", trial.error
    assert np.quantile(kept(trial), 0.99) <= 200e6
    assert trial.figure_ns == pytest.approx(1e9 / trial.offered_per_s)


def test_a_bound_below_one_invocation_is_said(tiny_tflite: Path) -> None:
    trial, _ = measured(tiny_tflite, "server@0.000001ms", instances=1)
    assert trial.status == "failed"
    assert "one invocation alone takes" in trial.error


def test_queries_that_outlast_the_time_limit(tiny_tflite: Path) -> None:
    trial, _ = measured(tiny_tflite, "server@0.5/s", instances=1)
    assert trial.status == "failed"
    assert "raise trial_timeout under [measure] to 400 s" in trial.error


# The whole way

SWEEP = """
name = "served"
[axes]
model = ["tiny"]
instances = [1, 2]
scenario = ["single-stream", "offline", "server@200/s"]
[models.tiny]
source = "tiny.tflite"
[measure]
min_trials = 2
max_trials = 2
"""


@TWO
def test_from_the_sweep_to_the_analysis(models: Path, tmp_path: Path, litesweep: Litesweep) -> None:
    shutil.copy(models / "tiny.tflite", tmp_path)
    sweep = tmp_path / "sweep.toml"
    sweep.write_text(SWEEP)
    done = litesweep("run", sweep, "--out", "run")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"

    # Taken up again mid-way: the last trial is lost, its instances are there.
    (journal,) = folder.rglob("*.journal")
    before = read_journal(journal)
    assert len(before.trials) == 12
    assert len(before.instances) == 2 * (2 + 1 + 2 + 1 + 2)
    (folder / "results.h5").unlink()
    for shard in folder.glob("shards/*"):
        shard.unlink()
    last = before.trials[-1]
    data = journal.read_bytes()
    journal.write_bytes(data[: data.rindex(last.trial_id.encode())])
    assert litesweep("run", sweep, "--out", "run").returncode == 0
    results = read_results(folder / "results.h5")
    assert len(results.trials) == 12
    assert len(results.instances) == len(before.instances)
    assert len({row.instance_id for row in results.instances}) == len(before.instances)
    assert {t.trial_id for t in results.trials} == {t.trial_id for t in before.trials}

    opened = analysis.open_results(folder)
    assert (opened["status"] == "ok").all()
    assert (opened["throughput_per_s"] > 0).all()
    figures = opened["figure"].squeeze().sel(instances=1)
    assert figures.sel(scenario="offline") == "throughput"
    assert figures.sel(scenario="server@200/s") == "latency"
    frame = analysis.instances(folder)
    assert len(frame) == len(before.instances)
    assert set(frame["scenario"]) == {"single-stream", "offline", "server@200/s"}
    scaled = analysis.instance_scaling(opened)
    assert (scaled["efficiency"].sel(instances=1, scenario="offline") == 1).all()
    assert json.loads(litesweep("show", folder, "--json").stdout)
    shown = litesweep("show", folder).stdout
    assert "p99" in shown
    assert "without a latency" in shown


def test_more_instances_than_cpus(models: Path, tmp_path: Path, litesweep: Litesweep) -> None:
    shutil.copy(models / "tiny.tflite", tmp_path)
    sweep = tmp_path / "sweep.toml"
    count = len(granted_cpus()) + 1
    text = SWEEP.replace("[1, 2]", f"[{count}]").replace(', "offline", "server@200/s"', "")
    sweep.write_text(text)
    refused = litesweep("run", sweep, "--out", "run")
    assert refused.returncode == 2
    assert f"{count} instances of 1 thread, {count} CPUs in all" in refused.stderr
    assert "oversubscribe = true under [measure]" in refused.stderr
    assert not (tmp_path / "run").exists()
    sweep.write_text(text + "oversubscribe = true\n")
    allowed = litesweep("run", sweep, "--out", "run")
    assert allowed.returncode == 0, allowed.stderr
    results = read_results(tmp_path / "run" / "results.h5")
    assert len(results.instances) == 2 * count
    for trial in results.trials:
        assert not trial.validity & TrialFlag.AFFINITY_MISMATCH
