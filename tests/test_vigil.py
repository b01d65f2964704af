"""Ranks that wait for others, and notice where one has stopped; tests/faults stops real ones."""

import json
import os
from pathlib import Path

import pytest

from jobs.progress import Teller
from jobs.vigil import BEAT_S, Vigil
from suite.errors import UserError
from suite.rounds import Progress


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
    teller = Teller(file, every_s=10, clock=clock)
    told = []
    for trial in range(30):
        clock.s = 1.3 * trial
        teller.tell(Progress(2, 0, trial, 0, "a cell", 60.0))
        told.append(json.loads(file.read_text())["trials"])
    assert [*dict.fromkeys(told)] == [0, 8, 16, 24]
    teller.tell_the_end(2)
    end = json.loads(file.read_text())
    assert (end["cells_done"], end["seconds_left"]) == (2, 0)
    assert [*tmp_path.iterdir()] == [file]
