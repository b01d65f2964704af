"""Ranks that wait for others, and notice where one has stopped; tests/faults stops real ones."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from jobs.cluster.status import status
from jobs.progress import Teller
from jobs.vigil import BEAT_S, Vigil
from jobs.worker import measure_slice
from suite.errors import UserError
from suite.results.rows import TrialRow
from suite.rounds import Progress
from tests.faults.made_up import a_run, as_if_on, made_up


class Clock:
    """A clock that is set by hand."""

    s = 0.0

    def __call__(self) -> float:
        return self.s


def test_one_that_is_still_for_too_long_is_named(tmp_path: Path) -> None:
    mine, steady, still = (tmp_path / f"{name}.json" for name in ("mine", "steady", "still"))
    clock = Clock()
    vigil = Vigil(mine, {"c1": steady, "c2": still}, patience_s=300, clock=clock)
    still.touch()
    for beat in range(40):
        clock.s = beat * BEAT_S
        # Another node's clock goes backwards: that it has moved is seen all the same.
        steady.touch()
        os.utime(steady, (1000 - beat, 1000 - beat))
        if clock.s <= 300:
            vigil.look()
            continue
        with pytest.raises(UserError, match=r"^c2 has given no sign of life for 3\d\d s"):
            vigil.look()
        break
    assert clock.s == 320
    assert mine.exists()


def test_it_shows_that_it_is_alive_and_not_more_often_than_needed(tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    clock = Clock()
    vigil = Vigil(mine, {}, patience_s=300, clock=clock)
    touched = 0
    for tenth in range(1000):
        clock.s = tenth / 10
        mine.unlink(missing_ok=True)
        vigil.look()
        touched += mine.exists()
    assert touched == 5


def test_a_disk_that_takes_no_sign_of_life_ends_nothing(tmp_path: Path) -> None:
    clock = Clock()
    vigil = Vigil(tmp_path / "gone" / "mine.json", {}, patience_s=300, clock=clock)
    vigil.look()
    assert not (tmp_path / "gone").exists()


def test_progress_is_told_at_once_then_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "c1.example.org.json"
    clock = Clock()
    teller = Teller(file, ["c0", "c1", "c2", "c3"], {"c0", "c1", "c3"}, every_s=10, clock=clock)
    told = []
    for trial in range(30):
        clock.s = 1.3 * trial
        teller.tell(Progress(2, ["c1"], trial, 0, "a cell", 60.0))
        said = json.loads(file.read_text())
        told.append(said["trials"])
        assert (said["cells_done"], said["finished"]) == (1, "1001")
    assert [*dict.fromkeys(told)] == [0, 8, 16, 24]
    teller.tell_the_end(2)
    end = json.loads(file.read_text())
    assert (end["cells_done"], end["finished"], end["seconds_left"]) == (2, "1101", 0)
    assert [*tmp_path.iterdir()] == [file]


def test_status_counts_what_all_jobs_of_a_slice_have_finished(tmp_path: Path) -> None:
    """Also what a node had finished and not told of when it died, and for as long as a job runs."""
    folder = a_run(tmp_path / "run", cells=4, trials=2, copies=2, nodes=2)
    seen: list[tuple[int, float]] = []

    def on(host: str, lives: int = 99) -> list[tuple[int, float]]:
        def measured(*arguments: Any, **options: Any) -> TrialRow:
            if len(seen) == lives:
                raise KeyboardInterrupt
            standing = status(folder)
            seen.append((standing.cells_done, standing.seconds_left))
            return made_up(*arguments, **options)

        seen.clear()
        with as_if_on(host), patch("jobs.meter.run_trial", measured), suppress(KeyboardInterrupt):
            measure_slice(str(folder.path), 0)
        return [*seen]

    assert [done for done, _ in on("c1")] == [0] * 8
    assert [done for done, _ in on("c2", lives=6)] == [0] * 6
    last = on("c3")  # two cells are left to it
    assert [done for done, _ in last] == [2] * 4
    assert max(left_s for _, left_s in last) < 10
    assert status(folder).cells_done == 4
