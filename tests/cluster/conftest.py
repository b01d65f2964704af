"""A throw-away Slurm cluster of four nodes, an image to run in, and ways to break things."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

SCRIPT = Path(__file__).parent / "throwaway-slurm"
MUST = bool(os.environ.get("LITESWEEP_CLUSTER_TESTS"))
"""Where this is set nothing is skipped."""
IMAGE_OPTIONS = shlex.split(os.environ.get("LITESWEEP_IMAGE_OPTIONS", ""))
"""What `litesweep image build` needs to know of this machine."""
LITESWEEP = str(Path(sys.executable).with_name("litesweep"))
NODES = ("c1", "c2", "c3", "c4")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


def unless(possible: bool, reason: str) -> None:
    """Skip where something is not possible, or fail where it must be."""
    if not possible:
        (pytest.fail if MUST else pytest.skip)(reason)


class Cluster:
    """The throw-away cluster, and what can befall one."""

    def control(self, *words: str) -> None:
        subprocess.run([SCRIPT, *words], check=True, capture_output=True, timeout=240)

    def kill_node(self, name: str) -> None:
        self.control("kill-node", name)

    def start_node(self, name: str) -> None:
        self.control("start-node", name)

    def slurm(self, *words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def jobs(self) -> list[tuple[str, str]]:
        """The jobs that wait or run: id and state."""
        text = self.slurm("squeue", "-h", "-r", "-o", "%i|%T")
        return [(line.split("|")[0], line.split("|")[1]) for line in text.splitlines()]

    def clean(self) -> None:
        """End all jobs and bring all nodes back."""
        if jobs := [job_id for job_id, _ in self.jobs()]:
            subprocess.run(["scancel", *jobs], check=False, timeout=60)
        wait_until(lambda: not self.jobs(), 60)
        for node in NODES:
            if "idle" not in self.slurm("sinfo", "-h", "-n", node, "-p", "batch", "-o", "%T"):
                self.start_node(node)
        idle = ("sinfo", "-h", "-p", "batch", "-t", "idle", "-o", "%D")
        wait_until(lambda: self.slurm(*idle).strip() == str(len(NODES)), 60)

    def processes(self, words: str, **environment: str) -> list[int]:
        """The processes whose command line has `words` in it, with these variables set."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                variables = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            wanted = [f"{key}={value}".encode() for key, value in environment.items()]
            if words in command and all(pair in variables for pair in wanted):
                found.append(int(folder.name))
        return found


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Cluster]:
    unless(os.geteuid() == 0, "a throw-away Slurm needs root")
    unless(bool(shutil.which("apt-get") or shutil.which("slurmctld")), "it needs Debian's Slurm")
    was_up = subprocess.run([SCRIPT, "status"], capture_output=True, check=False).returncode == 0
    started = subprocess.run([SCRIPT, "start"], capture_output=True, text=True, check=False)
    unless(started.returncode == 0, f"no throw-away Slurm: {started.stderr[-500:]}")
    said = subprocess.run([SCRIPT, "env"], capture_output=True, text=True, check=True).stdout
    os.environ["SLURM_CONF"] = said.strip().partition("=")[2]
    yield Cluster()
    if not was_up:
        subprocess.run([SCRIPT, "stop"], capture_output=True, check=False)


@pytest.fixture
def cluster(_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, with all nodes idle before and after."""
    _cluster.clean()
    yield _cluster
    _cluster.clean()


def built(name: str) -> Path:
    """Build an image of this checkout where it is not there already."""
    unless(bool(shutil.which("apptainer")), "there is no Apptainer")
    folder = REPOSITORY / "images"
    command = [LITESWEEP, "image", "build", name, "--out", str(folder), *IMAGE_OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    unless(done.returncode == 0, f"no image: {done.stdout[-500:]}{done.stderr[-1000:]}")
    return folder / f"{name}.sif"


@pytest.fixture(scope="session")
def image() -> Path:
    """The image that measures."""
    return built("tflite")


@pytest.fixture(scope="session")
def tensorflow_image() -> Path:
    """The image that builds artifacts."""
    return built("tensorflow")


def wait_until(condition: Callable[[], Any], seconds: float) -> None:
    """Wait until `condition` holds; fail where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds:g} s"
        time.sleep(0.2)


SWEEP = """
name = "tiny"
[axes]
model = ["tiny"]
threads = [1, 2]
cpu_type = {cpu_types}
[models.tiny]
source = "tiny.tflite"
[measure]
min_trials = {trials}
max_trials = {trials}
precision = 0.5
"""

SITE = """
[cpu_types.type_a]
partition = "batch"
constraint = "type_a"
nodes = 2
cpus = 2

[cpu_types.type_b]
partition = "batch"
constraint = "type_b"
nodes = 2
cpus = 2

[container]
runtime = "apptainer"
image = "{image}"

[mpi]
type = "pmi2"
"""


class Case:
    """A sweep, a site and a run, in a folder of their own, by way of the command line."""

    def __init__(self, folder: Path, image: Path, tflite: Path) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.image = image
        shutil.copy(tflite, folder / "tiny.tflite")
        self.sweep()
        self.site()

    def sweep(self, cpu_types: tuple[str, ...] = ("type_a",), trials: int = 3) -> None:
        text = SWEEP.format(cpu_types=json.dumps(list(cpu_types)), trials=trials)
        (self.folder / "sweep.toml").write_text(text)

    def site(self, *changes: tuple[str, str]) -> None:
        """Write the site file, with some of its text replaced."""
        text = SITE.format(image=self.image)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (self.folder / "site.toml").write_text(text)

    def do(self, *words: object, code: int | None = 0) -> "subprocess.CompletedProcess[str]":
        """Run litesweep in the folder; `code` is the exit code that it must have."""
        done = subprocess.run(
            [LITESWEEP, *map(str, words)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert code is None or done.returncode == code, said
        return done

    def submit(self, *options: object, code: int | None = 0) -> "subprocess.CompletedProcess[str]":
        return self.do("submit", "sweep.toml", "--out", self.run, *options, code=code)

    def status(self) -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(self.do("status", self.run, "--json").stdout)
        return seen

    def failure(self) -> str:
        """Wait until the run's only job has failed, and return what is said of it."""
        wait_until(lambda: self.status()["states"] == {"failed": 1}, 90)
        [job] = self.status()["jobs"]
        assert job["reason"] in self.do("status", self.run).stdout
        return str(job["reason"])

    def trials(self) -> int:
        """How many trials are recorded so far, on all nodes."""
        from suite.journal import read_journal

        journals = (self.run / "journals").rglob("*.journal")
        return sum(len(read_journal(path).trials) for path in journals)

    def begun(self, trials: int = 2) -> None:
        """Wait until so many trials are recorded."""
        wait_until(lambda: self.trials() >= trials, 90)

    def resumed(self) -> None:
        """Resume, wait, and see that nothing is missing and every cell is from two nodes."""
        before = self.trials()
        self.do("resume", self.run, "--wait")
        assert self.status()["done"]
        assert self.trials() > before
        self.complete()

    def complete(self) -> None:
        import analysis

        results = analysis.open_results(self.run)
        assert set(results["status"].values.ravel()) == {"ok"}
        taken = results["trial_median_ns"].notnull().any("trial").sum("node")
        assert (taken == 2).all()


@pytest.fixture
def case(cluster: Cluster, image: Path, tiny_tflite: Path, tmp_path: Path) -> Case:
    """A sweep of two cells for two nodes, in the container."""
    return Case(tmp_path, image, tiny_tflite)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone already."""
    os.kill(pid, number)
