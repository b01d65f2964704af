"""Sweeps on a real cluster that go well, or are refused before they do harm."""

import json
import pwd
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import analysis
from jobs.cluster.images import image_sha256
from jobs.plan import Plan
from jobs.run_folder import take_up
from suite.results.read import read_results
from tests.cluster.case import Case
from tests.cluster.conftest import Cluster
from tests.cluster.waiting import wait
from tests.conftest import REPOSITORY

USER = "litesweep-test"


def test_two_cpu_types_of_two_nodes_each(case: Case) -> None:
    case.sweep(("type_a", "type_b"))
    done = case.submit("--wait")
    assert "type_a" in done.stdout
    assert case.status()["states"] == {"done": 2}

    results = read_results(case.run / "results.h5")
    hosts = {node.node_id: node.host for node in results.nodes}
    cells = {cell.cell_id: cell.axes["cpu_type"] for cell in results.cells}
    seen = Counter((cells[t.cell_id], hosts[t.node_id]) for t in results.trials)
    assert seen == {
        **dict.fromkeys([("type_a", "c1"), ("type_a", "c2")], 6),
        **dict.fromkeys([("type_b", "c3"), ("type_b", "c4")], 6),
    }
    assert all(trial.status == "ok" for trial in results.trials)
    digest = image_sha256(case.image)
    assert json.loads(results.provenance["images"]) == {str(case.image): digest}
    jobs = results.provenance["job_slurm"].splitlines()
    assert len(jobs) == 2
    assert all(digest in job for job in jobs)
    assert "ai-edge-litert" in results.provenance["job_packages"]

    opened = analysis.open_results(case.run)
    assert opened.sizes["cpu_type"] == 2
    assert opened.sizes["node"] == 4
    # All of it can be done again, and changes nothing.
    before = (case.run / "results.h5").read_bytes()
    case.do("collect", case.run)
    case.do("resume", case.run)
    case.submit()
    assert case.status()["states"] == {"done": 2}
    (case.run / "results.h5").unlink()
    case.do("collect", case.run)
    assert (case.run / "results.h5").read_bytes() == before
    # An artifact that is gone from the store is built anew, and not before it is needed.
    shutil.rmtree(case.run / "journals" / "job-00000")
    (case.run / "shards" / "job-00000.h5").unlink()
    for artifact in Plan.read(case.run / "plan.json").artifacts.values():
        shutil.rmtree(artifact.path.parent)
    assert "is gone" in case.do("resume", case.run, code=2).stderr
    case.submit("--wait")
    assert case.status()["states"] == {"done": 2}


@pytest.fixture
def theirs(case: Case, cluster: Cluster) -> Iterator[Case]:
    """The same sweep, of a user without privileges."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        cluster.run("useradd", "--create-home", USER)
    cluster.control("add-user", USER)
    folder = Path(pwd.getpwnam(USER).pw_dir) / "sweep"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    image = shutil.copy(case.image, folder / "tflite.sif")
    tflite = case.folder / "tiny.tflite"
    yield Case(folder, image, tflite, USER, python_for_all())
    shutil.rmtree(folder)


def give_to_user(case: Case) -> None:
    subprocess.run(["chown", "-R", USER, case.folder], check=True)


def test_an_ordinary_user(theirs: Case) -> None:
    give_to_user(theirs)
    theirs.submit("--wait")
    theirs.complete()
    assert (theirs.run / "results.h5").owner() == USER


def test_what_is_over_a_limit(theirs: Case, cluster: Cluster) -> None:
    limit = ("sacctmgr", "-i", "modify", "account", "lab", "set")
    cluster.run(*limit, "MaxSubmitJobs=1")
    try:
        theirs.sweep(("type_a", "type_b"))
        give_to_user(theirs)
        done = theirs.submit(code=2)
        assert "AssocMaxSubmitJobLimit" in done.stderr
        assert "Set submitted under [slurm]" in done.stderr
        assert "submitted 1 job" in done.stderr  # and that one goes on
        wait(lambda: theirs.status()["states"] == {"done": 1, "waiting": 1}, 60)
        wait(lambda: not cluster.squeue(), 20)
        theirs.do("resume", theirs.run, "--wait")
        assert theirs.status()["states"] == {"done": 2}
    finally:
        cluster.run(*limit, "MaxSubmitJobs=-1")


@cache
def python_for_all() -> str:
    """Return an interpreter that any user can read, with litesweep."""
    check = ["runuser", "-u", USER, "--", sys.executable, "-c", "import jobs.cluster.submissions"]
    if subprocess.run(check, capture_output=True, check=False, cwd="/").returncode == 0:
        return sys.executable
    # The checkout is in a folder of root's: a copy elsewhere, without TensorFlow.
    folder = Path("/opt/litesweep-test")
    shutil.rmtree(folder, ignore_errors=True)
    base = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    subprocess.run([base, "-m", "venv", folder], check=True)
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet"]
    pip += ["--constraint", REPOSITORY / "constraints.txt", f"{REPOSITORY}[measure]"]
    subprocess.run(pip, check=True)
    return str(folder / "bin/python")


@pytest.mark.tensorflow
def test_artifacts_are_built_by_a_job(case: Case, tensorflow_image: Path, models: Path) -> None:
    """Where this machine has no TensorFlow: only the image has, and the job tells what it built."""
    case.site(("[mpi]", f'[build]\nimage = "{tensorflow_image}"\ncpu_type = "type_b"\n\n[mpi]'))
    shutil.copy(models / "tiny.keras", case.folder)
    sweep = case.folder / "sweep.toml"
    text = sweep.read_text().replace("tiny.tflite", "tiny.keras")
    sweep.write_text(text.replace("threads = [1, 2]", 'quantization = ["dynamic", "uint8"]'))
    case.submit("--wait", "--store", case.folder / "store")
    shown = json.loads(case.do("show", case.run, "--json").stdout)
    assert [cell["status"] for cell in shown] == ["ok", "failed"]
    assert "uint8 can only come with a ready .tflite" in shown[1]["error"]
    assert [cell["trials"] for cell in shown] == [6, 0]
    assert not list((case.run / "logs" / "build").glob("*uint8*"))
    results = read_results(case.run / "results.h5")
    assert "tensorflow 2." in results.artifacts[0].converter
    assert len(list((case.folder / "store").rglob("model.tflite"))) == 1

    text = text.replace("tiny.keras", "broken.keras")
    (case.folder / "broken.keras").write_bytes(b"PK\5\6" + bytes(18))
    sweep.write_text(text)
    done = case.do("submit", "sweep.toml", "--out", "other", code=2)
    assert "broken.keras" in done.stderr


def test_mpirun_starts_the_ranks_where_srun_cannot(case: Case) -> None:
    mpiexec = Path(sys.executable).with_name("mpiexec")
    started = f'type = "mpirun"\nmpirun = "{mpiexec} -n {{ranks}} -ppn 1"'
    case.site(('type = "pmi2"', started))
    case.submit("--wait")
    case.complete()


def test_the_documented_python(case: Case) -> None:
    text = (REPOSITORY / "docs" / "cluster.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=case.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1 jobs done" in done.stdout


def test_partition_measures_each_cell_once(case: Case) -> None:
    type_a = '[cpu_types.type_a]\npartition = "batch"\nconstraint = "type_a"\nnodes = 2'
    case.site((type_a, "[cpu_types.all]\nnodes = 4"))
    text = (case.folder / "sweep.toml").read_text().replace('"type_a"', '"all"')
    text = text.replace('model = ["tiny"]', 'model = ["tiny", "two", "three"]')
    for name in ("two", "three"):
        shutil.copy(case.folder / "tiny.tflite", case.folder / f"{name}.tflite")
        text = text.replace("[measure]", f'[models.{name}]\nsource = "{name}.tflite"\n[measure]')
    (case.folder / "sweep.toml").write_text(text)
    case.submit("--wait", "--mode", "partition")
    assert "goes on as it was planned, in --mode partition" in case.submit().stderr
    results = read_results(case.run / "results.h5")
    nodes_of = {
        cell.cell_id: {t.node_id for t in results.trials if t.cell_id == cell.cell_id}
        for cell in results.cells
    }
    assert len(nodes_of) == 6
    assert all(len(nodes) == 1 for nodes in nodes_of.values())
    assert len(results.nodes) == 4
    assert len({node for nodes in nodes_of.values() for node in nodes}) == 4


def test_a_node_that_the_profile_lies_about(case: Case) -> None:
    case.site(('constraint = "type_a"\n', 'constraint = "type_a"\nexpect = "power9le"\n'))
    done = case.submit("--wait")
    assert "cpu_type_mismatch: c1" in done.stderr
    shown = json.loads(case.do("show", case.run, "--json").stdout)
    assert all("cpu_type_mismatch" in cell["verdict"] for cell in shown)
    assert "cpu_type_mismatch" in case.do("status", case.run).stdout


def test_ranks_that_do_not_find_each_other_are_refused(case: Case) -> None:
    case.site(('type = "pmi2"\n', 'type = "pmi2"\n[slurm]\nsrun = ["--mpi=none"]\n'))
    case.submit()
    assert "MPI formed a world of 1 where the job has 2 tasks" in case.failure()
    assert case.trials() == 0
    case.site()
    case.do("resume", case.run, "--site", "site.toml", "--wait")
    case.complete()


def test_a_budget_refuses_before_anything_is_sent(case: Case, cluster: Cluster) -> None:
    done = case.submit("--budget", "0.0001", code=2)
    assert "node-hours" in done.stderr
    assert not case.run.exists()
    assert not cluster.squeue()


def test_what_sbatch_refuses(case: Case, cluster: Cluster) -> None:
    for change, word in [
        (('partition = "batch"', 'partition = "bitch"'), "partition"),
        (('constraint = "type_a"', 'constraint = "type_z"'), "feature"),
        (("cpus = 2", 'cpus = 2\nsbatch = {mem = "999G"}'), "emory"),
        (("cpus = 2", 'cpus = 2\naccount = "gold"'), "account"),
        (("cpus = 2", 'cpus = 2\nqos = "gold"'), "qos"),
    ]:
        case.site(change)
        done = case.submit(code=2)
        assert "sbatch refuses the jobs for 'type_a'" in done.stderr
        assert word in done.stderr
        assert not cluster.squeue()
    case.site()
    case.submit("--wait")
    case.complete()


def test_what_slurm_would_keep_waiting_for_ever(case: Case, cluster: Cluster) -> None:
    """Slurm takes a job that its partition's time limit will never let start."""
    sweep = case.folder / "sweep.toml"
    sweep.write_text(sweep.read_text().replace("[measure]", '[measure]\nbudget = "2 h"'))
    plan = ("plan", "sweep.toml", "--site", "site.toml")
    for done in (case.submit(code=2), case.do(*plan, code=2)):
        assert "its partition allows 60 min" in done.stderr
        assert 'Set time_limit = "60 min" under [cpu_types.type_a]' in done.stderr
    assert not case.run.exists()
    assert not cluster.squeue()
    case.site(("cpus = 2", 'cpus = 2\ntime_limit = "60 min"'))
    seen = json.loads(case.do(*plan, "--json").stdout)
    assert [job["limit_minutes"] for job in seen["jobs"]] == [60]
    assert seen["partitions"] == [{"name": "batch", "nodes": 4, "limit_minutes": 60}]


def test_cancel_and_resume(case: Case) -> None:
    case.sweep(trials=9)
    case.submit()
    case.begun()
    assert "cancelled 1 job" in case.do("cancel", case.run).stdout
    assert "cancelled" in case.failure()
    case.resumed()


def test_no_more_are_submitted_than_the_site_allows(case: Case, cluster: Cluster) -> None:
    case.site(("[mpi]", "[slurm]\nsubmitted = 1\n\n[mpi]"))
    case.sweep(("type_a", "type_b"))
    case.submit()
    assert len(cluster.squeue()) == 1
    assert case.status()["states"].get("waiting") == 1
    # One who waits sends the second, as soon as nobody else has the run.
    with take_up(case.run):
        command = [sys.executable, "-c", "from jobs import wait; wait('run')"]
        waiting = subprocess.Popen(command, cwd=case.folder, stderr=subprocess.PIPE, text=True)
        wait(lambda: case.status()["states"] == {"done": 1, "waiting": 1}, 60)
        wait(lambda: not cluster.squeue(), 20)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=6)
    _, said = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, said
    assert case.status()["states"] == {"done": 2}


def test_an_array_is_cut_where_the_cluster_says(case: Case) -> None:
    case.site(("[mpi]", "[slurm]\narray = 2\n\n[mpi]"))
    case.submit("--job-length", "1 s", "--wait")
    calls = (case.run / "sent.jsonl").read_text().count('"slices"')
    assert case.status()["states"] == {"done": 2}
    assert calls == 1
    assert len(list((case.run / "shards").glob("*.h5"))) == 2


def test_site_check(case: Case) -> None:
    said = case.do("site", "check", "site.toml").stdout
    assert said.count("a world of 2 for 2 tasks") == 2

    def wrong(*changes: tuple[str, str]) -> list[str]:
        """Return what is said to be wrong with a site of one CPU type."""
        case.site(*changes)
        site = case.folder / "site.toml"
        only, _, rest = site.read_text().partition("[cpu_types.type_b]")
        site.write_text(f"{only}[container]{rest.partition('[container]')[2]}")
        said = case.do("site", "check", "site.toml", code=2).stdout
        return [line for line in said.splitlines() if line.startswith("wrong")]

    [line] = wrong(("cpus = 2", 'cpus = 2\nexpect = "power9le"'))
    assert "expect = 'power9le'" in line
    [line] = wrong(('partition = "batch"', 'partition = "bitch"'))
    assert "there are batch, high" in line
    # More nodes than there are, and longer than the partition allows.
    limit, nodes = wrong(("nodes = 2", 'nodes = 3\ntime_limit = "2 h"'))
    assert "its partition allows 60 min" in limit
    assert "nodes = 3, cpus = 2" in nodes and "Requested node configuration" in nodes
    # An image without TensorFlow, and a module that is not there.
    build = f'[build]\nimage = "{case.image}"\ncpu_type = "type_a"\n[slurm]\nsetup = ["modul"]\n'
    setup, built = wrong(("[mpi]", f"{build}\n[mpi]"))
    assert "[slurm] setup" in setup and "modul: command not found" in setup
    assert "[build] on a node of type_a" in built and "tensorflow" in built
    # mpirun that brings nobody together.
    mpiexec = Path(sys.executable).with_name("mpiexec")
    [line] = wrong(('type = "pmi2"', f'type = "mpirun"\nmpirun = "{mpiexec} -n 1"'))
    assert "2 nodes" in line


def test_jobs_that_are_cancelled_before_they_start(case: Case, cluster: Cluster) -> None:
    """The accounting names what never started together, or not at all."""
    case.site(("cpus = 2", "cpus = 2\nsbatch = {hold = true}"))
    case.submit("--job-length", "1 s")
    wait(lambda: case.status()["states"] == {"pending": 2}, 20)
    assert "JobHeldUser" in case.do("status", case.run).stdout

    def reasons() -> set[str]:
        wait(lambda: case.status()["states"] == {"failed": 2}, 30)
        return {job["reason"] for job in case.status()["jobs"]}

    assert "cancelled 2 jobs" in case.do("cancel", case.run).stdout
    assert reasons() == {"The job was cancelled."}
    case.do("resume", case.run)
    cluster.run("scancel", *{job.id.partition("_")[0] for job in cluster.squeue()})
    wait(lambda: reasons() == {"The job was cancelled."}, 20)


def test_a_run_is_not_resumed_without_its_container(case: Case) -> None:
    case.site(("cpus = 2", "cpus = 2\nsbatch = {hold = true}"))
    case.submit()
    case.do("cancel", case.run)
    case.site(('runtime = "apptainer"', 'runtime = "none"'))
    done = case.do("resume", case.run, "--site", "site.toml", code=2)
    assert "was planned in" in done.stderr and "another run" in done.stderr
