"""Clocks that jump, or differ between machines."""

import os
import random
import time
from unittest.mock import patch

from tests.faults.fault import Bench, fault
from tests.faults.made_up import Trials, a_run, collected, job, recorded

YEAR_NS = 365 * 24 * 3600 * 10**9


@fault(
    "files dated by clocks that jump by years, between a job, its twin, and collecting",
    "every finished trial is in results.h5, whatever the files' dates say",
)
def dates(bench: Bench) -> None:
    chance = random.Random(2)
    for turn in bench.times(long=60, short=3):
        with bench.trying(f"dates {turn}"):
            folder = a_run(bench.folder() / "run", slices=2, trials=2)
            for index, host in ((0, "c1"), (0, "c2"), (1, "c1")):
                job(folder, index, host)
                for path in folder.path.rglob("*.*"):
                    at = chance.randrange(1, 100 * YEAR_NS)
                    os.utime(path, ns=(at, at))
                assert collected(folder) == recorded(folder)
            assert len(recorded(folder)) == 8


@fault(
    "the time of day jumps by days, forth and back, before each trial",
    "rounds, stopping and collecting go on as ever; latencies come from a clock that cannot jump",
)
def time_of_day(bench: Bench) -> None:
    chance = random.Random(3)
    for turn in bench.times(long=100, short=2):
        with bench.trying(f"jumps {turn}"):
            folder = a_run(bench.folder() / "run", trials=6)
            with patch.object(time, "time_ns", lambda: chance.randrange(1, 50 * YEAR_NS)):
                assert not job(folder).mistake
                found: Trials = collected(folder)
            assert found == recorded(folder)
            assert len(found) == 12
