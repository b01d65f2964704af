"""The throw-away Slurm itself: what the other tests here take for granted."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import NODES, Cluster

pytestmark = pytest.mark.usefixtures("clean_queue")

USER = "litesweep-test"


@pytest.fixture
def user(cluster: Cluster) -> Iterator[str]:
    """A user without privileges."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        cluster.run("useradd", "--system", "--no-create-home", USER)
        cluster.control("add-user", USER)
        yield USER
        cluster.run("userdel", USER)
    else:
        cluster.control("add-user", USER)
        yield USER


def submit(cluster: Cluster, *options: str | Path, command: str = "sleep 300") -> str:
    """Submit a job of one command, by default one that stays; return its number."""
    where = (
        ()
        if any(str(option).startswith("--output") for option in options)
        else ("--output=/dev/null",)
    )
    said = cluster.run("sbatch", "--parsable", *where, *options, f"--wrap={command}")
    return said.strip()


def state(cluster: Cluster, job: str) -> str | None:
    """Return the state of a job while it waits or runs."""
    return next((row.state for row in cluster.squeue() if row.id == job), None)


def accounted(cluster: Cluster, job: str) -> list[str]:
    """Return all states of a job that accounting knows, also those before it was requeued."""
    return cluster.run("sacct", "-nXPD", "-j", job, "-o", "State").split()


def restarts(cluster: Cluster, job: str) -> str:
    """Return how often a job was requeued."""
    return cluster.run("scontrol", "show", "job", job).partition("Restarts=")[2].split()[0]


def test_four_nodes_of_two_types_are_idle(cluster: Cluster) -> None:
    lines = cluster.run("sinfo", "-hNp", "batch", "-o", "%N %T %f").splitlines()
    types = ("type_a", "type_a", "type_b", "type_b")
    assert lines == [f"{name} idle {kind}" for name, kind in zip(NODES, types, strict=True)]


def test_each_node_has_a_host_name(cluster: Cluster) -> None:
    said = cluster.run("srun", "-N2", "--constraint=type_b", "hostname")
    assert sorted(said.split()) == ["c3", "c4"]


def test_accounting_knows_a_job_that_has_ended(cluster: Cluster) -> None:
    job = submit(cluster, command="true")
    cluster.wait(lambda: accounted(cluster, job) == ["COMPLETED"], 15)
    job = submit(cluster, command="exit 3")
    cluster.wait(lambda: accounted(cluster, job) == ["FAILED"], 15)


def test_a_node_that_dies_and_comes_back(cluster: Cluster) -> None:
    job = submit(cluster, "--nodelist=c2", "--no-requeue")
    cluster.wait(lambda: state(cluster, job) == "RUNNING", 10)
    cluster.kill_node("c2")
    cluster.wait(lambda: accounted(cluster, job) == ["NODE_FAIL"], 40)
    assert cluster.node_states()["c2"].startswith("down")
    cluster.start_node("c2")
    assert cluster.run("srun", "--nodelist=c2", "hostname") == "c2\n"


def test_a_node_that_dies_takes_what_ran_there_with_it(cluster: Cluster, tmp_path: Path) -> None:
    beats = tmp_path / "beats"
    loop = f"while echo >> {beats}; do sleep 0.1; done"
    submit(cluster, "--nodelist=c2", command=f"setsid sh -c '{loop}' & {loop}")
    cluster.wait(beats.exists, 10)
    cluster.kill_node("c2")
    size = beats.stat().st_size
    with pytest.raises(AssertionError, match="still not so"):
        cluster.wait(lambda: beats.stat().st_size > size, 1)


def test_a_job_in_high_pushes_out_one_in_batch(cluster: Cluster) -> None:
    low = submit(cluster, "--nodelist=c1", "--exclusive")
    cluster.wait(lambda: state(cluster, low) == "RUNNING", 10)
    high = submit(cluster, "--nodelist=c1", "--exclusive", "--partition=high")
    cluster.wait(lambda: state(cluster, high) == "RUNNING", 20)
    cluster.wait(lambda: state(cluster, low) == "PENDING", 10)
    assert restarts(cluster, low) == "1"
    cluster.wait(lambda: "PREEMPTED" in accounted(cluster, low), 15)
    cluster.run("scancel", high)
    cluster.wait(lambda: state(cluster, low) == "RUNNING", 40)


def test_a_job_outlives_a_restart_of_the_controller(cluster: Cluster) -> None:
    job = submit(cluster)
    cluster.wait(lambda: state(cluster, job) == "RUNNING", 10)
    cluster.restart_controller()
    assert state(cluster, job) == "RUNNING"
    assert restarts(cluster, job) == "0"


def test_accounting_that_is_down(cluster: Cluster) -> None:
    cluster.accounting(False)
    assert subprocess.run(["sacct"], check=False, capture_output=True, timeout=60).returncode != 0
    job = submit(cluster, command="true")  # jobs run all the same, and are accounted for later
    cluster.wait(lambda: state(cluster, job) in ("COMPLETED", None), 15)
    cluster.accounting(True)
    cluster.wait(lambda: accounted(cluster, job) == ["COMPLETED"], 40)


def test_a_user_without_privileges(cluster: Cluster, user: str) -> None:
    # pytest's own folders are root's alone
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, pwd.getpwnam(user).pw_uid, -1)
        output = Path(name) / "output"
        script = ["sbatch", "--parsable", f"--output={output}", "--wrap=srun id -un; echo ended"]
        job = cluster.run("runuser", "-u", user, "--", *script, f"--chdir={name}").strip()
        cluster.wait(lambda: accounted(cluster, job) == ["COMPLETED"], 20)
        assert output.read_text() == f"{user}\nended\n"
        assert output.owner() == user
