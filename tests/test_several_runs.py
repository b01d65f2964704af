"""Several runs as one Dataset, and results as tables of other libraries."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr

from analysis import measured, open_results, speedup, to_csv, to_dataframe, to_json, to_parquet
from suite.errors import UserError
from suite.results.rows import Results
from suite.results.write import write_results
from tests.conftest import Litesweep, Opened
from tests.rows import POINT, a_cell, a_run, some_results

STEADY = [100, 101, 99, 100, 102, 98]


def before() -> Results:
    """Return a run of a grid with a hole."""
    provenance = {"name": "s", "created": "2026-01-01", "precision": "0.02"}
    other = {"quantization": "int8", "threads": 2}
    return a_run(({}, STEADY), (other, [50] * 6), provenance=provenance)


def after() -> Results:
    """Return a run of another grid, with more rounds."""
    provenance = {"name": "s", "created": "2026-02-02", "precision": "0.02"}
    cells = ({}, [200] * 8), ({"quantization": "dynamic", "threads": 16}, [20] * 6)
    return a_run(*cells, provenance=provenance)


def both(folder: Path) -> xr.Dataset:
    """Open the two of them."""
    paths = []
    for name, run in (("before", before()), ("after", after())):
        (folder / name).mkdir()
        write_results(folder / name / "results.h5", run)
        paths.append(folder / name)
    return open_results(paths)


def test_runs_lie_along_a_dimension_of_their_own(tmp_path: Path) -> None:
    results = both(tmp_path)
    assert results["run"].values.tolist() == ["before", "after"]
    assert results["quantization"].values.tolist() == ["float32", "int8", "dynamic"]
    assert results["threads"].values.tolist() == [1, 2, 16]
    medians = results["median_ns"].squeeze()
    assert medians.sel(quantization="float32", threads=1).values.tolist() == [100, 200]
    assert medians.sel(run="before", quantization="int8", threads=2) == 50
    assert results.sizes["trial"] == 8
    assert speedup(results, threads=1)["ratio"].dims == results["median_ns"].dims


def test_where_a_run_has_no_such_cell_there_is_nothing(tmp_path: Path) -> None:
    hole = both(tmp_path).sel(run="before", quantization="dynamic", threads=16).squeeze()
    assert hole["status"].item() == hole["verdict"].item() == hole["cell_id"].item() == ""
    assert hole["trials"].dtype == np.int64 and hole["trials"] == 0
    assert np.isnan(hole["median_ns"]) and np.isnan(hole["trial_median_ns"]).all()


def test_units_stay_and_provenance_is_where_it_differs(tmp_path: Path) -> None:
    results = both(tmp_path)
    assert results["median_ns"].attrs["units"] == "ns"
    assert results["created"].to_series().to_dict() == {
        "before": "2026-01-01",
        "after": "2026-02-02",
    }
    assert results.attrs["name"] == "s"
    assert "created" not in results.attrs


def test_nothing_of_several_runs_is_read_before_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = []
    of_samples = measured.of_samples
    monkeypatch.setattr(
        measured, "of_samples", lambda *args: (readings.append(args), of_samples(*args))[1]
    )
    results = both(tmp_path)
    chunked = open_results([tmp_path / "before", tmp_path / "after"], chunks={"run": 1})
    assert chunked["median_ns"].chunks is not None
    assert not readings
    assert results["median_ns"].sel(run="after").notnull().sum() == 2
    assert len(readings) == 1
    xr.testing.assert_identical(chunked.compute(), results.load())
    xr.testing.assert_identical(pickle.loads(pickle.dumps(results)), results)
    assert chunked.isel(run=slice(0, 0))["median_ns"].compute().shape[0] == 0
    assert open_results([tmp_path / "before"]).isel(run=[])["trials"].values.shape[0] == 0


def test_one_path_in_a_list_is_a_run_too(opened: Opened, tmp_path: Path) -> None:
    one = opened(before())
    in_list = open_results([tmp_path])
    assert in_list["run"].values.tolist() == [tmp_path.name]
    xr.testing.assert_equal(in_list.isel(run=0, drop=True), one)


def test_runs_of_one_name_are_numbered(tmp_path: Path) -> None:
    for parent in "ab":
        (tmp_path / parent / "demo").mkdir(parents=True)
        write_results(tmp_path / parent / "demo" / "results.h5", before())
    write_results(tmp_path / "demo.h5", before())
    paths = [tmp_path / "a" / "demo", tmp_path / "b" / "demo" / "results.h5", tmp_path / "demo.h5"]
    assert open_results(paths)["run"].values.tolist() == ["demo", "demo#2", "demo#3"]


def test_a_run_without_an_axis_of_later_times_is_at_its_default(tmp_path: Path) -> None:
    write_results(tmp_path / "plain.h5", before())
    write_results(tmp_path / "batch.h5", a_run(({"batch": 8}, STEADY), ({"batch": 1}, [50] * 6)))
    write_results(tmp_path / "bare.h5", a_run(({"runtime": "openvino"}, [70] * 6)))
    together = open_results([tmp_path / f"{name}.h5" for name in ("plain", "batch", "bare")])
    assert together["median_ns"].dims == ("run", *POINT, "batch", "runtime")
    cells = together["median_ns"].sel(quantization="float32", threads=1).squeeze()
    assert cells.sel(batch=1, runtime="litert").values.tolist()[:2] == [100, 50]
    assert cells.sel(batch=8, runtime="litert").values.tolist()[1] == 100
    assert cells.sel(run="bare", batch=1, runtime="openvino") == 70
    assert together["cores"].dims == ("run", "node")
    assert together["trials"].dtype == np.int64
    alone = open_results(tmp_path / "plain.h5")
    there = together.sel(run="plain", batch=1, runtime="litert")
    assert there["trials"].sum() == alone["trials"].sum() == 12


def test_runs_that_cannot_lie_on_one_grid(tmp_path: Path) -> None:
    write_results(tmp_path / "plain.h5", before())
    cell = replace(a_cell(), axes={"model": "resnet50"})
    write_results(tmp_path / "model.h5", some_results(cells=(cell,)))
    with pytest.raises(UserError, match="'model' has no axis 'cpu_type', which run 'plain' has"):
        open_results([tmp_path / "plain.h5", tmp_path / "model.h5"])
    with pytest.raises(UserError, match="no run"):
        open_results([])


# As other libraries have it


def test_a_row_a_cell(opened: Opened) -> None:
    results = opened(before())
    frame = to_dataframe(results)
    assert len(frame) == 2
    by_quantization = frame.set_index("quantization")
    assert by_quantization["median_ns"].to_dict() == {"float32": 100, "int8": 50}
    assert by_quantization["verdict"].to_dict() == {"float32": "", "int8": ""}
    assert list(frame.columns) == list(to_json(results)[0])
    assert frame["median_ns"].dtype == np.float64
    assert frame.attrs["created"] == "2026-01-01"


def test_of_several_runs_each_row_names_its_own(tmp_path: Path) -> None:
    frame = to_dataframe(both(tmp_path))
    assert frame.groupby("run").size().to_dict() == {"before": 2, "after": 2}
    assert to_csv(both_again := open_results([tmp_path / "before", tmp_path / "after"])).count(
        "\n"
    ) == 1 + len(to_json(both_again))


def test_nothing_measured_is_a_frame_all_the_same(opened: Opened) -> None:
    assert to_dataframe(opened(Results((), (), (), (), {}))).empty
    assert to_dataframe(opened(a_run(({}, []))))["median_ns"].isna().all()


def test_parquet_holds_the_same(opened: Opened, tmp_path: Path) -> None:
    results = opened(before())
    to_parquet(results, tmp_path / "cells.parquet")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "cells.parquet"), to_dataframe(results)
    )
    metadata = pq.read_schema(tmp_path / "cells.parquet").metadata  # type: ignore[no-untyped-call]
    assert json.loads(metadata[b"PANDAS_ATTRS"])["created"] == "2026-01-01"


def test_the_command_line_writes_parquet(
    opened: Opened, litesweep: Litesweep, tmp_path: Path
) -> None:
    opened(before())
    assert litesweep("show", tmp_path, "--parquet", "cells.parquet").returncode == 0
    assert len(pd.read_parquet(tmp_path / "cells.parquet")) == 2
