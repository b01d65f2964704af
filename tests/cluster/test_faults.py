"""What goes wrong on a cluster: the cause is named in bounded time, and `resume` completes the run.

Nothing is lost but the trial in flight: `Case.resumed` would otherwise measure it anew.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from suite.journal import read_journal
from tests.cluster.case import LITESWEEP, Case
from tests.cluster.conftest import Cluster
from tests.cluster.waiting import wait

RANK = "submitit.core._submit"
TRIAL = "suite.trial.worker"


@pytest.fixture
def running(case: Case) -> Case:
    """A run that has measured something, and has a while to go."""
    case.sweep(trials=9)
    case.submit()
    case.begun()
    return case


def trial_ids(case: Case) -> set[str]:
    journals = (case.run / "journals").rglob("*.journal")
    return {trial.trial_id for path in journals for trial in read_journal(path).trials}


def test_a_rank_that_is_killed(running: Case, cluster: Cluster) -> None:
    [job_id] = [job.id for job in cluster.squeue()]
    for pid in cluster.processes(f"python3 -u -m {RANK}", SLURM_JOB_ID=job_id, SLURM_PROCID="1"):
        os.kill(pid, signal.SIGKILL)
    assert "Rank 1, on c2, was killed by SIGKILL" in running.failure()
    before = trial_ids(running)
    assert before
    running.resumed()
    assert before <= trial_ids(running)


def test_a_node_that_dies(running: Case, cluster: Cluster) -> None:
    cluster.kill_node("c2")
    # Slurm notices, ends the job and queues it again, where it waits for a second node.
    wait(lambda: running.status()["states"] == {"pending": 1}, 60)
    assert "a node failed" in running.do("status", running.run).stdout
    before = trial_ids(running)
    running.do("cancel", running.run)
    wait(lambda: running.status()["states"] == {"failed": 1}, 60)
    cluster.start_node("c2")
    running.resumed()
    assert before <= trial_ids(running)


def test_a_job_that_is_queued_again_goes_on_by_itself(running: Case, cluster: Cluster) -> None:
    [job_id] = [job.id for job in cluster.squeue()]
    before = trial_ids(running)
    # Preempted: a job in the better partition takes both nodes for a moment.
    cluster.run(
        *("sbatch", "--partition=high", "--nodelist=c1,c2", "--nodes=2", "--exclusive"),
        *("--output=/dev/null", "--wrap=sleep 3"),
    )
    wait(lambda: running.status()["states"] == {"pending": 1}, 60)
    assert job_id in [job.id for job in cluster.squeue()]
    wait(lambda: running.status()["states"] == {"done": 1}, 180)
    running.do("collect", running.run)
    running.complete()
    assert before <= trial_ids(running)


def test_the_time_limit(case: Case, cluster: Cluster) -> None:
    case.sweep(trials=200)
    case.submit()
    case.begun()
    [job_id] = [job.id for job in cluster.squeue()]
    cluster.run("scontrol", "update", f"JobId={job_id}", "TimeLimit=1")
    assert "time limit" in case.failure(150).lower()
    before = trial_ids(case)
    assert before
    case.do("resume", case.run)
    case.begun(len(before) + 2)
    case.do("cancel", case.run)
    assert before <= trial_ids(case)


def test_an_exception_in_one_rank(case: Case) -> None:
    folder = case.run / "logs" / "job-00000" / "c2.json"  # where that node tells of its progress
    case.site(("cpus = 2", "cpus = 2\nsbatch = {hold = true}"))
    case.submit()
    folder.mkdir(parents=True)
    release(case)
    assert "An error inside litesweep: IsADirectoryError" in case.failure()
    [told] = (case.run / "logs" / "job-00000").glob("*.txt")
    assert told.read_text().startswith("Traceback")
    folder.rmdir()
    case.site()
    case.do("resume", case.run, "--site", "site.toml", "--wait")
    case.complete()


def test_a_native_crash_in_a_trial_costs_that_trial(running: Case, cluster: Cluster) -> None:
    def crash() -> bool:
        for pid in cluster.processes(TRIAL, SLURM_PROCID="0"):
            time.sleep(0.3)  # into its samples
            try:
                os.kill(pid, signal.SIGSEGV)
            except ProcessLookupError:
                continue
            return True
        return False

    wait(crash, 30)
    wait(lambda: running.status()["states"] == {"done": 1}, 90)
    running.do("collect", running.run)
    journal = read_journal(running.run / "journals" / "job-00000" / "c1.journal")
    crashed = [trial for trial in journal.trials if trial.status == "crashed"]
    assert [trial.exit_signal for trial in crashed] == [signal.SIGSEGV]
    running.complete()


def release(case: Case) -> None:
    [job] = case.status()["jobs"]
    subprocess.run(["scontrol", "release", job["job_id"]], check=True, timeout=30)


def test_an_image_that_is_not_the_planned_one(case: Case) -> None:
    image = case.folder / "image.sif"
    shutil.copy(case.image, image)
    content = image.read_bytes()
    case.image = image
    case.site(("cpus = 2", "cpus = 2\nsbatch = {hold = true}"))
    case.submit()
    for harmed in (None, content[: len(content) // 2], content[:-1] + bytes([content[-1] ^ 1])):
        image.unlink() if harmed is None else image.write_bytes(harmed)
        release(case)
        said = "there is no image" if harmed is None else "not the one that the run"
        assert said in case.failure()
        assert "image" in case.do("resume", case.run, code=2).stderr
        image.write_bytes(content)
        if harmed is None or len(harmed) < len(content):
            case.do("resume", case.run)  # held back again
    case.site()
    case.do("resume", case.run, "--site", "site.toml", "--wait")
    case.complete()


def test_a_folder_to_bind_that_does_not_exist(case: Case) -> None:
    case.site(('runtime = "apptainer"', 'runtime = "apptainer"\nbinds = ["/nowhere"]'))
    case.submit()
    assert "/nowhere" in case.failure()
    case.site()
    case.do("resume", case.run, "--site", "site.toml", "--wait")
    case.complete()


def test_an_image_without_the_package(case: Case) -> None:
    image = case.image
    case.image = case.image.with_name("ubuntu_base.sif")
    case.site()
    case.submit()
    assert "submitit" in case.failure()
    # Another image is another run.
    case.image = image
    case.site()
    shutil.rmtree(case.run)
    case.submit("--wait")
    case.complete()


def test_an_image_with_another_release(case: Case) -> None:
    case.site(("cpus = 2", "cpus = 2\nsbatch = {hold = true}"))
    case.submit()
    plan = case.run / "plan.json"
    text = plan.read_text()
    old = r"\"litesweep\":\"0.1.0\""
    assert old in text
    plan.write_text(text.replace(old, r"\"litesweep\":\"0.0.9\""))
    release(case)
    assert "litesweep 0.1.0 runs on the nodes, and 0.0.9 has planned" in case.failure()
    plan.write_text(text)
    case.site()
    case.do("resume", case.run, "--site", "site.toml", "--wait")
    case.complete()


def test_without_accounting(case: Case, cluster: Cluster) -> None:
    cluster.accounting(up=False)
    try:
        case.sweep(trials=9)
        case.submit()
        case.begun()
        case.do("cancel", case.run)
        assert case.failure()
        case.resumed()
    finally:
        cluster.accounting(up=True)


def test_a_controller_that_is_restarted(running: Case, cluster: Cluster) -> None:
    waiting = subprocess.Popen(
        [LITESWEEP, "resume", str(running.run), "--wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=running.folder,
    )
    time.sleep(1)
    cluster.restart_controller()
    said, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, said
    running.complete()


def test_a_full_disk(case: Case, small_disk: Path) -> None:
    case.run = small_disk / "run"
    case.sweep(trials=9)
    case.submit()
    case.begun()
    ballast = small_disk / "ballast"
    fill = ["dd", "if=/dev/zero", f"of={ballast}", "bs=4k"]
    subprocess.run(fill, check=False, capture_output=True)
    reason = case.failure()
    assert "no room on the disk" in reason or "No space left on device" in reason
    before = trial_ids(case)
    assert before
    ballast.unlink()
    case.resumed()
    assert before <= trial_ids(case)
