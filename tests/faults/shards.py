"""Shards that come twice, under other names, damaged, of another run, or not at all."""

import random
import shutil
from dataclasses import replace

from jobs.collect import collect
from jobs.run_folder import RunFolder
from suite.errors import UserError
from suite.results.merge import MergeConflictError
from suite.results.read import read_results
from suite.results.write import write_results
from tests.faults.fault import Bench, fault
from tests.faults.made_up import a_run, collected, job, recorded

SLICES = 3


def a_finished_run(bench: Bench) -> RunFolder:
    """Return a run of which all is measured."""
    folder = a_run(bench.folder() / "run", slices=SLICES, trials=2)
    for index in range(SLICES):
        job(folder, index, f"c{index}")
    return folder


@fault(
    "shards copied over others, swapped, and taken away",
    "every finished trial is in results.h5, once; the bytes are the same as ever",
)
def mixed_up(bench: Bench) -> None:
    folder = a_finished_run(bench)
    whole = recorded(folder)
    kept = [folder.shard(index).read_bytes() for index in range(SLICES)]
    chance = random.Random(4)
    collect(folder)
    before = folder.results_file.read_bytes()
    for turn in bench.times(long=100, short=6):
        with bench.trying(f"turn {turn}"):
            for index in range(SLICES):
                folder.shard(index).unlink(missing_ok=True)
                if chance.random() < 0.8:
                    folder.shard(index).write_bytes(chance.choice(kept))
            assert collected(folder) == whole
            if any(folder.shard(index).exists() for index in range(SLICES)):  # they name packages
                assert folder.results_file.read_bytes() == before


@fault(
    "a shard damaged at any byte",
    "it is refused by name, never read as something else; without it, its journals are collected",
)
def damaged(bench: Bench) -> None:
    folder = a_finished_run(bench)
    whole = recorded(folder)
    good = folder.shard(1).read_bytes()
    chance = random.Random(5)
    for _ in bench.times(long=200, short=8):
        at = chance.randrange(len(good))
        with bench.trying(f"byte {at}"):
            bad = bytearray(good)
            bad[at] ^= chance.randrange(1, 256)
            folder.shard(1).write_bytes(bad)
            try:
                collect(folder)
            except UserError as error:
                assert str(folder.shard(1)) in str(error) and "the journals of c1" in str(error)
            else:
                raise AssertionError("it was taken")
            folder.shard(1).unlink()
            assert collected(folder) == whole


@fault(
    "a shard of another run, a shard with another's numbers", "both are refused; nothing is mixed"
)
def contradicting(bench: Bench) -> None:
    folder = a_finished_run(bench)
    other = a_run(bench.folder() / "run", slices=SLICES, trials=2, run_id="other")
    job(other, 1, "c1")
    good = read_results(folder.shard(1))
    forged = replace(good.trials[0], latency_ns=good.trials[0].latency_ns + 1)
    collect(folder)
    before = folder.results_file.read_bytes()
    for what in ("another run", "other numbers"):
        with bench.trying(what):
            if what == "another run":
                shutil.copy(other.shard(1), folder.shard(1))
            else:
                write_results(folder.shard(1), replace(good, trials=(forged, *good.trials[1:])))
                folder.shard(2).write_bytes(folder.shard(1).read_bytes())
                write_results(folder.shard(1), good)
            try:
                collect(folder)
            except MergeConflictError as error:
                assert "contradict each other" in str(error)
            else:
                raise AssertionError("they were mixed")
            assert folder.results_file.read_bytes() == before
