"""The main job from end to end, as a user runs it: the real command line, models and processes."""

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import analysis
from jobs import run, worker
from jobs.plan import Plan
from suite import Axes, Measure, ModelSpec, Sweep, UserError
from suite.journal import Journal, read_journal
from suite.results.read import read_results
from tests.conftest import REPOSITORY, Litesweep

TINY = """
name = "tiny"
[axes]
model = ["tiny"]
quantization = ["float32", "dynamic"]
threads = [1]
[models.tiny]
source = "tiny.keras"
[measure]
min_trials = 3
max_trials = 3
precision = 0.5
"""
READY = """
name = "ready"
[axes]
model = ["ready"]
[models.ready]
source = "tiny.tflite"
[measure]
min_trials = 2
max_trials = 2
"""


def write(folder: Path, text: str, models: Path) -> Path:
    """Lay a sweep and the models that it may use into `folder`."""
    for name in ("tiny.keras", "tiny.tflite"):
        shutil.copy(models / name, folder)
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.tensorflow
@pytest.mark.parametrize("executor", ["debug", "local"])
def test_a_sweep_from_end_to_end(
    litesweep: Litesweep, tmp_path: Path, models: Path, executor: str
) -> None:
    sweep = write(tmp_path, TINY, models)
    done = litesweep("run", sweep, "--executor", executor, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "float32" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr

    folder = tmp_path / "out"
    assert (folder / "sweep.toml").read_text() == TINY
    assert {"plan.json", "journals", "shards", "logs", "results.h5"} <= {
        path.name for path in folder.iterdir()
    }
    results = read_results(folder / "results.h5")
    assert [trial.status for trial in results.trials] == ["ok"] * 6
    assert results.provenance["sweep"] == TINY
    assert json.loads(results.provenance["packages"])["ai-edge-litert"]
    # The state of the node before each round, and after the last.
    assert [state.state_round for state in results.states] == [0, 1, 2, 3]
    begun = [min(t.start_unix_ns for t in results.trials if t.round == n) for n in range(3)]
    assert all(s.state_unix_ns < b for s, b in zip(results.states, begun, strict=False))
    # Every trial in a process of its own, all cells of a round before any of the next.
    rounds = [t.round for t in sorted(results.trials, key=lambda trial: trial.start_unix_ns)]
    assert rounds == [0, 0, 1, 1, 2, 2]

    shown = json.loads(litesweep("show", folder, "--json").stdout)
    assert [cell["quantization"] for cell in shown] == ["float32", "dynamic"]
    for cell in shown:
        assert cell["status"] == "ok"
        assert cell["trials"] == 3
        assert cell["ci_low_ns"] <= cell["median_ns"] <= cell["ci_high_ns"]
        assert cell["artifact_bytes"] > 1000
        assert cell["error"] is None
    planned = json.loads(litesweep("plan", sweep, "--json").stdout)
    assert [c["cell_id"] for c in planned["cells"]] == [c["cell_id"] for c in shown]

    before = digest(folder / "results.h5")
    again = litesweep("run", sweep, "--out", "out")
    assert again.returncode == 0
    assert again.stdout == done.stdout
    assert digest(folder / "results.h5") == before


def test_the_default_folder_is_named_by_name_and_hash(
    litesweep: Litesweep, tmp_path: Path, models: Path
) -> None:
    sweep = write(tmp_path, READY, models)
    assert litesweep("run", sweep).returncode == 0
    [folder] = (tmp_path / "runs").iterdir()
    assert folder.name == f"ready-{Sweep.load(sweep).sweep_hash}"
    # A ready .tflite is measured as it is, its quantization read from the file.
    [cell] = json.loads(litesweep("show", folder, "--json").stdout)
    assert cell["quantization"] == "float32"
    assert "few_trials" in cell["verdict"]
    # A terminal that knows ASCII alone is no reason to fail.
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = litesweep("show", folder, env=ascii_only)
    assert shown.returncode == 0, shown.stderr
    assert "x over" in shown.stdout


def test_a_run_goes_on_with_another_store(
    litesweep: Litesweep, tmp_path: Path, models: Path
) -> None:
    sweep = write(tmp_path, READY, models)
    assert litesweep("run", sweep, "--out", "out", "--store", "a").returncode == 0
    before = digest(tmp_path / "out" / "results.h5")
    # As if it had been interrupted before its first trial.
    for name in ("journals", "shards"):
        shutil.rmtree(tmp_path / "out" / name)
    (tmp_path / "out" / "results.h5").unlink()
    shutil.rmtree(tmp_path / "a")
    done = litesweep("run", sweep, "--out", "out", "--store", "b")
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "out" / "results.h5") != before  # measured anew


def test_it_says_which_release_it_is(litesweep: Litesweep) -> None:
    assert litesweep("--version").stdout == f"litesweep {version('litesweep')}\n"


def test_the_results_follow_from_the_journal_alone(
    litesweep: Litesweep, tmp_path: Path, models: Path
) -> None:
    sweep = write(tmp_path, READY, models)
    assert litesweep("run", sweep, "--out", "out").returncode == 0
    before = digest(tmp_path / "out" / "results.h5")
    shutil.rmtree(tmp_path / "out" / "shards")
    (tmp_path / "out" / "results.h5").unlink()
    assert litesweep("run", sweep, "--out", "out").returncode == 0
    assert digest(tmp_path / "out" / "results.h5") == before


@pytest.mark.parametrize("executor", ["debug", "local"])
def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path: Path, models: Path, executor: str) -> None:
    many = READY.replace("_trials = 2", "_trials = 24")
    sweep = write(tmp_path, many, models)
    command = [sys.executable, "-m", "jobs", "run", str(sweep), "--out", str(tmp_path / "out")]
    command += ["--executor", executor]
    # In a session of its own, as in a terminal: Ctrl-C reaches every process of the group.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    journal = tmp_path / "out" / "journals" / "job-00000" / f"{platform.node()}.journal"
    while process.poll() is None and not (
        journal.exists() and len(read_journal(journal).trials) >= 2
    ):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "goes on" in stderr
    left = read_journal(journal)
    assert 1 <= len(left.trials) < 24  # one was being flushed, perhaps
    assert left.torn_bytes == 0

    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    results = read_results(tmp_path / "out" / "results.h5")
    trials = results.trials
    assert sorted(trial.round for trial in trials) == list(range(24))
    # A round that both runs had a part in may have been looked at before either.
    assert {state.state_round for state in results.states} == set(range(25))
    assert {trial.trial_id for trial in left.trials} < {trial.trial_id for trial in trials}


@pytest.mark.parametrize("executor", ["debug", "local"])
def test_a_killed_run_measures_no_further_and_goes_on(
    tmp_path: Path, models: Path, executor: str
) -> None:
    sweep = write(tmp_path, READY.replace("_trials = 2", "_trials = 24"), models)
    command = [sys.executable, "-m", "jobs", "run", str(sweep), "--out", str(tmp_path / "out")]
    command += ["--executor", executor]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    journal = tmp_path / "out" / "journals" / "job-00000" / f"{platform.node()}.journal"
    while not (journal.exists() and read_journal(journal).trials):
        time.sleep(0.05)
    process.kill()
    process.wait()
    # A job in a process of its own lets go of the journal when its trial has ended.
    while True:
        with contextlib.suppress(UserError), Journal(journal, read_journal(journal).run_id):
            break
        time.sleep(0.05)
    assert len(read_journal(journal).trials) < 24
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert len(read_results(tmp_path / "out" / "results.h5").trials) == 24


def test_a_recipe_that_cannot_be_had_costs_its_cells_alone(
    litesweep: Litesweep, tmp_path: Path, models: Path
) -> None:
    text = READY.replace("[axes]", '[axes]\nquantization = ["float32", "uint8"]')
    done = litesweep("run", write(tmp_path, text, models), "--out", "out")
    assert done.returncode == 0
    good, bad = json.loads(litesweep("show", "out", "--json").stdout)
    assert (good["status"], bad["status"]) == ("ok", "failed")
    assert bad["median_ns"] is None
    assert bad["verdict"]
    assert "uint8" in bad["error"]
    assert bad["error"] in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [(signal.SIGSEGV, "crashed", "SIGSEGV"), (signal.SIGSTOP, "timed_out", "no answer within 5 s")],
)
def test_a_crash_or_a_hang_costs_its_trial_alone(
    tmp_path: Path, models: Path, sent: signal.Signals, status: str, words: str
) -> None:
    text = READY.replace("_trials = 2", "_trials = 4") + 'trial_timeout = "5 s"\n'
    sweep = write(tmp_path, text, models)
    command = [sys.executable, "-m", "jobs", "run", str(sweep), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "out" / "journals" / "job-00000" / f"{platform.node()}.journal"
    while not (journal.exists() and read_journal(journal).trials):
        time.sleep(0.02)
    os.kill(_trial_of(process.pid), sent)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr

    trials = read_results(tmp_path / "out" / "results.h5").trials
    [hurt] = [trial for trial in trials if trial.status != "ok"]
    assert hurt.status == status
    assert words in hurt.error
    assert hurt.exit_signal == (sent if status == "crashed" else signal.SIGKILL)
    assert len(trials) == 4
    assert words in " ".join(stdout.split())


@pytest.mark.parametrize("instances", [1, 2])
def test_a_trial_that_wants_more_memory_than_it_may_take_says_so(
    litesweep: Litesweep, tmp_path: Path, models: Path, instances: int
) -> None:
    """Python, numpy and LiteRT together take more than 20 MB."""
    text = READY.replace("[measure]", '[measure]\ntrial_memory = "20 MB"\noversubscribe = true')
    text = text.replace("[axes]", f"[axes]\ninstances = [{instances}]")
    write(tmp_path, text, models)
    done = litesweep("run", "sweep.toml", "--out", "out")
    assert done.returncode == 1, done.stderr
    [trial, *_] = read_results(tmp_path / "out" / "results.h5").trials
    assert trial.status in ("failed", "crashed")
    assert trial.error.endswith(" (trial_memory grants it 20 MB)")


def _trial_of(pid: int) -> int:
    """Return the trial's process under the run `pid`, once it has begun to measure."""
    while True:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                maps = Path(f"/proc/{child}/maps")
                if maps.exists() and "litert" in maps.read_text():
                    return int(child)
        time.sleep(0.01)


def test_an_artifact_that_was_swapped_is_not_measured(
    litesweep: Litesweep, tmp_path: Path, models: Path
) -> None:
    sweep = write(tmp_path, READY.replace("_trials = 2", "_trials = 3"), models)
    options = ("--out", "out", "--store", "store")
    assert litesweep("run", sweep, *options).returncode == 0
    [artifact] = (tmp_path / "store").rglob("model.tflite")
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"\1")
    shutil.rmtree(tmp_path / "out" / "journals")
    shutil.rmtree(tmp_path / "out" / "shards")
    done = litesweep("run", sweep, *options)
    assert done.returncode == 2
    assert "is not the one that was built" in done.stderr


def test_a_model_that_changed_is_not_mixed_in(
    litesweep: Litesweep, tmp_path: Path, models: Path
) -> None:
    sweep = write(tmp_path, READY, models)
    assert litesweep("run", sweep, "--out", "out").returncode == 0
    (tmp_path / "tiny.tflite").write_bytes((models / "tiny.tflite").read_bytes() + bytes(16))
    done = litesweep("run", sweep, "--out", "out")
    assert done.returncode == 2
    assert "not the one that this run began with" in done.stderr


def test_an_artifact_that_is_gone_is_built_again(
    litesweep: Litesweep, tmp_path: Path, models: Path
) -> None:
    sweep = write(tmp_path, READY, models)
    assert litesweep("run", sweep, "--out", "out", "--store", "store").returncode == 0
    shutil.rmtree(tmp_path / "store")
    assert litesweep("run", sweep, "--out", "out", "--store", "store").returncode == 0


def test_two_runs_in_one_folder_do_not_mix(tmp_path: Path, models: Path) -> None:
    sweep = write(tmp_path, READY.replace("_trials = 2", "_trials = 9"), models)
    command = [sys.executable, "-m", "jobs", "run", str(sweep), "--out", str(tmp_path / "out")]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not (tmp_path / "out" / "plan.json").exists():
        time.sleep(0.05)
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert "being run by another process" in second.stderr
    assert first.wait() == 0


def test_the_documented_example(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    [code] = [block for block in _python_blocks(readme) if "from jobs import run" in block]
    shutil.copy(models / "tiny.keras", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"float32 +\d+\.\d+\ndynamic +\d+\.\d+\nName: median_ns", done.stdout)


def _python_blocks(markdown: str) -> list[str]:
    return [part.split("```")[0] for part in markdown.split("```python\n")[1:]]


def test_from_objects_to_samples(models: Path, tmp_path: Path) -> None:
    sweep = Sweep(
        name="objects",
        axes=Axes(model=("m",)),
        models={"m": ModelSpec(source=str(models / "tiny.tflite"))},
        measure=Measure(min_trials=2, max_trials=2),
    )
    folder = run(sweep, tmp_path / "out")
    results = analysis.open_results(folder)
    assert results.sizes["trial"] == 2
    raw = analysis.samples(folder, model="m")
    medians = [np.median(raw.values[raw["round"].values == number]) for number in (0, 1)]
    np.testing.assert_allclose(
        results["trial_median_ns"].sel(model="m").values.ravel(), medians, rtol=0
    )


def test_an_executor_that_is_none_is_refused(models: Path, tmp_path: Path) -> None:
    sweep = Sweep(
        name="objects",
        axes=Axes(model=("m",)),
        models={"m": ModelSpec(source=str(models / "tiny.tflite"))},
    )
    with pytest.raises(UserError, match=r"no executor 'slurm'\.\nKnown: debug, local"):
        run(sweep, tmp_path / "out", "slurm")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_node_that_grants_fewer_cpus_than_were_asked_for(
    litesweep: Litesweep, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = write(tmp_path, READY, models)
    assert litesweep("run", sweep, "--out", "out").returncode == 0
    path = tmp_path / "out" / "plan.json"
    plan = Plan.read(path)
    slice_ = replace(plan.slices[0], cpus=4096, cpu_type="wide")
    replace(plan, slices={0: slice_}).write(path)
    said = worker.measure_slice(str(tmp_path / "out"), 0).mistake
    assert "by its affinity; the site file says cpus = 4096 for 'wide'" in said
    replace(plan, slices={0: replace(slice_, cpus=1)}).write(path)
    monkeypatch.setattr(worker, "cpu_quota", lambda: 0.5)
    assert (
        "grants 0.5 CPUs by its cgroup quota" in worker.measure_slice(str(path.parent), 0).mistake
    )


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, index: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(worker.Plan, "read_slice", refuse)
    said = worker.measure_slice(str(tmp_path), 0).mistake
    assert said == f"{tmp_path}/plan.json cannot be read or written: Permission denied."
