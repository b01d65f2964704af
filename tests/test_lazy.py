"""Results opened lazily: the same numbers as row by row, one reading, within a bound of memory."""

import pickle
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
from analysis import blocks, measured, open_results, samples
from analysis.invocations import Found
from analysis.segments import Segments
from analysis.two_sorted import TwoSorted
from suite.errors import UserError
from suite.results.read import read_results
from suite.results.rows import Results
from suite.results.seal import seal
from suite.results.write import write_results
from tests.conftest import Litesweep, Opened
from tests.row_by_row import of_cells, of_trials
from tests.rows import POINT, a_cell, a_cluster, a_node, a_run, a_trial, an_artifact, some_results
from tests.scale.large import write_large
from tests.test_upgrades import EARLIER, results_file

MIB = 2**20


def motley(seed: int) -> Results:
    """Return results in which nothing is as in the cell before it."""
    random = np.random.default_rng(seed)

    def some(*values: Any) -> Any:
        return values[random.integers(len(values))]

    cells = [
        a_cell(
            f"c{n:02}",
            axes={
                **POINT,
                "model": f"m{n % 3}",
                "threads": 1 + n // 3,
                "cpu_type": some("local", "zen3"),
                "batch": some(1, 8),
            },
            artifact_key=some("a0", "a1", ""),
            build_error=some("", "", "", "", "no such layer"),
        )
        for n in range(24)
    ]
    trials = []
    for cell in cells:
        rate, energy, length = some(True, False, False), some(True, False), some(30, 900)
        for turn in range(0 if cell.build_error else random.integers(0, 12)):
            size = int(random.integers(1, length))
            middle = 10.0 ** random.integers(3, 11)
            trials.append(
                a_trial(
                    f"{cell.cell_id}-{turn}",
                    middle * random.lognormal(0, 0.05, size),
                    cell_id=cell.cell_id,
                    node_id=f"n{random.integers(4)}",
                    round=turn,
                    start_unix_ns=int(random.integers(10**15)),
                    warmup_count=int(random.integers(0, min(size, 5) + 1)),
                    status=some(*["ok"] * 9, "crashed"),
                    error=some("", "signal 11"),
                    output_digest=some("a", "a", "a", "a", "b"),
                    inner_loops=some(1, 1, 1, 3),
                    peak_rss_bytes=int(random.integers(10**9)),
                    operators_run=int(random.integers(99)),
                    counted_ns=random.uniform(1, 1e6) if rate else np.nan,
                    throughput_per_s=some(np.nan, 70.0),
                    offered_per_s=some(np.nan, 3.0) if rate else np.nan,
                    window_ns=some(np.nan, 1e9),
                    sampling_wall_ns=int(random.integers(10**9)),
                    package_energy_j=random.uniform(1, 9) if energy else np.nan,
                    dram_energy_j=some(np.nan, 0.5) if energy else np.nan,
                    idle_package_w=random.uniform(1, 9),
                    idle_dram_w=1.0,
                    steady_rss_bytes=some(np.nan, random.uniform(1, 1e9)),
                    validity=some(0, 0, 0, int(random.integers(2**12))),
                )
            )
    return some_results(
        cells=tuple(cells),
        artifacts=(
            an_artifact("a0", artifact_bytes=9, labelled_examples=5, labelled_top1=0.7),
            an_artifact("a1", holds="float32", recipe="int8"),
        ),
        nodes=tuple(a_node(f"n{n}", host=f"host{n // 2}") for n in range(4)),
        trials=tuple(trials),
        provenance={"run_id": "r", "sweep": "", "precision": "0.02"},
    )


def assert_as_row_by_row(results: Results, opened: xr.Dataset) -> None:
    """Check that every number is the same to the last bit."""
    by_cell, by_trial = of_cells(results), of_trials(results)
    axes = opened["status"].dims
    names = {node.node_id: f"host{n // 2}#{n % 2 + 1}" for n, node in enumerate(results.nodes)}
    points = {cell.cell_id: dict(cell.axes) for cell in results.cells}
    for cell_id, expected in by_cell.items():
        cell = opened.sel(points[cell_id])
        assert same({name: cell[name].item() for name in expected}, expected), cell_id
    for (cell_id, node, turn), expected in by_trial.items():
        at = {"node": names[node].removesuffix("#1"), "trial": turn}
        trial = opened.sel({**points[cell_id], **at})
        assert same({name: trial[name].item() for name in expected}, expected), (cell_id, node)
    assert (opened["cell_id"] != "").sum() == len(by_cell)
    assert opened["trial_median_ns"].notnull().sum() == len(by_trial)
    assert opened["median_ns"].dims == axes


def same(there: dict[str, Any], expected: dict[str, Any]) -> bool:
    return all(_spelled(there[name]) == _spelled(expected[name]) for name in expected)


def _spelled(value: Any) -> str:
    """Return a number as no other is spelled, and NaN as NaN."""
    return value if isinstance(value, str) else repr(float(value))


# The same numbers


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most", [1, 10**4, 10**7])
def test_by_columns_and_blocks_is_as_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, most: int
) -> None:
    results = motley(seed)
    write_results(tmp_path / "results.h5", results)
    monkeypatch.setattr(blocks, "BYTES_A_SAMPLE", 512 * MIB / most)
    opened = open_results(tmp_path).load()
    assert_as_row_by_row(results, opened)
    assert {*opened["status"].values.ravel()} >= {"ok", "failed", ""}


def test_tails_that_are_known_are_as_row_by_row(opened: Opened) -> None:
    random = np.random.default_rng(0)
    cells = tuple(a_cell(f"c{n}", axes={**POINT, "threads": n + 1}) for n in range(3))
    trials = tuple(
        a_trial(f"{n}-{t}", random.lognormal(14, 0.1, 3000 + 99 * t), cell_id=f"c{n}", round=t)
        for n in range(3)
        for t in range(8)
    )
    results = some_results(cells=cells, trials=trials)
    found = opened(results)
    assert found["p99_ns"].notnull().all()
    by_cell = of_cells(results)
    for cell in cells:
        values = found.sel(dict(cell.axes))
        expected = by_cell[cell.cell_id]
        assert same({name: values[name].item() for name in expected}, expected)


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_schema_is_judged_anew(version: str) -> None:
    file = results_file(version)
    (cell,) = of_cells(read_results(file)).values()
    opened = open_results(file).squeeze()
    assert same({name: opened[name].item() for name in cell}, cell)


@given(st.lists(st.lists(st.integers(0, 50), max_size=6), min_size=1, max_size=12), st.floats(0, 1))
def test_segments_are_as_their_arrays(lists: list[list[int]], share: float) -> None:
    arrays = [np.array(values, np.uint64) for values in lists]
    whole, values = Segments.end_to_end([len(a) for a in arrays]), np.concatenate(arrays)
    whole.sort(values)
    assert [a.tolist() for a in np.split(values, whole.starts[1:])] == [sorted(a) for a in lists]
    some = whole.that(whole.sizes > 0)
    full = [array for array in arrays if len(array)]
    assert some.quantile(values, share).tolist() == [np.quantile(a, share) for a in full]
    above = whole.at_least(values, np.full(len(lists), 20.5))
    assert above.tolist() == [int((array > 20).sum()) for array in arrays]


@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 9) | st.just(2**32 - 1), max_size=6), max_size=5).filter(
            any
        ),
        min_size=1,
        max_size=6,
    ),
    st.floats(0, 1),
    st.sampled_from([np.uint32, np.uint64, np.float64]),
)
def test_quantiles_of_parts_are_as_of_the_whole(
    unions: list[list[list[int]]], share: float, dtype: Any
) -> None:
    sorted_parts = [np.sort(np.array(part, dtype)) for parts in unions for part in parts]
    halves = TwoSorted.of(
        np.concatenate(sorted_parts),
        Segments.end_to_end([len(part) for part in sorted_parts]),
        Segments.end_to_end([len(parts) for parts in unions]),
    )
    expected = [np.quantile(np.array([*chain(*parts)], dtype), share) for parts in unions]
    assert halves.quantile(share).tolist() == expected


@pytest.mark.parametrize("longest", [2**32 - 2, 2**32 - 1, 2**32, 2**40])
def test_latencies_of_any_length_are_read_whole(opened: Opened, longest: int) -> None:
    found = opened(some_results(trials=(a_trial("t", [longest, longest, longest]),)))
    assert found["median_ns"].item() == found["min_ns"].item() == longest


# One reading, and only what is asked for


def test_samples_are_read_once_whatever_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path / "results.h5", a_cluster())
    readings = []

    def counted(*arguments: Any) -> Found:
        readings.append(arguments)
        return of_samples(*arguments)

    of_samples = measured.of_samples
    monkeypatch.setattr(measured, "of_samples", counted)
    results = open_results(tmp_path)
    assert not readings
    extra = analysis.quantiles(tmp_path), analysis.states(tmp_path)
    analysis.write_report(results, tmp_path / "report.html", *extra)
    assert open_results(tmp_path)["median_ns"].notnull().all()
    assert len(readings) == 1


def test_a_file_that_gives_way_to_another_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "results.h5"
    write_results(file, a_run(({}, [10] * 6)))
    before = open_results(file)
    write_results(file, a_run(({}, [20] * 6)))
    assert open_results(file)["median_ns"].item() == 20
    assert before["median_ns"].item() == 10


def test_a_file_that_is_written_to_is_not_read_on(opened: Opened, tmp_path: Path) -> None:
    results = opened(some_results())
    with (tmp_path / "results.h5").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(UserError, match="was written to meanwhile"):
        results["median_ns"].load()


def test_a_dataset_goes_to_another_process(opened: Opened) -> None:
    results = opened(a_cluster(2))
    xr.testing.assert_identical(pickle.loads(pickle.dumps(results)).load(), results.load())
    xr.testing.assert_identical(results.copy(deep=True), results)


def test_a_part_is_as_that_part_of_the_whole(opened: Opened, tmp_path: Path) -> None:
    part = opened(a_cluster()).sel(quantization="int8", threads=[4, 1], node="host3")
    whole = open_results(tmp_path).load()
    xr.testing.assert_identical(part.load(), whole.sel(part.drop_vars("verdict").coords))


def test_samples_are_cut_as_an_array(tmp_path: Path) -> None:
    write_results(tmp_path / "results.h5", motley(1))
    whole = samples(tmp_path, threads=2, warm_up=True).load()
    for key in (slice(7, 99), slice(400, None, 7), slice(50, 9, -3), 5, slice(3, 3)):
        part = samples(tmp_path, threads=2, warm_up=True)[key]
        xr.testing.assert_identical(part.load(), whole[key])


# Of dask


def test_numbers_are_dasks_where_chunks_are_asked_for(opened: Opened, tmp_path: Path) -> None:
    whole = opened(a_cluster(2)).load()
    lazy = open_results(tmp_path, chunks={"threads": 1})
    assert lazy["median_ns"].chunks == ((1,), (2,), (1, 1, 1), (1,))
    xr.testing.assert_identical(lazy.compute(), whole)
    latency = samples(tmp_path, chunks={"sample": 50})
    assert len(latency.chunks[0]) == -(-latency.size // 50)
    assert (latency > 10**7).mean().compute() == (samples(tmp_path) > 10**7).mean()
    by_round = latency["round"].compute()
    xr.testing.assert_identical(by_round, samples(tmp_path)["round"].compute())


# Memory


@pytest.mark.parametrize(
    ("said", "expected"), [("2 GiB", 2**31), ("64MiB", 2**26), ("0.5 GiB", 2**29), ("", 2**29)]
)
def test_memory_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, said: str, expected: int
) -> None:
    monkeypatch.setenv("LITESWEEP_MEMORY", said)
    assert blocks.memory_bytes() == expected
    assert blocks.memory_bytes(2**30) == 2**30


@pytest.mark.parametrize("said", ["much", "5 MiB", "-1 GiB", "512", "1 GB"])
def test_memory_that_will_not_do(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("LITESWEEP_MEMORY", said)
    with pytest.raises(UserError, match=r"LITESWEEP_MEMORY is|too little"):
        blocks.memory_bytes()


# Damage


@settings(max_examples=20)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_harmless_or_found(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped-lazily.h5"
    write_results(path, some_results())
    content = bytearray(path.read_bytes())
    whole = open_results(path).load()
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        opened = open_results(path).load()
    except UserError:
        return
    xr.testing.assert_identical(opened, whole)


def test_a_file_without_its_seal_is_held_to_its_digest(opened: Opened, tmp_path: Path) -> None:
    opened(some_results())
    file = tmp_path / "results.h5"
    with h5py.File(file, "r+") as content:  # this drops the seal
        content["latency_ns"][0] += 1
    with pytest.raises(UserError, match="was altered"):
        open_results(file)


def test_what_was_sealed_anew_is_found_by_verify(
    opened: Opened, tmp_path: Path, litesweep: Litesweep
) -> None:
    opened(some_results())
    file = tmp_path / "results.h5"
    with h5py.File(file, "r+") as content:
        content["latency_ns"][0] += 1
    with file.open("r+b") as sealed:
        seal(sealed)
    assert open_results(file)["status"].item() == "ok"
    with pytest.raises(UserError, match="was altered"):
        open_results(file, verify=True)
    assert litesweep("show", file).returncode == 0
    assert "was altered" in litesweep("show", file, "--verify").stderr


def test_a_column_of_another_length_is_another_releases(opened: Opened, tmp_path: Path) -> None:
    opened(some_results())
    file = tmp_path / "results.h5"
    with h5py.File(file, "r+") as content:
        del content["order"]
        content["order"] = np.zeros(99, "i4")
    with file.open("r+b") as sealed:
        seal(sealed)
    with pytest.raises(UserError, match="no variable 'order' along 'trial'"):
        open_results(file)


# Large files


def test_a_large_file_is_as_the_writer_would_write_it(tmp_path: Path) -> None:
    write_large(tmp_path / "large.h5", 120, 300)
    results = read_results(tmp_path / "large.h5")
    write_results(tmp_path / "written.h5", results)
    with h5py.File(tmp_path / "large.h5") as large, h5py.File(tmp_path / "written.h5") as written:
        assert large.attrs["content_digest"] == written.attrs["content_digest"]
        assert large.attrs["verdict"] == written.attrs["verdict"] == b"valid"
        assert list(large) == list(written)
    opened = open_results(tmp_path / "large.h5")
    assert dict(opened.sizes) == {
        **{"model": 2, "quantization": 5, "threads": 10, "cpu_type": 2},
        **{"node": 4, "trial": 3},
    }
    assert (opened["trials"].sum(), opened["status"].size) == (720, 200)
    chosen = analysis.quantiles(tmp_path / "large.h5", most=6000)
    assert dict(chosen.sizes) == {"cell": 10, "node": 4, "trial": 3, "quantile": 50}
    every = analysis.quantiles(tmp_path / "large.h5")
    there = every.sel({axis: chosen[axis] for axis in opened["status"].dims})
    np.testing.assert_array_equal(there.transpose(*chosen.dims), chosen)
