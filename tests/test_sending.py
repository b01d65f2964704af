"""What of a run is sent to Slurm, and what becomes of the rest; its commands are stand-ins."""

import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from jobs.cluster import sending
from jobs.cluster.sending import request_for
from jobs.cluster.site import Site
from jobs.cluster.slurm import Request, SlurmError, send
from jobs.cluster.status import status
from jobs.cluster.submissions import resume
from jobs.plan import Plan
from jobs.run_folder import RunFolder
from suite.errors import UserError
from tests.scale.made import a_run, a_site
from tests.scale.submitting import QUIET, FakeSlurm, submitted


@pytest.mark.parametrize(("nodes", "calls"), [(4, 5), (9, 4), (100, 2), (0, 10)])
def test_jobs_that_avoid_a_few_nodes_each_go_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: int, calls: int
) -> None:
    """One that avoids none goes by itself; what each avoids is avoided by its array."""
    run = a_run(tmp_path, 100, a_site(), per_job=10)
    own = {index: f"n{(index - 1) % (nodes or 9) + 1}" for index in range(1, 10)}
    sent: dict[int, tuple[str, ...]] = {}
    slurm = FakeSlurm(tmp_path / "bin", nodes=nodes)

    def avoiding(folder: RunFolder, plan: Plan, index: int, site: Site) -> Request | None:
        request = request_for(folder, plan, index, site)
        return request and replace(request, exclude=(own[index],) if index else ())

    def kept(folder: RunFolder, site: Site, request: Request, **options: Any) -> list[str]:
        sent.update((index, request.exclude) for _, index, *_ in options["calls"])
        return send(folder, site, request, **options)

    monkeypatch.setattr(sending, "request_for", avoiding)
    monkeypatch.setattr(sending, "send", kept)
    with slurm.standing_in():
        assert submitted(run, slurm)["sbatch"] == calls
    assert sent.pop(0) == ()
    assert all(host in sent[index] for index, host in own.items())
    assert max(map(len, sent.values())) <= max(1, (nodes - 1) // 2)


def test_the_jobs_of_a_copy_of_a_run_are_not_its_own(tmp_path: Path) -> None:
    """They have the same names: `cancel` of the one would end those of the other."""
    run = a_run(tmp_path, 100, a_site(), per_job=50)
    copy = RunFolder(tmp_path / "copy")
    with FakeSlurm(tmp_path / "bin").standing_in():
        shutil.copytree(run.path, copy.path)
        resume(run.path, console=QUIET)
        resume(copy.path, console=QUIET)
        seen = [{job.job_id for job in status(folder).jobs} for folder in (run, copy)]
    assert seen == [{"1_0", "1_1"}, {"2_0", "2_1"}]


def test_nothing_is_sent_for_a_run_that_cannot_be_named(tmp_path: Path) -> None:
    run = a_run(tmp_path, 10, a_site(), per_job=10)
    run.identity_file.write_text("[1]")
    slurm = FakeSlurm(tmp_path / "bin")
    with slurm.standing_in(), pytest.raises(UserError, match=r"run\.json' is damaged"):
        resume(run.path, console=QUIET)
    assert slurm.calls()["sbatch"] == 0


@pytest.mark.parametrize(
    ("refused", "sent"),
    [
        ({1}, [0, 2, 3, 4, 5, 6]),  # the others go
        ({0, 1, 3, 4}, [2, 5, 6]),
        ({1, 2, 3}, [0]),  # three in a row: it is no accident
    ],
)
def test_a_call_that_slurm_refuses_keeps_no_other_from_being_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: set[int], sent: list[int]
) -> None:
    run = a_run(tmp_path, 70, a_site(), per_job=1)
    gone: list[int] = []
    calls = count()

    def refusing(*arguments: Any, **options: Any) -> list[str]:
        if (number := next(calls)) in refused:
            raise SlurmError(f"sbatch refuses call {number}.")
        gone.append(number)
        return send(*arguments, **options)

    with FakeSlurm(tmp_path / "bin", max_array=10).standing_in():
        monkeypatch.setattr(sending, "send", refusing)
        with pytest.raises(SlurmError, match=f"call {min(refused)}"):
            resume(run.path, console=QUIET)
        assert gone == sent
        assert status(run).live == 10 * len(sent)
        resume(run.path, console=QUIET)  # and what is left, the next time
        seen = status(run)
        assert (seen.live, len(seen.jobs)) == (70, 70)
