"""Killed, at any byte, call or instant; and a power cut."""

import json
import random
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from jobs.cluster.sent import read_sent, record_answer, record_intent
from jobs.collect import collect
from jobs.plan import Plan
from jobs.run_folder import RunFolder
from jobs.worker import measure_slice
from suite.artifacts.needs import Need, read_needs, record_need
from suite.artifacts.store import ArtifactStore, describe
from suite.errors import UserError
from suite.journal import Journal, read_journal
from suite.results.read import read_results
from suite.results.rows import TrialRow
from tests.faults.disk import deadly, disk, moments
from tests.faults.fault import Bench, fault
from tests.faults.made_up import (
    CONTEXT,
    a_run,
    as_if_on,
    collected,
    job,
    recorded,
    spelled,
    start,
    start_job,
)
from tests.rows import a_node, a_state, a_trial, an_artifact


def numbered(number: int) -> TrialRow:
    """Return a trial that is like no other."""
    return a_trial(f"t{number}", np.arange(number % 3000) + number, start_unix_ns=number)


@fault(
    "a journal cut at any byte",
    "the record that was cut is lost and no other; the next writer goes on behind the rest",
)
def cut(bench: Bench) -> None:
    path = bench.folder() / "c1.journal"
    rows = [a_node(), numbered(7), a_state(), numbered(50)]
    ends = [0]
    with Journal(path, "run") as journal:
        for row in rows:
            journal.append(row)
            ends.append(path.stat().st_size)
    whole = path.read_bytes()
    around = {at for end in ends for at in (end - 1, end, end + 1)}
    for size in range(len(whole) + 1):
        if bench.short and size % 61 and size not in around:
            continue
        with bench.trying(f"cut at {size}"):
            path.write_bytes(whole[:size])
            kept = [row for row, end in zip(rows, ends[1:], strict=True) if end <= size]
            trials = [row for row in kept if isinstance(row, TrialRow)]
            assert spelled(read_journal(path).trials) == spelled(tuple(trials))
            with Journal(path, "run") as journal:
                journal.append(numbered(9))
            read = read_journal(path)
            assert spelled(read.trials) == spelled((*trials, numbered(9)))
            assert read.torn_bytes == read.damaged_bytes == 0


def write_until_killed(path: Path, first: int, acknowledge: Connection) -> None:
    """Append trials, and say so of each."""
    with Journal(path, "run") as journal:
        for number in range(first, 100_000):
            journal.append(numbered(number))
            acknowledge.send(number)


def remaining(receiver: Connection) -> Iterator[Any]:
    """Yield what is still on its way."""
    try:
        while True:
            yield receiver.recv()
    except (EOFError, OSError):
        return


@fault(
    "a journal's writer killed at a random instant",
    "all that it had appended is there, and at most the record in flight besides",
)
def random_instants(bench: Bench) -> None:
    chance = random.Random(0)
    for turn in bench.times(long=500, short=25):
        if turn % 25 == 0:  # each turn reads all of it, more than once
            path, written = bench.folder() / "c1.journal", 0
        with bench.trying(f"kill {turn}"):
            receiver, sender = CONTEXT.Pipe(duplex=False)
            writer = start(write_until_killed, path, written, sender)
            sender.close()
            for _ in range(chance.randrange(1, 8)):
                acknowledged = receiver.recv()
            writer.join(chance.random() * 0.003)
            writer.kill()
            writer.join()
            for number in remaining(receiver):
                acknowledged = number
            read = read_journal(path)
            written = len(read.trials)
            assert written - 1 in (acknowledged, acknowledged + 1), (written, acknowledged)
            assert spelled(read.trials) == spelled(numbered(n) for n in range(written))
            assert read.damaged_bytes == 0


@fault(
    "a job killed at a random instant, and begun again until it is done",
    "no finished trial is lost, none is measured again, none is counted twice",
)
def killed_jobs(bench: Bench) -> None:
    chance = random.Random(1)
    trials = 12
    while bench.tried < (300 if not bench.short else 8):
        folder = a_run(bench.folder() / "run", trials=trials)
        known: dict[str, tuple[int, bytes]] = {}
        at_most_s = 0.02
        while not folder.shard(0).exists():
            with bench.trying(f"kill {bench.tried}"):
                process, _ = start_job(folder, trial_s=0.004)
                while len(recorded(folder)) == len(known) < 2 * trials and process.is_alive():
                    process.join(0.002)
                # What is left to do at the end takes a while, and must be reached some time.
                at_most_s *= 1.5
                process.join(chance.random() * at_most_s)
                process.kill()
                process.join()
                now = recorded(folder)
                assert known.items() <= now.items(), "a finished trial is lost, or another"
                known = now
        with bench.trying("collected"):
            assert collected(folder) == known
            assert len(known) == 2 * trials


def everything(folder: RunFolder) -> None:
    """Write each kind of file that must be whole or absent: old ones are there."""
    Plan.read(folder.plan_file).write(folder.plan_file)
    record_intent(folder, "n", [0])
    record_answer(folder, "n", ["7"])
    with as_if_on("c1"):
        measure_slice(str(folder.path), 0)
    collect(folder)
    store = ArtifactStore(folder.path / "store")
    record_need(store, Need("run", folder.path, frozenset(["a0"])))
    with store.building(KEY) as scratch:
        (scratch / "model.tflite").write_bytes(b"model" * 1000)
        describe(scratch / "model.tflite", an_artifact(KEY), 1)


KEY = "ab" * 16


def die_on_the_way(path: Path, at: int) -> None:
    """Do so in a process of its own."""
    with disk(path, deadly(at)):
        everything(RunFolder(path))


@fault(
    "killed in front of a call that writes, flushes, names or removes a file: plan, sent.jsonl, "
    "journal, shard, results.h5, store",
    "each file is whole, the old one or the new one, or absent; doing it again completes it",
)
def at_every_call(bench: Bench) -> None:
    whole = a_run(bench.folder() / "run")
    with disk(whole.path) as layer:
        everything(whole)
    for at in moments(layer.names, bench.short):
        folder = a_run(bench.folder() / "run")
        with bench.trying(f"call {at}"):
            process = start(die_on_the_way, folder.path, at)
            process.join()
            assert process.exitcode == -signal.SIGKILL, process.exitcode
            check_whole(folder)
            before = recorded(folder)
            everything(folder)
            assert before.items() <= recorded(folder).items()
            assert collected(folder) == recorded(folder)
            assert len(recorded(folder)) == 6


def check_whole(folder: RunFolder) -> None:
    """Check that what is there is whole."""
    Plan.read(folder.plan_file)
    json.loads(folder.identity_file.read_text())
    assert all(sent.name == "n" for sent in read_sent(folder))
    known = recorded(folder)
    for file in (folder.shard(0), folder.results_file):
        if file.exists():
            assert spelled(read_results(file).trials).items() <= known.items()
    store = ArtifactStore(folder.path / "store")
    assert all(need.run_id == "run" for need in read_needs(store))
    if found := store.find(KEY):
        assert found.path.read_bytes() == b"model" * 1000


@fault(
    "the power is cut once something is acknowledged (the layer knows what was not flushed)",
    "a trial, a shard and results are on the disk, with their folders' entries, before they are "
    "acknowledged; no file has its name before its content is flushed",
)
def power(bench: Bench) -> None:
    folder = a_run(bench.folder() / "run")
    append = Journal.append

    def logs(path: str) -> bool:
        return path.startswith(str(folder.logs.resolve()))

    with disk(folder.path) as layer:

        def acknowledged(journal: Journal, *rows: Any) -> None:
            append(journal, *rows)
            with bench.trying("a record"):
                assert not [path for path in layer.unflushed if not logs(path)], layer.unflushed

        Journal.append = acknowledged  # type: ignore[method-assign]
        try:
            job(folder)
        finally:
            Journal.append = append  # type: ignore[method-assign]
        with bench.trying("the shard"):
            assert not [path for path in layer.unflushed if not logs(path)], layer.unflushed
        collect(folder)
        with bench.trying("results"):
            assert not [path for path in layer.unflushed if not logs(path)], layer.unflushed
        with bench.trying("names"):
            assert not [path for path in layer.early if not logs(path)], layer.early


@fault("two writers of one journal", "the second is refused, and told why")
def two_writers(bench: Bench) -> None:
    path = bench.folder() / "c1.journal"
    with bench.trying("two"), Journal(path, "run") as journal:
        try:
            Journal(path, "run")
        except UserError as error:
            assert "being written by another process" in str(error)
        else:
            raise AssertionError("both write")
        journal.append(a_node())
