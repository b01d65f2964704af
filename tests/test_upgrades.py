"""What earlier releases have written, from the first one on: it is read, and merges with ours.

The golden files were written by the releases themselves, from `some_results()`. A release that
changes the schema leaves a pair of its own here.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

from suite.journal import Journal, read_journal
from suite.results.merge import merge
from suite.results.normal import KINDS, results_of, rows_of
from suite.results.order import in_order
from suite.results.read import read_results
from suite.results.rows import READABLE, SCHEMA_VERSION, Column, Results
from suite.results.write import write_results
from tests.conftest import REPOSITORY
from tests.rows import a_trial, identical, some_results

GOLDEN = REPOSITORY / "tests" / "golden"
EARLIER = [version for version in READABLE if version != SCHEMA_VERSION]


def results_file(version: str) -> Path:
    return GOLDEN / f"results-{version}.h5"


def journal_file(version: str) -> Path:
    return GOLDEN / f"journal-{version}.journal"


def as_written_by(version: str) -> Results:
    """Return `some_results()` with what `version` did not know yet at its default."""
    with h5py.File(results_file(version)) as file:
        known = set(file)

    def without_later(row: Any) -> Any:
        fields = type(row).__dataclass_fields__
        later = {
            name: fields[name].default
            for name, kind in KINDS[type(row)].items()
            if isinstance(kind, Column) and name not in known
        }
        return replace(row, **later)

    assert "window_ns" not in known
    written = {d: map(without_later, rows) for d, rows in rows_of(some_results()).items()}
    return in_order(results_of(written, some_results().provenance))


def in_the_journal(version: str, *more: Path) -> Results:
    """Return what the journal of `version` adds to the run's results."""
    read = [read_journal(path) for path in (journal_file(version), *more)]
    assert all(content.damaged_bytes == content.torn_bytes == 0 for content in read)
    return replace(
        as_written_by(version),
        nodes=tuple(dict.fromkeys(node for content in read for node in content.nodes)),
        trials=tuple(trial for content in read for trial in content.trials),
        states=tuple(state for content in read for state in content.states),
    )


def test_every_earlier_release_has_left_its_files() -> None:
    versions = {path.stem.partition("-")[2] for path in GOLDEN.glob("results-*.h5")}
    assert versions == {*EARLIER}
    assert all(journal_file(version).exists() for version in EARLIER)


@pytest.mark.parametrize("version", EARLIER)
def test_its_results_are_read(version: str) -> None:
    assert identical(read_results(results_file(version)), as_written_by(version))


@pytest.mark.parametrize("version", EARLIER)
def test_its_journal_is_read(version: str) -> None:
    assert identical(in_order(in_the_journal(version)), as_written_by(version))
    assert read_journal(journal_file(version)).run_id == some_results().provenance["run_id"]


@pytest.mark.parametrize("version", EARLIER)
def test_its_journal_and_its_results_are_the_same_trials(version: str) -> None:
    both = merge([read_results(results_file(version)), in_the_journal(version)])
    assert identical(in_order(both), as_written_by(version))


@pytest.mark.parametrize("version", EARLIER)
def test_a_journal_that_it_began_is_gone_on_with(version: str, tmp_path: Path) -> None:
    journal, shard = tmp_path / "host.journal", tmp_path / "shard.h5"
    journal.write_bytes(journal_file(version).read_bytes())
    with Journal(journal, "run") as open_journal:
        open_journal.append(a_trial("new"))
    trials = [trial.trial_id for trial in read_journal(journal).trials]
    assert trials == [t.trial_id for t in some_results().trials] + ["new"]

    merged = merge([read_results(results_file(version)), in_the_journal(version, journal)])
    write_results(shard, merged)
    assert sorted(trial.trial_id for trial in read_results(shard).trials) == sorted(trials)
