"""A run that is moved to another folder, another store, another machine, another cluster."""

import json
import os
import platform
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from jobs.cluster.sent import record_answer, record_intent
from jobs.cluster.submissions import collect_run, resume, submit
from jobs.plan import Plan
from jobs.run_folder import RunFolder
from jobs.runs import run
from suite import Sweep, UserError
from suite.artifacts.needs import read_needs
from suite.artifacts.store import ArtifactStore
from suite.journal import read_journal
from suite.results.read import read_results
from tests.test_slurm import command

SWEEP = """
name = "s"
[axes]
model = ["m"]
quantization = ["float32"]
[models.m]
source = "m.tflite"
[measure]
min_trials = 4
max_trials = 4
"""
SITE = """
[cpu_types.local]
cpus = 1
[container]
runtime = "none"
[mpi]
type = "none"
"""
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, tiny_tflite: Path) -> Path:
    """A folder with a sweep, its store and its run."""
    home = tmp_path_factory.mktemp("measured")
    shutil.copy(tiny_tflite, home / "m.tflite")
    (home / "s.toml").write_text(SWEEP)
    run(Sweep.load(home / "s.toml"), home / "run", store=home / "store", console=QUIET)
    return home


@pytest.fixture
def there(measured: Path, tmp_path: Path) -> Path:
    """All of it in another place, half of its trials lost, and what was written after them."""
    there = tmp_path / "there"
    shutil.copytree(measured, there)
    folder = RunFolder(there / "run")
    folder.shard(0).unlink()
    folder.results_file.unlink()
    journal = folder.journal(0, platform.node())
    content = journal.read_bytes()
    magic = content[:8]
    ends = [i for i in range(1, len(content)) if content.startswith(magic, i)]
    assert len(read_journal(journal).trials) == 4
    journal.write_bytes(content[: ends[len(ends) // 2]])
    assert 0 < len(read_journal(journal).trials) < 4
    # Nothing may be found in the place that it has come from.
    plan = folder.plan_file.read_text()
    assert str(measured) in plan
    folder.plan_file.write_text(plan.replace(str(measured), "/gone"))
    return there


def test_a_moved_run_goes_on_where_it_was(there: Path) -> None:
    folder = RunFolder(there / "run")
    [journal] = folder.path.glob("journals/*/*.journal")
    before = {trial.trial_id for trial in read_journal(journal).trials}
    run(Sweep.load(there / "s.toml"), folder.path, store=there / "store", console=QUIET)
    trials = read_results(folder.results_file).trials
    assert len(trials) == 4
    assert before < {trial.trial_id for trial in trials}
    # The store knows where it is now, and no other run.
    [need] = read_needs(ArtifactStore(there / "store"))
    assert need.folder == folder.path


def test_on_another_machine_nothing_is_lost(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(there / "run")
    [journal] = folder.path.glob("journals/*/*.journal")
    before = {trial.trial_id for trial in read_journal(journal).trials}
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    run(Sweep.load(there / "s.toml"), folder.path, store=there / "store", console=QUIET)
    results = read_results(folder.results_file)
    assert {node.host for node in results.nodes} == {journal.stem, "elsewhere"}
    assert before < {trial.trial_id for trial in results.trials}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster that takes all and runs nothing; what it was sent is in `sent.sh`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name in ("srun", "squeue", "sacct", "sinfo"):
        command(folder, name, "exit 0")
    command(folder, "scontrol", "echo MaxArraySize = 100")
    command(folder, "sbatch", f'cp "$1" {tmp_path}/sent.sh; echo Submitted batch job 12')
    return tmp_path / "sent.sh"


def test_a_moved_run_is_resumed_on_a_cluster(there: Path, slurm: Path) -> None:
    folder = RunFolder(there / "run")
    site = there / "site.toml"
    site.write_text(SITE)
    folder.site_file.write_text(json.dumps({"folder": "/gone", "site": {"cpu_types": {}}}))
    run_id = folder.identity()["run_id"]
    record_intent(folder, f"litesweep-{run_id}-0", [0])
    record_answer(folder, f"litesweep-{run_id}-0", ["11"])

    with pytest.raises(UserError, match="--store"):
        resume(folder.path, site, there / "absent", QUIET)
    seen = resume(folder.path, site, there / "store", QUIET)
    assert [job.job_id for job in seen.jobs] == ["12"]
    plan = Plan.read(folder.plan_file)
    assert all(artifact.path.exists() for artifact in plan.artifacts.values())
    assert str(folder.path) in slurm.read_text()
    assert "/gone" not in slurm.read_text() + folder.plan_file.read_text()
    assert len(read_results(collect_run(folder.path)).trials) < 4, "nothing has run"

    odd = there / "a%b"
    folder.path.rename(odd)
    with pytest.raises(UserError, match="'%' in its name"):
        resume(odd, site, there / "store", QUIET)


def test_submitting_it_again_builds_what_is_gone(there: Path, slurm: Path) -> None:
    folder = RunFolder(there / "run")
    (there / "site.toml").write_text(SITE)
    folder.site_file.write_text("{}")
    run_id = folder.identity()["run_id"]
    record_intent(folder, f"litesweep-{run_id}-0", [0])
    record_answer(folder, f"litesweep-{run_id}-0", ["11"])
    new = there / "new-store"
    submit(Sweep.load(there / "s.toml"), None, folder.path, store=new, console=QUIET)
    plan = Plan.read(folder.plan_file)
    assert {artifact.path.parents[2] for artifact in plan.artifacts.values()} == {new}
    assert slurm.exists()


def test_an_image_that_has_moved_is_known_by_its_content(there: Path, slurm: Path) -> None:
    folder = RunFolder(there / "run")
    image = there / "moved.sif"
    image.write_bytes(b"an image")
    plan = Plan.read(folder.plan_file)
    sha256 = "78c0ce0f0d4ff9ec17a7e5ba3d0d8a3e6ac2d9a9c8a9a5be5b1a42d57c8cc3b6"
    slice_ = replace(plan.slices[0], image="/gone/old.sif", image_sha256=sha256)
    replace(plan, slices={0: slice_}).write(folder.plan_file)
    site = there / "site.toml"
    site.write_text(SITE.replace('runtime = "none"', 'image = "moved.sif"'))
    folder.site_file.write_text("{}")
    with pytest.raises(UserError, match="not the one that the run was planned with"):
        resume(folder.path, site, there / "store", QUIET)

    from jobs.cluster.images import image_sha256

    slice_ = replace(slice_, image_sha256=image_sha256(image))
    replace(plan, slices={0: slice_}).write(folder.plan_file)
    resume(folder.path, site, there / "store", QUIET)
    assert str(image) in slurm.read_text()
