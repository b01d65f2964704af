"""Submitting and asking after jobs by the ten thousand, with commands that stand in for Slurm's.

They hold to the limits of a real one, whose tests are in tests/cluster, and keep count.
"""

import json
import os
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar
from unittest.mock import patch

from rich.console import Console

from jobs.cluster import submissions
from jobs.cluster.status import print_status, status
from jobs.cluster.submissions import resume, wait
from jobs.run_folder import RunFolder
from tests.scale.growth import Table, Times, by_size, cpu_s_of_all, markdown
from tests.scale.made import a_run, a_site, on_ram

QUIET = Console(file=Path(os.devnull).open("w"))  # noqa: SIM115
PER_JOB = 10


@dataclass(frozen=True)
class FakeSlurm:
    """Commands in a folder that is first on the path while `standing_in`."""

    folder: Path
    max_array: int = 1001
    max_submitted: int = 0
    """0 is no limit."""
    nodes: int = 0
    """That sinfo tells of, beside some of no use."""

    COMMANDS: ClassVar[Mapping[str, str]] = {
        "sbatch": """
            last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
            name=$(sed -n 's/^#SBATCH --job-name=//p' "$1")
            count=$((${last:-0} + 1))
            queued=$(awk '{n += $3 - $2} END {print n + 0}' HERE/jobs)
            if [ $count -gt MAX_ARRAY ]; then
                echo "sbatch: error: Invalid job array specification" >&2; exit 1
            elif [ MAX_SUBMITTED -gt 0 ] && [ $((queued + count)) -gt MAX_SUBMITTED ]; then
                echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1
            fi
            id=$(($(wc -l < HERE/jobs) + 1))
            echo "$id 0 $count $name" >> HERE/jobs
            echo "Submitted batch job $id"
        """,
        "squeue": """
            awk '{for (i = $2; i < $3; i++)
                print $1 ($3 > 1 ? "_" i : "") "|" $4 "|" (i % 2 ? "PENDING|Why" : "RUNNING|None")
            }' HERE/jobs
        """,
        "sacct": """
            awk '{for (i = 0; i < $2; i++) print $1 ($3 > 1 ? "_" i : "") "|TIMEOUT"}' HERE/jobs
        """,
        "scontrol": "echo 'MaxArraySize            = MAX_ARRAY'",
        "scancel": "awk '{print $1, $3, $3, $4}' HERE/jobs > HERE/now && mv HERE/now HERE/jobs",
        "sinfo": """
            echo "batch*|NODES|idle~|64|(null)"
            echo "batch*|9|down*|64|(null)"
            echo "other|9|idle|64|(null)"
            echo "batch*|9|idle|32|(null)"
        """,
        "srun": "exit 0",
    }
    """The file `jobs` has a line for each call of sbatch: id, elements ended, all, name."""

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Put the commands on the path for the block."""
        self.folder.mkdir()
        for file in ("jobs", "calls"):
            (self.folder / file).touch()
        for name, script in self.COMMANDS.items():
            text = textwrap.dedent(script)
            for word, value in (
                ("HERE", self.folder),
                ("MAX_ARRAY", self.max_array),
                ("MAX_SUBMITTED", self.max_submitted),
                ("NODES", self.nodes),
            ):
                text = text.replace(word, str(value))
            path = self.folder / name
            path.write_text(f"#!/bin/sh\necho {name} >> {self.folder}/calls\n{text}")
            path.chmod(0o755)
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{self.folder}:{before}"
        try:
            yield
        finally:
            os.environ["PATH"] = before

    def calls(self) -> Counter[str]:
        """Return how often each was called since this was asked last."""
        file = self.folder / "calls"
        counted = Counter(file.read_text().split())
        file.write_text("")
        return counted

    def end(self, count: int) -> None:
        """Let so many jobs end, the oldest first."""
        lines = []
        for line in (self.folder / "jobs").read_text().splitlines():
            job_id, ended, elements, name = line.split()
            ends = min(count, int(elements) - int(ended))
            count -= ends
            lines.append(f"{job_id} {int(ended) + ends} {elements} {name}\n")
        (self.folder / "jobs").write_text("".join(lines))


def submitted(run: RunFolder, slurm: FakeSlurm) -> Counter[str]:
    """Submit all of a run at a site that takes it at once; return the calls that it took."""
    resume(run.path, console=QUIET)
    return slurm.calls()


def submitted_by_and_by(run: RunFolder, slurm: FakeSlurm, end_at_a_time: int) -> Counter[str]:
    """Submit a run at a site with a limit; so many jobs end between two looks."""
    resume(run.path, console=QUIET)
    time = SimpleNamespace(sleep=lambda seconds: slurm.end(end_at_a_time), monotonic=lambda: 0.0)
    with patch.object(submissions, "time", time):
        wait(run.path, console=QUIET)
    return slurm.calls()


def leave_traces(run: RunFolder, jobs: Sequence[int], states: int = 4) -> None:
    """Leave what jobs leave, in turn: a shard; a journal and how far it has come; a word; none."""
    logs = run.logs / "slurm"
    for index in jobs:
        run.job_logs(index).mkdir(parents=True)
        journal = run.journal(index, "host")
        if index % states < 3:
            journal.parent.mkdir(parents=True)
            journal.write_bytes(b"")
            progress = {"finished": "1".ljust(PER_JOB, "0"), "seconds_left": 60.0}
            run.progress(index, "host").write_text(json.dumps(progress))
            (logs / f"1_{index}_0_log.err").write_text("2026-01-01T00:00:00 job 1 begins\n")
        if index % states == 0:
            run.shard(index).write_bytes(b"")
        if index % states == 2:
            run.word(index, "host").write_text("There is no room.")


def submitting(cells: Sequence[int] = (1_000, 10_000, 100_000)) -> Iterator[Table]:
    """Yield what it takes to submit, in calls and in time."""
    rows, seconds = [], []
    for size in cells:
        with on_ram() as folder:
            slurm, times = FakeSlurm(folder / "bin"), Times(cpu_s_of_all)
            run = a_run(folder, size, a_site(), per_job=PER_JOB)
            with slurm.standing_in(), times.of("submit"):
                calls = submitted(run, slurm)
            least = -(-size // PER_JOB // slurm.max_array)
            rows.append([f"{size:,}", f"{size // PER_JOB:,}", "none", str(calls["sbatch"]),
                         str(least), str(calls["squeue"])])  # fmt: skip
            seconds.append(times.seconds)
    rows.append(_with_a_limit(cells[-2], most=cells[-2] // PER_JOB // 5))
    yield markdown(
        ("cells", "jobs", "most submitted", "sbatch calls", "least", "squeue calls"), rows
    )
    yield by_size("CPU seconds", cells, seconds)


def _with_a_limit(cells: int, most: int) -> list[str]:
    with on_ram() as folder:
        slurm = FakeSlurm(folder / "bin", max_submitted=most)
        run = a_run(folder, cells, a_site(submitted=most), per_job=PER_JOB)
        with slurm.standing_in():
            calls = submitted_by_and_by(run, slurm, end_at_a_time=most // 20)
    jobs = cells // PER_JOB
    return [f"{cells:,}", f"{jobs:,}", f"{most:,}", str(calls["sbatch"]),
            str(-(-jobs // min(most, slurm.max_array))), str(calls["squeue"])]  # fmt: skip


def asking(jobs: Sequence[int] = (100, 1_000, 10_000)) -> Iterator[Table]:
    """Yield what `status` takes, in questions to Slurm, in time and in questions to the disk."""
    rows, seconds = [], []
    for count in jobs:
        with on_ram() as folder:
            slurm, times = FakeSlurm(folder / "bin", max_array=100_000), Times(cpu_s_of_all)
            run = a_run(folder, 10 * count, a_site(), per_job=10)
            with slurm.standing_in():
                submitted(run, slurm)
                slurm.end(count // 2)
                leave_traces(run, range(count // 2))
                with times.of("status"):
                    seen = status(run)
                calls = slurm.calls()
            assert seen.count("done") == -(-count // 8) and len(seen.jobs) == count
            with times.of("printed"):
                print_status(seen, QUIET)
            rows.append([f"{count:,}", f"{10 * count:,}", str(calls["squeue"]),
                         str(calls["sacct"])])  # fmt: skip
            seconds.append(times.seconds)
    yield markdown(("jobs", "cells", "squeue calls", "sacct calls"), rows)
    yield by_size("CPU seconds", jobs, seconds)
