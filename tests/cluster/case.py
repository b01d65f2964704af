"""A sweep on the throw-away cluster, by way of the command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import analysis
from suite.journal import read_journal
from tests.cluster.waiting import wait

LITESWEEP = str(Path(sys.executable).with_name("litesweep"))

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

    def __init__(
        self, folder: Path, image: Path, tflite: Path, user: str = "", python: str = sys.executable
    ) -> None:
        self.folder = folder
        self.command = [*(("runuser", "-u", user, "--") if user else ()), python, "-m", "jobs"]
        self.environment = dict(os.environ)
        if user:
            self.environment |= {"HOME": str(folder), "LITESWEEP_STORE": str(folder / "store")}
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
            [*self.command, *map(str, words)],
            cwd=self.folder,
            env=self.environment,
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

    def failure(self, seconds: float = 90) -> str:
        """Wait until the run's only job has failed, and return what is said of it."""
        wait(lambda: self.status()["states"] == {"failed": 1}, seconds)
        [job] = self.status()["jobs"]
        assert job["reason"] in self.do("status", self.run).stdout
        return str(job["reason"])

    def trials(self) -> int:
        """How many trials are recorded so far, on all nodes."""
        journals = (self.run / "journals").rglob("*.journal")
        return sum(len(read_journal(path).trials) for path in journals)

    def begun(self, trials: int = 2) -> None:
        """Wait until so many trials are recorded."""
        wait(lambda: self.trials() >= trials, 90)

    def resumed(self) -> None:
        """Resume, wait, and see that nothing is missing and every cell is from two nodes."""
        before = self.trials()
        self.do("resume", self.run, "--wait")
        assert self.status()["done"]
        assert self.trials() > before
        self.complete()

    def complete(self) -> None:
        results = analysis.open_results(self.run)
        assert set(results["status"].values.ravel()) == {"ok"}
        taken = results["trial_median_ns"].notnull().any("trial").sum("node")
        assert (taken == 2).all()
