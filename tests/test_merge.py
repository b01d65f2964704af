"""Merging: what parts of a run become, in whatever order and however often they come."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suite.errors import UserError
from suite.results.merge import JOB_PREFIX, MergeConflictError, merge
from suite.results.merge_files import merge_files
from suite.results.normal import id_of, normal, results_of, rows_of
from suite.results.order import in_order
from suite.results.read import read_results
from suite.results.rows import Results
from suite.results.write import write_results
from tests.conftest import REPOSITORY
from tests.rows import (
    a_cell,
    a_node,
    a_state,
    a_trial,
    an_artifact,
    an_instance,
    an_operator,
    identical,
    results,
    some_results,
    some_trials,
    text,
    trials,
)
from tests.test_results import run_python


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.h5"


def bytes_of(folder: Path, content: Results) -> bytes:
    write_results(folder / "same.h5", content)
    return (folder / "same.h5").read_bytes()


@st.composite
def shards(draw: st.DrawFn) -> list[Results]:
    """Draw parts of the same results, which overlap at will."""
    whole = draw(results())
    count = draw(st.integers(1, 4))
    parts = []
    for _ in range(count):
        chosen = [trial for trial in whole.trials if draw(st.booleans())]
        there = {trial.trial_id for trial in chosen}
        operators = [row for row in whole.operators if draw(st.booleans())]
        cells = {row.operator_cell_id for row in operators} | {trial.cell_id for trial in chosen}
        parts.append(
            replace(
                whole,
                cells=tuple(c for c in whole.cells if c.cell_id in cells or draw(st.booleans())),
                trials=tuple(chosen),
                instances=tuple(i for i in whole.instances if i.instance_trial_id in there),
                operators=tuple(operators),
                provenance={**whole.provenance, "job_id": draw(text)},
            )
        )
    return parts


@settings(max_examples=40)
@given(parts=shards(), random=st.randoms(use_true_random=False))
def test_merging_does_not_depend_on_order(
    tmp_path_factory: pytest.TempPathFactory, parts: list[Results], random: Any
) -> None:
    folder = tmp_path_factory.getbasetemp()
    shuffled = random.sample(parts, len(parts))
    assert bytes_of(folder, merge(parts)) == bytes_of(folder, merge(shuffled))


@given(parts=shards(), cut=st.integers(1, 3))
def test_merging_is_associative_and_idempotent(parts: list[Results], cut: int) -> None:
    whole = merge(parts)
    left, right = parts[:cut], parts[cut:]
    assert identical(merge([merge(left), *right]), whole)
    assert identical(merge([*left, merge(right or left)]), whole)
    assert identical(merge([whole, *parts, whole]), whole)


def test_merging_unites_what_jobs_measured() -> None:
    first = some_results(
        trials=(a_trial("t0"), a_trial("t1")), provenance={"run_id": "r", "job_id": "7"}
    )
    second = some_results(
        cells=(a_cell(), a_cell("c1", threads=2)),
        artifacts=(an_artifact(), an_artifact("a1")),
        nodes=(a_node(), a_node("n1")),
        trials=(a_trial("t1"), a_trial("t2", cell_id="c1", node_id="n1")),
        provenance={"run_id": "r", "job_id": "12"},
    )
    both = merge([second, first])
    assert [trial.trial_id for trial in both.trials] == ["t0", "t1", "t2"]
    assert [len(both.cells), len(both.artifacts), len(both.nodes)] == [2, 2, 2]
    assert both.provenance == {"run_id": "r", "job_id": "12\n7"}


@pytest.mark.parametrize(
    ("first", "second", "what", "field"),
    [
        (
            some_results(),
            some_results(trials=(a_trial("t0001", [1]),)),
            "trial 't0001'",
            "latency_ns",
        ),
        (some_results(), some_results(cells=(a_cell(threads=2),)), "cell 'c0'", "axes"),
        (some_results(), some_results(nodes=(a_node(cores=3),)), "node 'n0'", "cores"),
        (
            some_results(artifacts=(an_artifact(error_cosine=0.0),)),
            some_results(artifacts=(an_artifact(error_cosine=-0.0),)),
            "artifact 'a0'",
            "error_cosine",
        ),
        (some_results(), some_results(provenance={"run_id": "other"}), "provenance", "run_id"),
        (some_results(), some_results(provenance={"run_id": "run"}), "provenance", "sweep"),
    ],
)
def test_contradictions_are_refused(first: Results, second: Results, what: str, field: str) -> None:
    for parts in ([first, second], [second, first]):
        with pytest.raises(MergeConflictError, match=f"in {what}: ") as caught:
            merge(parts)
        assert field in caught.value.differences


@given(trial=trials("t0"))
def test_the_same_trial_twice_is_no_contradiction(trial: Any) -> None:
    once = some_results(trials=(trial,))
    copy = replace(trial, latency_ns=trial.latency_ns.copy())
    assert identical(merge([once, some_results(trials=(copy,))]), in_order(once))


def test_a_shard_and_its_file_are_no_contradiction(path: Path) -> None:
    odd = some_results(trials=(a_trial(error="a\0\udcff", clock_overhead_ns=-float("nan")),))
    write_results(path, odd)
    assert identical(merge([odd, read_results(path)]), read_results(path))


def test_nothing_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="nothing to merge"):
        merge([])


# Files


def merged(parts: Sequence[Results]) -> Results:
    """Merge row by row, as the format says: the model that the columns are held against."""
    rows: dict[str, list[Any]] = {}
    for dimension in rows_of(parts[0]):
        known: dict[str, Any] = {}
        for row in (normal(row) for part in parts for row in rows_of(part)[dimension]):
            if repr(known.setdefault(id_of(row), row)) != repr(row):
                raise MergeConflictError(dimension, {})
        rows[dimension] = [*known.values()]
    jobs = {k for part in parts for k in part.provenance if k.startswith(JOB_PREFIX)}
    lines = {k: {p.provenance[k] for p in parts if p.provenance.get(k)} for k in jobs}
    told = {k: "\n".join(sorted(lines[k])) for k in jobs}
    return in_order(results_of(rows, {**parts[0].provenance, **told}))


def spoilt(part: Results) -> Results:
    """Return `part` with another sample in its last trial."""
    *others, last = part.trials
    return replace(
        part, trials=(*others, replace(last, latency_ns=np.append(last.latency_ns, np.uint64(1))))
    )


@settings(max_examples=20)
@given(
    parts=shards(),
    random=st.randoms(use_true_random=False),
    as_files=st.lists(st.booleans(), min_size=4, max_size=4),
    spoil=st.booleans(),
)
def test_files_merge_as_their_rows_do(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[Results],
    random: Any,
    as_files: list[bool],
    spoil: bool,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    if spoil and parts[0].trials:
        parts = [spoilt(parts[0]), *parts]
    given = []
    for number, (part, as_file) in enumerate(zip(parts, as_files * 2, strict=False)):
        write_results(folder / f"{number}.h5", part)
        given.append(folder / f"{number}.h5" if as_file else part)
    try:
        wanted = bytes_of(folder, merged(parts))
    except MergeConflictError:
        with pytest.raises(MergeConflictError, match="latency_ns"):
            merge_files(folder / "merged.h5", random.sample(given, len(given)))
    else:
        merge_files(folder / "merged.h5", random.sample(given, len(given)))
        assert (folder / "merged.h5").read_bytes() == wanted


def some_parts() -> list[Results]:
    """Return what two jobs have left, and the plan."""
    plan = some_results(
        cells=(a_cell(), a_cell("c1", threads=2), a_cell("c2", artifact_key="", build_error="é")),
        artifacts=(an_artifact("a1", error_rel_l2=float("nan")), an_artifact()),
        nodes=(),
        trials=(),
        states=(),
    )
    first = some_results(
        instances=(an_instance("i1", instance_number=1), an_instance()),
        operators=(an_operator("o1", operator_place=1), an_operator()),
        provenance={**plan.provenance, "job_slurm": "7 on host"},
    )
    second = some_results(
        cells=(a_cell("c1", threads=2), a_cell()),
        nodes=(a_node("n1", host="other"), a_node()),
        trials=(a_trial("t9", cell_id="c1", node_id="n1", error="漢"), *some_trials(2)),
        states=(a_state("s1", state_node_id="n1"), a_state()),
        provenance={**plan.provenance, "job_slurm": "12 on other"},
    )
    return [plan, first, second]


def test_files_that_several_processes_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suite.results.merge_files.TOGETHER", 2)
    files = [path.with_name(f"{number}.h5") for number in range(5)]
    for file, part in zip(files, some_parts() * 2, strict=False):
        write_results(file, part)
    merge_files(path, files)
    assert path.read_bytes() == bytes_of(path.parent, merge(some_parts()))

    write_results(files[0], some_results(provenance={"run_id": "other"}))
    with pytest.raises(MergeConflictError, match="in provenance: run_id is 'other' and 'run'"):
        merge_files(path, files)
    files[3].write_bytes(files[3].read_bytes()[1:])
    with pytest.raises(UserError, match=r"3\.h5' is damaged"):
        merge_files(path, files[1:])


def test_merged_files_are_what_they_were(path: Path) -> None:
    """The golden file was written from these parts when merging still held all rows at once.

    A variable that is added to the schema changes it: then, and only then, write it anew.
    """
    merge_files(path, some_parts())
    assert path.read_bytes() == (REPOSITORY / "tests/golden/merged-1.2.h5").read_bytes()


def test_the_samples_of_files_are_never_in_memory_together(path: Path) -> None:
    folder, each, count = path.parent, 50_000, 20
    random = np.random.default_rng(0)
    for number in range(count):
        latency = random.integers(10**6, 2 * 10**6, each)
        trial = a_trial(f"t{number}", latency, round=number, start_unix_ns=-number)
        write_results(folder / f"{number}.h5", some_results(trials=(trial,)))
    tracemalloc.start()
    try:
        merge_files(path, [folder / f"{number}.h5" for number in range(count)])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    last = np.random.default_rng(0).integers(10**6, 2 * 10**6, each)
    assert [*read_results(path).trials[-1].latency_ns] == [*last]
    assert most < 0.6 * 8 * each * count


FULL = """
import resource
from pathlib import Path
from suite.errors import UserError
from suite.results.merge_files import merge_files

folder = Path({folder!r})
parts = [*folder.glob("part-*.h5")]
for limit in range(0, {size}, {step}):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        merge_files(folder / "results.h5", parts)
    except UserError as error:
        assert "results.h5': File too large.\\nMake room" in str(error), error
    else:
        raise AssertionError(limit)
    assert {{*folder.iterdir()}} == {{*parts}}
"""


def test_a_disk_that_is_full_at_any_moment_leaves_nothing_behind(path: Path) -> None:
    folder = path.parent
    for number, part in enumerate([some_results(trials=some_trials(99)), *some_parts()]):
        write_results(folder / f"part-{number}.h5", part)
    merge_files(path, [*folder.glob("part-*.h5")])
    size = path.stat().st_size
    path.unlink()
    run_python(FULL.format(folder=str(folder), size=size, step=size // 40))
