"""The HDF5 file: what goes in comes out, for every reader, and nothing else passes for it."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import suite.results
from suite.errors import UserError
from suite.results import seal
from suite.results.layout import content_digest
from suite.results.normal import DIMENSIONS, rows_of
from suite.results.order import in_order
from suite.results.read import read_results
from suite.results.rows import Results
from suite.results.write import write_results
from suite.verdict import reasons
from tests.rows import (
    a_cell,
    a_node,
    a_trial,
    identical,
    results,
    some_results,
    some_trials,
)

SHAPES = {
    "full": some_results(),
    "nothing": Results((), (), (), (), {}),
    "no trials": some_results(trials=()),
    "no samples": some_results(trials=(a_trial(latency_ns=()), a_trial("t1", ()))),
    "not built": Results((a_cell(artifact_key="", build_error="é𝄞 漢"),), (), (), (), {"a": ""}),
    "long text": some_results(provenance={"sweep": "# é\n" * 20_000, "empty": ""}),
    "compressed": some_results(trials=some_trials(99)),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quote' and blank" / "results.h5"


@pytest.fixture(autouse=True)
def folder(path: Path) -> None:
    path.parent.mkdir()


def written(path: Path, content: Results) -> bytes:
    write_results(path, content)
    return path.read_bytes()


def bytes_of(folder: Path, content: Results) -> bytes:
    return written(folder / "same.h5", content)


# Round trips and order


@every_shape
def test_what_is_written_is_read(path: Path, shape: Results) -> None:
    write_results(path, shape)
    assert identical(read_results(path), in_order(shape))


@settings(max_examples=40)
@given(content=results())
def test_whatever_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, content: Results
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.h5"
    write_results(path, content)
    assert identical(read_results(path), in_order(content))


@settings(max_examples=40)
@given(content=results(), random=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_the_file(
    tmp_path_factory: pytest.TempPathFactory, content: Results, random: Any
) -> None:
    folder = tmp_path_factory.getbasetemp()
    shuffled = Results(
        **{f"{d}s": tuple(random.sample(rows, len(rows))) for d, rows in rows_of(content).items()},
        provenance=dict(reversed(content.provenance.items())),
    )
    assert bytes_of(folder, content) == bytes_of(folder, shuffled)


def test_the_time_does_not_change_the_file(path: Path) -> None:
    before = written(path, some_results())
    time.sleep(1.1)  # HDF5 counts whole seconds
    assert written(path, some_results()) == before


def test_rows_are_sorted_so_that_the_samples_of_a_cell_lie_together(path: Path) -> None:
    content = some_results(
        cells=(a_cell("c0", threads=16), a_cell("c1", threads=2)),
        trials=(
            a_trial("t0", cell_id="c0", start_unix_ns=1),
            a_trial("t1", cell_id="c1", start_unix_ns=9),
            a_trial("t2", cell_id="c1", start_unix_ns=5),
        ),
    )
    write_results(path, content)
    again = read_results(path)
    assert [cell.cell_id for cell in again.cells] == ["c1", "c0"]
    assert [trial.trial_id for trial in again.trials] == ["t2", "t1", "t0"]


def test_text_that_no_file_can_hold_is_replaced_not_refused(path: Path) -> None:
    write_results(path, some_results(trials=(a_trial(error="a\0b\udcff\n"),)))
    assert read_results(path).trials[0].error == "a\ufffdb?\n"


def test_samples_that_were_read_cannot_be_changed(path: Path) -> None:
    write_results(path, some_results())
    with pytest.raises(ValueError, match="read-only"):
        read_results(path).trials[0].latency_ns[0] = 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (some_results(nodes=(a_node(), a_node())), "two nodes have one id"),
        (some_results(nodes=()), "trial's node_id is not there: 'n0'"),
        (some_results(artifacts=()), "cell's artifact_key is not there: 'a0'"),
        (some_results(cells=(a_cell(), a_cell("c1", axes={"model": "m"}))), "the same axes"),
        (some_results(cells=(a_cell(axes={"load_ns": 1}),)), "name of another variable"),
        (some_results(cells=(a_cell(axes={"cell": 1}),)), "variable, dimension or group"),
    ],
)
def test_rows_that_do_not_fit_together_are_not_written(
    path: Path, content: Results, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_results(path, content)
    assert not list(path.parent.iterdir())


def test_writing_takes_one_more_copy_of_the_samples(path: Path) -> None:
    latency = np.random.default_rng(0).normal(7e7, 1e6, 1 << 21).astype("u8")
    content = some_results(trials=(a_trial("t0", latency), a_trial("t1", latency)))
    tracemalloc.start()
    write_results(path, content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * 2 * latency.nbytes


def test_samples_take_less_than_half_of_their_size(path: Path) -> None:
    latency = np.random.default_rng(0).normal(7e7, 7e5, 100_000).astype("u8")
    write_results(path, some_results(trials=(a_trial(latency_ns=latency),)))
    assert path.stat().st_size < 4 * latency.size


# What readers see


@every_shape
@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_xarray_reads_it(path: Path, shape: Results, engine: Any) -> None:
    write_results(path, shape)
    with xr.open_dataset(path, engine=engine) as data:
        data.load()
    with xr.open_dataset(path, engine=engine, group="provenance") as provenance:
        provenance.load()
    dimensions = ("cell", "artifact", "node", "trial", "state", "sample")
    assert {d: data.sizes[d] for d in dimensions} == {
        "cell": len(shape.cells),
        "artifact": len(shape.artifacts),
        "node": len(shape.nodes),
        "trial": len(shape.trials),
        "state": len(shape.states),
        "sample": sum(len(trial.latency_ns) for trial in shape.trials),
    }
    in_file = in_order(shape)
    assert decoded(data.cell_id) == [cell.cell_id for cell in in_file.cells]
    assert decoded(data.build_error) == [cell.build_error for cell in in_file.cells]
    assert data.latency_ns.dtype == np.uint64
    assert data.latency_ns.values.tolist() == [n for t in in_file.trials for n in t.latency_ns]
    assert data.row_size.values.tolist() == [len(t.latency_ns) for t in in_file.trials]
    assert data.attrs["axes"].split() == (list(shape.cells[0].axes) if shape.cells else [])
    assert {k: decoded(v)[0] for k, v in provenance.items()} == shape.provenance


def decoded(array: xr.DataArray) -> list[str]:
    """h5netcdf gives fixed-length strings as bytes, netCDF4 as text."""
    return [v.decode() if isinstance(v, bytes) else v for v in array.values.ravel().tolist()]


@every_shape
def test_h5dump_of_hdf5_1_10_reads_it(path: Path, shape: Results) -> None:
    if not shutil.which("h5dump"):
        assert "CI" not in os.environ, "h5dump is to be there under CI: install hdf5-tools"
        pytest.skip("there is no h5dump on this machine (hdf5-tools)")
    write_results(path, shape)
    dump = subprocess.run(["h5dump", path], capture_output=True, text=True, check=True)
    assert not dump.stderr
    assert "STRSIZE H5T_VARIABLE" not in dump.stdout
    assert 'DATASET "latency_ns"' in dump.stdout
    assert all(f'"{cell.cell_id}"' in dump.stdout for cell in shape.cells)


@every_shape
def test_every_variable_is_described_and_of_a_portable_type(path: Path, shape: Results) -> None:
    write_results(path, shape)
    with h5py.File(path) as file:
        scales = {name for name, item in file.items() if getattr(item, "is_scale", False)}
        assert scales == {*DIMENSIONS, "sample"}
        variables = {name for name in file if name not in scales | {"provenance"}}
        for name in variables:
            (dimension,) = file[name].dims
            assert len(dimension) == 1
            assert dimension[0].name.strip("/") in scales
            assert file[name].attrs["long_name"]
            assert file[name].dtype.str[1:] in ("u4", "u8", "i4", "i8", "f8") or (
                file[name].dtype.kind == "S"
                and h5py.check_string_dtype(file[name].dtype).encoding == "utf-8"
            )


def test_units_flags_and_indices_follow_cf(path: Path) -> None:
    write_results(path, some_results())
    with xr.open_dataset(path, engine="h5netcdf") as data:
        assert data.attrs["Conventions"] == "CF-1.11"
        assert data.latency_ns.attrs["units"] == "ns"
        assert data.peak_rss_bytes.attrs["units"] == "byte"
        assert data.threads.attrs["units"] == "1"
        assert data.row_size.attrs["sample_dimension"] == "sample"
        assert data.cell_index.attrs["instance_dimension"] == "cell"
        assert data.state_node_index.attrs["instance_dimension"] == "node"
        assert data.validity.attrs["flag_masks"].dtype == data.validity.dtype
        meanings = data.validity.attrs["flag_meanings"].split()
        masks = data.validity.attrs["flag_masks"].tolist()
        assert [*reasons(sum(masks))] == meanings
        of_cells = data.cell_validity.attrs
        assert [*reasons(sum(of_cells["flag_masks"].tolist()))] == of_cells["flag_meanings"].split()
        assert data.start_unix_ns.dtype.kind == data.state_unix_ns.dtype.kind == "M"


def test_a_cell_without_an_artifact_has_index_minus_one(path: Path) -> None:
    write_results(path, SHAPES["not built"])
    with h5py.File(path) as file:
        assert file["artifact_index"][:].tolist() == [-1]


# What is refused


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(UserError, match="no results file"):
        read_results(path)


@pytest.mark.parametrize("content", [b"", b"name = 'sweep'\n", b"\x89HDF\r\n\x1a\n" * 100])
def test_a_file_that_is_not_hdf5(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match="no HDF5 file"):
        read_results(path)


def test_a_folder_is_no_file(path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_results(path.parent)


def test_a_truncated_file(path: Path) -> None:
    content = written(path, some_results())
    for size in range(0, len(content) - seal.SIZE, 997):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match="is damaged"):
            read_results(path)


def test_a_file_that_has_lost_its_seal_is_held_to_its_own_digest(path: Path) -> None:
    content = written(path, some_results())
    path.write_bytes(content[: -seal.SIZE // 2])
    assert identical(read_results(path), in_order(some_results()))


def test_a_foreign_hdf5_file(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["latency_ns"] = [1]
    with pytest.raises(UserError, match="not one of litesweep's"):
        read_results(path)


def test_another_schema(path: Path) -> None:
    write_results(path, some_results())
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = "2.0"
    with pytest.raises(UserError, match=r"schema 2\.0; this release reads 1\.1 and 1\.2"):
        read_results(path)


def test_a_file_from_before_a_variable_was_there(path: Path) -> None:
    write_results(path, some_results())
    with h5py.File(path, "r+") as file:
        del file["process_wall_ns"]
        arrays = {n: d[()] for n, d in file.items() if isinstance(d, h5py.Dataset)}
        arrays = {n: a for n, a in arrays.items() if not file[n].is_scale}
        axes = file.attrs["axes"].decode().split()
        provenance = {k: v[()].decode() for k, v in file["provenance"].items()}
        file.attrs["content_digest"] = content_digest(arrays, axes, provenance)
    with pytest.raises(UserError, match="no variable 'process_wall_ns': another release"):
        read_results(path)


@pytest.mark.parametrize("name", ["latency_ns", "validity", "threads"])
def test_an_altered_number(path: Path, name: str) -> None:
    write_results(path, some_results())
    with h5py.File(path, "r+") as file:
        file[name][0] += 1
    with pytest.raises(UserError, match="was altered"):
        read_results(path)


def test_altered_provenance(path: Path) -> None:
    write_results(path, some_results())
    with h5py.File(path, "r+") as file:
        file["provenance/run_id"][()] = b"nur"
    with pytest.raises(UserError, match="was altered"):
        read_results(path)


def test_a_tool_that_changes_no_content_does_no_harm(path: Path) -> None:
    write_results(path, some_results())
    with h5py.File(path, "r+") as file:
        file.attrs["history"] = "seen by a tool"
    assert identical(read_results(path), in_order(some_results()))


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_harmless_or_found(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.h5"
    content = bytearray(written(path, some_results()))
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        assert identical(read_results(path), in_order(some_results()))


def test_a_folder_that_is_not_there(path: Path) -> None:
    with pytest.raises(UserError, match="No such file or directory"):
        write_results(path / "results.h5", some_results())


def test_a_full_disk_leaves_the_old_file_alone(path: Path) -> None:
    before = written(path, some_results())
    script = f"""
import resource
from pathlib import Path
from tests.rows import some_results, some_trials
from suite.results.write import write_results
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
write_results(Path({str(path)!r}), some_results(trials=some_trials(99)))
"""
    ended = run_python(script, check=False)
    assert "UserError: The results cannot be written to" in ended.stderr
    assert "File too large" in ended.stderr
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before


def run_python(script: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=check,
    )


def test_the_front_has_what_it_names() -> None:
    assert all(getattr(suite.results, name) for name in suite.results.__all__)


def test_rows_can_be_had_without_hdf5() -> None:
    script = "import sys; from suite.results import TrialRow; print('h5py' in sys.modules)"
    assert run_python(script).stdout == "False\n"
