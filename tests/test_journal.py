"""The journal: what was appended is there after any crash, and nothing else ever is."""

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suite.errors import UserError
from suite.journal import MAGIC, Journal, JournalContent, read_journal
from suite.results.normal import normal
from suite.results.rows import NodeRow, StateRow, TrialRow
from tests.rows import a_node, a_state, a_trial, an_instance, an_operator, rows, some_trials, trials

Row = NodeRow | TrialRow | StateRow


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job.journal"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journals") / "job.journal"


def journal_of(path: Path, *rows: Row, run_id: str = "run") -> bytes:
    path.unlink(missing_ok=True)
    with Journal(path, run_id) as journal:
        for row in rows:
            journal.append(row)
    return path.read_bytes()


def spelled(content: JournalContent | list[Row]) -> list[str]:
    """Spell rows to the last bit, for comparison."""
    if isinstance(content, JournalContent):
        content = [*content.nodes, *content.trials, *content.states]
    return [
        repr({n: v.tobytes() if isinstance(v, np.ndarray) else v for n, v in vars(row).items()})
        for row in content
    ]


SMALL: list[Row] = [a_node(), *(a_trial(f"t{n}", np.arange(n) + 7) for n in range(3)), a_state()]


def ends_of(path: Path) -> list[int]:
    """Return the size of the journal of SMALL after each of its rows."""
    return [len(journal_of(path, *SMALL[:count])) for count in range(len(SMALL) + 1)]


@given(
    node=rows(NodeRow, node_id="n0"),
    first=trials("t0"),
    second=trials("t1"),
    state=rows(StateRow, state_node_id="n0"),
    run_id=st.text(),
)
def test_what_is_appended_is_read(
    scratch: Path, *, node: NodeRow, first: TrialRow, second: TrialRow, state: StateRow, run_id: str
) -> None:
    journal_of(scratch, node, state, first, second, run_id=run_id)
    content = read_journal(scratch)
    assert spelled(content) == spelled([normal(row) for row in (node, first, second, state)])
    assert (content.run_id, content.torn_bytes, content.damaged_bytes) == (run_id, 0, 0)


def test_numbers_of_numpy_can_be_appended(path: Path) -> None:
    journal_of(path, a_trial(load_ns=np.int64(7), clock_overhead_ns=np.float64(1.5)))
    (trial,) = read_journal(path).trials
    assert (trial.load_ns, trial.clock_overhead_ns) == (7, 1.5)


def test_a_later_writer_goes_on(path: Path) -> None:
    journal_of(path, a_node(), a_trial("t0"))
    with Journal(path, "run") as journal:
        journal.append(a_node())
        journal.append(a_trial("t1"))
    content = read_journal(path)
    assert len(content.nodes) == 1
    assert [trial.trial_id for trial in content.trials] == ["t0", "t1"]


# Damage


def test_a_cut_anywhere_costs_the_cut_record_alone(path: Path) -> None:
    ends = ends_of(path)
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        kept = sum(end <= size for end in ends) - 1
        content = read_journal(path)
        assert spelled(content) == spelled(SMALL[:kept])
        assert content.torn_bytes == size - ends[kept]
        assert content.damaged_bytes == 0


@pytest.mark.parametrize("lost", [1, 15, 200])
def test_a_writer_cuts_off_what_is_torn(path: Path, lost: int) -> None:
    whole = journal_of(path, *SMALL)
    path.write_bytes(whole[:-lost])
    with Journal(path, "run") as journal:
        journal.append(SMALL[-1])
    assert path.read_bytes() == whole


@settings(max_examples=300)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_damaged_byte_costs_its_record_alone(scratch: Path, place: float, flip: int) -> None:
    ends = ends_of(scratch)
    content = bytearray(scratch.read_bytes())
    offset = int(place * len(content))
    content[offset] ^= flip
    scratch.write_bytes(content)
    hit = sum(end <= offset for end in ends) - 1
    read = read_journal(scratch)
    assert spelled(read) == spelled(SMALL[:hit] + SMALL[hit + 1 :])
    assert read.torn_bytes + read.damaged_bytes == ends[hit + 1] - ends[hit]


@given(garbage=st.binary(max_size=60), row=st.integers(0, len(SMALL)))
def test_garbage_between_records_costs_none(scratch: Path, garbage: bytes, row: int) -> None:
    ends = ends_of(scratch)
    whole = scratch.read_bytes()
    scratch.write_bytes(whole[: ends[row]] + MAGIC + garbage + whole[ends[row] :])
    assert spelled(read_journal(scratch)) == spelled(SMALL)


def test_a_magic_among_the_samples_is_no_record(path: Path) -> None:
    odd = a_trial("t0", np.frombuffer(MAGIC * 9, "<u8"))
    whole = journal_of(path, odd, a_trial("t1"))
    path.write_bytes(whole[:40] + b"\0" + whole[41:])
    assert [trial.trial_id for trial in read_journal(path).trials] == ["t1"]


# Without room, and again (tests/faults kills writers)


def run_python(script: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_without_room_the_journal_stays_as_it_was(path: Path) -> None:
    before = journal_of(path, *SMALL)
    script = f"""
import resource
from pathlib import Path
from suite.journal import Journal
from tests.rows import a_trial
with Journal(Path({str(path)!r}), "run") as journal:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 100}, resource.RLIM_INFINITY))
    try:
        journal.append(a_trial("big", range(1000)))
    except OSError as error:
        print(error.strerror, Path({str(path)!r}).stat().st_size)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.append(a_trial("later"))
"""
    assert run_python(script) == f"File too large {len(before)}\n"
    assert spelled(read_journal(path)) == spelled([*SMALL[:-1], a_trial("later"), SMALL[-1]])


def test_the_same_journal_gives_the_same_file_in_another_process(path: Path) -> None:
    journal_of(path, a_node(), *some_trials(20))
    script = f"""
import hashlib
from pathlib import Path
from suite.journal import read_journal
from suite.results import write_results
from tests.rows import some_results
content = read_journal(Path({str(path)!r}))
for name in ("a.h5", "b.h5"):
    target = Path({str(path.parent)!r}, name)
    write_results(target, some_results(nodes=content.nodes, trials=content.trials))
    print(hashlib.sha256(target.read_bytes()).hexdigest())
"""
    first, second = run_python(script), run_python(script)
    assert len(set((first + second).split())) == 1
    content = read_journal(path)
    assert spelled(content) == spelled([a_node(), *some_trials(20)])


# What is refused


def test_two_writers_are_refused(path: Path) -> None:
    with Journal(path, "run") as journal:
        with pytest.raises(UserError, match="written by another process"):
            Journal(path, "run")
        journal.append(a_trial())
    Journal(path, "run").close()


def test_another_run_is_refused(path: Path) -> None:
    before = journal_of(path, *SMALL)
    with pytest.raises(UserError, match="of the run 'run', and not of 'other'"):
        Journal(path, "other")
    assert path.read_bytes() == before


def test_records_of_two_runs_are_refused(path: Path) -> None:
    first = journal_of(path, a_node())
    path.write_bytes(first + journal_of(path, a_node(), run_id="other"))
    with pytest.raises(UserError, match="more than one run"):
        read_journal(path)


@pytest.mark.parametrize("content", [b"x", b"name = 'sweep'\n" * 50, MAGIC[:-1] + b"\x02 later"])
def test_what_is_no_journal_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match="no journal"):
        read_journal(path)
    with pytest.raises(UserError, match="no journal"):
        Journal(path, "run")
    assert path.read_bytes() == content


def test_a_journal_that_is_not_there(path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_journal(path)


# Other releases


def framed(record: dict[str, Any], samples: bytes = b"") -> bytes:
    """Make a record from nothing but the format's description."""
    text = json.dumps(record).encode()
    sizes = MAGIC + struct.pack("<II", len(text), len(samples))
    return sizes + struct.pack("<I", zlib.crc32(sizes + text + samples)) + text + samples


def test_the_format_is_the_described_one(path: Path) -> None:
    trial = a_trial("t0", [1, 2**63])
    values = {name: value for name, value in vars(trial).items() if name != "latency_ns"}
    record = framed(
        {"run_id": "run", "kind": "trial", "values": values}, struct.pack("<QQ", 1, 2**63)
    )
    assert journal_of(path, trial) == record


def test_what_a_later_release_adds_is_ignored(path: Path) -> None:
    values = {**vars(a_node()), "colour": "blue"}
    path.write_bytes(
        framed({"run_id": "run", "kind": "node", "values": values, "more": 1})
        + framed({"run_id": "run", "kind": "weather", "values": {}})
    )
    assert read_journal(path) == JournalContent(
        "run", (a_node(),), (), (), (), (), 0, 0, path.stat().st_size
    )


def test_instances_stay_with_their_trial(path: Path) -> None:
    """A fault between the two costs both; the trial is then taken once more."""
    lost, again = an_instance(instance_median_ns=1.0), an_instance(instance_median_ns=2.0)
    with Journal(path, "run") as journal:
        journal.append(lost)
    assert read_journal(path).instances == ()
    with Journal(path, "run") as journal:
        journal.append(again)
        journal.append(a_trial("t0000"))
        journal.append(an_operator())
    content = read_journal(path)
    assert content.instances == (again,)
    assert content.operators == (an_operator(),)


def test_a_row_that_lacks_a_field_is_refused(path: Path) -> None:
    path.write_bytes(framed({"run_id": "run", "kind": "node", "values": {"node_id": "n0"}}))
    with pytest.raises(UserError, match=r"another release of litesweep: .*'host'"):
        read_journal(path)
