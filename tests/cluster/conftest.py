"""A throw-away Slurm cluster of four nodes, what can befall one, and images to run in."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster.case import LITESWEEP, Case
from tests.cluster.waiting import wait
from tests.conftest import REPOSITORY

FOLDER = Path(__file__).parent
SCRIPT = FOLDER / "throwaway-slurm"
NODES = ("c1", "c2", "c3", "c4")
NOTHING_IS_UP = 3
"""The exit code of `throwaway-slurm status`."""
MUST = bool(os.environ.get("LITESWEEP_CLUSTER_TESTS"))
"""Where this is set nothing is skipped, and what is missing is installed."""
IMAGE_OPTIONS = shlex.split(os.environ.get("LITESWEEP_IMAGE_OPTIONS", ""))
"""What `litesweep image build` needs to know of this machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            # Four nodes, a database and the jobs share two CPUs with whatever else runs here: a
            # deadline may pass for no fault of ours. Once more, and it is told as a rerun.
            item.add_marker(pytest.mark.flaky(reruns=1))


class Job(NamedTuple):
    """One line of squeue."""

    id: str
    name: str
    state: str
    nodes: str


class Cluster:
    """The throw-away cluster; where a command of it fails or hangs, so does the test."""

    wait = staticmethod(wait)

    def control(self, *words: str) -> None:
        """Run `throwaway-slurm` with these words."""
        subprocess.run([SCRIPT, *words], check=True, timeout=120)

    def kill_node(self, name: str) -> None:
        """Cut a node's power."""
        self.control("kill-node", name)

    def start_node(self, name: str) -> None:
        """Bring a node back, and wait until it is."""
        self.control("start-node", name)

    def restart_controller(self) -> None:
        """Stop slurmctld and start it again, with its state kept."""
        self.control("restart-controller")

    def accounting(self, up: bool) -> None:
        """Start or stop slurmdbd, without which sacct fails."""
        self.control("start-accounting" if up else "stop-accounting")

    def run(self, *words: str | Path, seconds: float = 60) -> str:
        """Run a command, of Slurm for example, and return what it printed."""
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def squeue(self) -> list[Job]:
        """The jobs that wait or run, and those that are just ending."""
        lines = self.run("squeue", "-h", "-r", "-o", "%i|%j|%T|%N").splitlines()
        return [Job(*line.split("|")) for line in lines]

    def node_states(self) -> dict[str, str]:
        """The state of every node, as `idle`; with a `*` where it does not answer."""
        return dict(
            line.split() for line in self.run("sinfo", "-hNp", "batch", "-o", "%N %T").splitlines()
        )

    def clean(self) -> None:
        """Cancel all jobs, and bring accounting and all nodes back."""
        self.control("start")
        if jobs := self.squeue():
            # a job that ends meanwhile is no error
            subprocess.run(["scancel", *(job.id for job in jobs)], check=False, timeout=60)
        self.wait(lambda: not self.squeue(), 60)
        for node, state in self.node_states().items():
            if state.startswith(("down", "drain")):
                # refused where the node has come back by itself meanwhile
                update = ("scontrol", "update", f"nodename={node}", "state=resume")
                subprocess.run(update, check=False, timeout=60)
        self.wait(lambda: set(self.node_states().values()) == {"idle"}, 60)

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


def refuse(reason: str) -> None:
    """Skip a test for a reason, or fail it where nothing may be skipped."""
    (pytest.fail if MUST else pytest.skip)(reason)


def obstacle() -> str | None:
    """Say why there can be no throw-away Slurm here."""
    if sys.platform != "linux":
        return "a throw-away Slurm needs Linux"
    if os.geteuid() != 0:
        return "a throw-away Slurm needs root"
    commands = ("slurmctld", "slurmd", "sbatch", "slurmdbd", "munged", "mariadbd")
    missing = [
        name for name in commands if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    ]
    if missing and not (MUST and shutil.which("apt-get")):
        return f"not installed: {', '.join(missing)} (LITESWEEP_CLUSTER_TESTS=1 has apt-get do it)"
    return None


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster that is up, or one for this session."""
    if reason := obstacle():
        refuse(reason)
    status = subprocess.run([SCRIPT, "status"], check=False, capture_output=True, timeout=60)
    subprocess.run([SCRIPT, "start"], check=True, timeout=900)  # packages are installed
    said = subprocess.run([SCRIPT, "env"], check=True, capture_output=True, text=True).stdout
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_", "SINFO_", "SACCT_")):
                patch.delenv(name)  # a job that the tests run in, or someone's defaults
        patch.setenv("SLURM_CONF", said.strip().partition("=")[2])
        found = Cluster()
        yield found
        found.clean()
    if status.returncode == NOTHING_IS_UP:
        subprocess.run([SCRIPT, "stop"], check=True, timeout=120)


@pytest.fixture
def clean_queue(cluster: Cluster) -> None:
    """No job of anyone's, and all nodes idle; what a test leaves the next one clears away."""
    cluster.clean()


def built(name: str) -> Path:
    """Build an image of this checkout where it is not there already."""
    if not shutil.which("apptainer"):
        refuse("there is no Apptainer")
    folder = REPOSITORY / "images"
    command = [LITESWEEP, "image", "build", name, "--out", str(folder), *IMAGE_OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        refuse(f"no image: {done.stdout[-500:]}{done.stderr[-1000:]}")
    return folder / f"{name}.sif"


@pytest.fixture(scope="session")
def image() -> Path:
    """The image that measures."""
    return built("tflite")


@pytest.fixture(scope="session")
def tensorflow_image() -> Path:
    """The image that builds artifacts."""
    return built("tensorflow")


@pytest.fixture
def case(clean_queue: None, image: Path, tiny_tflite: Path, tmp_path: Path) -> Case:
    """A sweep of two cells for two nodes, in the container."""
    return Case(tmp_path, image, tiny_tflite)


@pytest.fixture
def small_disk(clean_queue: None) -> Iterator[Path]:
    """A disk of 4 MB that all nodes see, empty."""
    folder = Path(os.environ["SLURM_CONF"]).parents[1] / "small"

    def empty() -> None:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    empty()
    yield folder
    empty()
