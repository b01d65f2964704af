"""Merging: what parts of a run become, in whatever order and however often they come."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suite.results.merge import MergeConflictError, merge
from suite.results.normal import in_order
from suite.results.read import read_results
from suite.results.rows import Results
from suite.results.write import write_results
from tests.rows import (
    a_cell,
    a_node,
    a_trial,
    an_artifact,
    identical,
    results,
    some_results,
    text,
    trials,
)


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
