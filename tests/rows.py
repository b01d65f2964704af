"""Results that are made up but valid, for tests: one by one, or drawn by hypothesis."""

from collections.abc import Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np
from hypothesis import strategies as st

from suite.results.normal import KINDS, rows_of
from suite.results.rows import (
    ArtifactRow,
    CellRow,
    Column,
    InstanceRow,
    NodeRow,
    OperatorRow,
    Results,
    StateRow,
    TrialFlag,
    TrialRow,
)
from suite.text import harmless

PLAIN = {"str": "", "f8": 0.0}
POINT = {"model": "resnet50", "quantization": "float32", "threads": 1, "cpu_type": "local"}


def a_row(row_type: type[Any], **values: Any) -> Any:
    """Return a row with zeros and empty text where `values` say nothing else."""
    plain = {
        name: PLAIN.get(kind.dtype, 0) if isinstance(kind, Column) else ""
        for name, kind in KINDS[row_type].items()
    }
    return row_type(**plain | values)


def a_cell(cell_id: str = "c0", **values: Any) -> CellRow:
    """Return a cell of the artifact a0; `values` may name axes too."""
    axes: dict[str, Any] = dict(POINT)
    for axis in axes.keys() & values.keys():
        axes[axis] = values.pop(axis)
    return a_row(CellRow, **{"cell_id": cell_id, "axes": axes, "artifact_key": "a0"} | values)


def an_artifact(artifact_key: str = "a0", **values: Any) -> ArtifactRow:
    """Return an artifact."""
    return a_row(ArtifactRow, artifact_key=artifact_key, **values)


def a_node(node_id: str = "n0", **values: Any) -> NodeRow:
    """Return a node."""
    return a_row(NodeRow, **{"node_id": node_id, "host": "host"} | values)


NOT_COUNTED = dict.fromkeys(
    (
        *("package_energy_j", "dram_energy_j", "idle_package_w", "idle_dram_w"),
        *("frequency_during_hz", "temperature_during_degc", "window_ns", "counted_ns"),
        *("throughput_per_s", "offered_per_s"),
    ),
    float("nan"),
)
"""What a machine as most are says of a trial."""


def a_trial(trial_id: str = "t0", latency_ns: Any = (30, 10, 11), **values: Any) -> TrialRow:
    """Return a trial of the cell c0 on the node n0."""
    plain = {"cell_id": "c0", "node_id": "n0", "status": "ok", "inner_loops": 1, **NOT_COUNTED}
    latency = np.array(latency_ns, np.uint64)
    return a_row(TrialRow, **plain | {"trial_id": trial_id, "latency_ns": latency} | values)


def a_state(state_id: str = "s0", **values: Any) -> StateRow:
    """Return a state of the node n0."""
    return a_row(StateRow, **{"state_id": state_id, "state_node_id": "n0"} | values)


def an_instance(instance_id: str = "i0", **values: Any) -> InstanceRow:
    """Return an instance of the trial t0000."""
    plain = {"instance_id": instance_id, "instance_trial_id": "t0000"}
    return a_row(InstanceRow, **plain | values)


def an_operator(operator_id: str = "o0", **values: Any) -> OperatorRow:
    """Return an operator of the cell c0 on the node n0."""
    plain = {"operator_id": operator_id, "operator_cell_id": "c0", "operator_node_id": "n0"}
    return a_row(OperatorRow, **plain | values)


def some_trials(count: int = 3) -> tuple[TrialRow, ...]:
    """Return trials of the cell c0, one a round."""
    return tuple(
        a_trial(f"t{n:04}", np.arange(300) + n, round=n, start_unix_ns=n) for n in range(count)
    )


def some_results(**values: Any) -> Results:
    """Return a cell with its artifact, a node, three trials and the state of the node before them.

    `values` replace any of them.
    """
    content: dict[str, Any] = {
        "cells": (a_cell(),),
        "artifacts": (an_artifact(),),
        "nodes": (a_node(),),
        "trials": some_trials(),
        "states": (a_state(),),
        "provenance": {"run_id": "run", "sweep": 'name = "s"\n'},
    }
    return Results(**content | values)


def a_run(*measured: tuple[Mapping[str, Any], Sequence[int]], **values: Any) -> Results:
    """Return a run: for each cell, where it lies (else at POINT) and its trials' latencies in ns.

    Trials are of one sample each, one a round; cells are c0, c1 ...; `values` are as for
    `some_results`.
    """
    cells = [a_cell(f"c{n}", axes={**POINT, **axes}) for n, (axes, _) in enumerate(measured)]
    trials = [
        a_trial(f"c{n}-{turn}", [latency], cell_id=f"c{n}", round=turn)
        for n, (_, latencies) in enumerate(measured)
        for turn, latency in enumerate(latencies)
    ]
    return some_results(**{"cells": tuple(cells), "trials": tuple(trials)} | values)


def a_cluster(
    nodes: int = 6,
    *,
    models: Sequence[str] = ("resnet50",),
    recipes: Mapping[str, tuple[float, int]] = MappingProxyType(
        {"float32": (1, 1), "int8": (4, 4)}
    ),
    threads: Sequence[int] = (1, 2, 4),
    cpu_types: Sequence[str] = ("local",),
    host: str = "host",
    slowest: float = 1.0,
    unsteady: str = "",
    **provenance: str,
) -> Results:
    """Return a run of all points, six rounds of them, with 1 % of noise.

    Parameters
    ----------
    nodes
        Of each CPU type; the last of each takes `slowest` times as long.
    recipes
        How many times faster and smaller each is than float32.
    unsteady
        The quantization whose trials had no steady state.
    """
    noise = np.random.default_rng(0)
    points = list(product(models, recipes, threads, cpu_types))
    places = list(product(cpu_types, range(nodes)))
    return some_results(
        cells=tuple(
            a_cell(f"c{n}", artifact_key=f"{model} {recipe}", model=model, quantization=recipe,
                   threads=count, cpu_type=cpu_type)
            for n, (model, recipe, count, cpu_type) in enumerate(points)
        ),
        artifacts=tuple(
            an_artifact(f"{model} {recipe}", artifact_bytes=2**26 // recipes[recipe][1])
            for model, recipe in product(models, recipes)
        ),
        nodes=tuple(
            a_node(f"{cpu_type} {n}", host=f"{host}{n + nodes * cpu_types.index(cpu_type)}",
                   cpu_name=cpu_type, cores=64)
            for cpu_type, n in places
        ),
        trials=tuple(
            a_trial(
                f"{cell}-{node}-{turn}",
                (
                    (slowest if node == nodes - 1 else 1)
                    * (4e7 / recipes[recipe][0] / count**0.9 / (1 + cpu_types.index(cpu_type) / 4))
                    * noise.lognormal(0, 0.01, 10)
                ).astype(int),
                cell_id=f"c{cell}",
                node_id=f"{cpu_type} {node}",
                round=turn,
                start_unix_ns=60 * 10**9 * turn + 10**9 * cell,
                validity=TrialFlag.NO_STEADY_STATE if recipe == unsteady else 0,
            )
            for cell, (_, recipe, count, cpu_type) in enumerate(points)
            for node in range(nodes)
            for turn in range(6)
        ),
        states=(),
        provenance={"name": "cluster", "sweep": "", "precision": "0.02", **provenance},
    )  # fmt: skip


integers = {"i4": st.integers(-(2**31), 2**31 - 1), "i8": st.integers(-(2**63), 2**63 - 1)}
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map(harmless)
columns: dict[str, st.SearchStrategy[Any]] = {
    **integers,
    "u4": st.integers(0, 2 * max(TrialFlag) - 1),
    "f8": st.floats(),
    "str": text,
}
latencies = st.lists(st.integers(0, 2**64 - 1), max_size=12).map(lambda v: np.array(v, "u8"))


def rows(row_type: type[Any], **fixed: Any) -> st.SearchStrategy[Any]:
    """Draw rows of `row_type`: any value in each column that `fixed` leaves open."""
    drawn = {n: columns[k.dtype] for n, k in KINDS[row_type].items() if isinstance(k, Column)}
    chosen = {n: v if isinstance(v, st.SearchStrategy) else st.just(v) for n, v in fixed.items()}
    return st.builds(row_type, **drawn | chosen)


def trials(trial_id: str, **fixed: Any) -> st.SearchStrategy[TrialRow]:
    """Draw trials of any content."""
    plain = {"cell_id": "c0", "node_id": "n0", "latency_ns": latencies}
    return rows(TrialRow, **plain | fixed, trial_id=trial_id)


@st.composite
def results(draw: st.DrawFn) -> Results:
    """Draw results of any size, none to a few rows along every dimension."""
    artifacts = [f"a{n}" for n in range(draw(st.integers(0, 2)))]
    cells = [f"c{n}" for n in range(draw(st.integers(0, 3)))]
    nodes = [f"n{n}" for n in range(draw(st.integers(0, 2)))]
    count = draw(st.integers(0, 4)) if cells and nodes else 0
    axes = st.builds(lambda m, t: {"model": m, "threads": t}, text, integers["i8"])
    keys = st.sampled_from(["", *artifacts])
    return Results(
        cells=tuple(draw(rows(CellRow, cell_id=c, axes=axes, artifact_key=keys)) for c in cells),
        artifacts=tuple(draw(rows(ArtifactRow, artifact_key=a)) for a in artifacts),
        nodes=tuple(draw(rows(NodeRow, node_id=n)) for n in nodes),
        trials=tuple(
            draw(trials(f"t{n}", cell_id=st.sampled_from(cells), node_id=st.sampled_from(nodes)))
            for n in range(count)
        ),
        provenance=draw(st.dictionaries(st.sampled_from(["run_id", "sweep", "job_id"]), text)),
        states=tuple(
            draw(rows(StateRow, state_id=f"s{n}", state_node_id=st.sampled_from(nodes)))
            for n in range(draw(st.integers(0, 3)) if nodes else 0)
        ),
        instances=tuple(
            draw(rows(InstanceRow, instance_id=f"i{n}", instance_trial_id=f"t{n % count}"))
            for n in range(draw(st.integers(0, 3)) if count else 0)
        ),
        operators=tuple(
            draw(
                rows(
                    OperatorRow,
                    operator_id=f"o{n}",
                    operator_cell_id=st.sampled_from(cells),
                    operator_node_id=st.sampled_from(nodes),
                )
            )
            for n in range(draw(st.integers(0, 3)) if cells and nodes else 0)
        ),
    )


def identical(a: Results, b: Results) -> bool:
    """Say whether two results are the same to the last bit, samples and NaN included."""
    return _spelled(a) == _spelled(b)


def _spelled(value: Any) -> Any:
    if isinstance(value, Results):
        lists = rows_of(value).values()
        return [[_spelled(row) for row in rows] for rows in lists], dict(value.provenance)
    row = {name: getattr(value, name) for name in KINDS[type(value)]}
    return {n: v.tobytes() if isinstance(v, np.ndarray) else repr(v) for n, v in row.items()}
