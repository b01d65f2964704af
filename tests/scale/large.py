"""Files of results as large as one likes, written piece by piece: nothing of them is in memory."""

from itertools import islice, product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from suite.atomic import whole_file
from suite.results.layout import content_digest
from suite.results.seal import seal
from suite.results.write import CHUNK_BYTES, LEAST_COMPRESSED_BYTES, write_results
from tests.rows import a_cell, a_node, a_trial, an_artifact, some_results

QUANTIZATIONS = ("dynamic", "float16", "float32", "int4", "int8")
THREADS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48)
CPU_TYPES = ("skylake", "zen3")
NODES, ROUNDS = 2, 3
"""Nodes of each CPU type, and trials of a cell on each."""
TRIALS = NODES * ROUNDS
WARM_UP = (3, 10)
PIECE = CHUNK_BYTES // 8
DAY_NS = 86_400 * 10**9

Array = npt.NDArray[Any]


def write_large(path: Path, cells: int, samples: int, repeat: int = 1) -> None:
    """Write so many cells of about so many samples each, all of them valid.

    The variables are those of a small file of the real writer; what is drawn is the latencies, the
    sizes of trials, and their warm-up. With `repeat` the latencies of the first cells come again
    so often: to draw and to compress them is what takes the time.
    """
    with whole_file(path) as temporary:
        small = temporary.with_suffix(".small")
        write_results(small, _template())
        try:
            with (
                h5py.File(small) as template,
                h5py.File(temporary, "w", libver=("v108", "v110")) as file,
            ):
                _fill(template, file, cells, samples, repeat)
        finally:
            small.unlink()
        with temporary.open("r+b") as whole:
            seal(whole)


def _template() -> Any:
    """Return results with one row of each kind."""
    trial = a_trial(
        "0" * 16,
        [10**7],
        process_wall_ns=2 * 10**9,
        load_ns=5 * 10**7,
        first_invocation_ns=2 * 10**7,
        effective_parallelism=0.99,
        threads_seen=2,
        peak_rss_bytes=2**28,
        operators_run=70,
        operators_delegated=68,
        output_digest="0" * 64,
        cpus_pinned="0-1",
        clock_overhead_ns=40.0,
    )
    return some_results(
        cells=(a_cell("0" * 16, model="0" * 16, quantization="float32", cpu_type="skylake"),),
        artifacts=(an_artifact(artifact_bytes=2**26, error_rel_l2=1e-3),),
        nodes=(a_node(host="0" * 8, cpu_name="made up", cores=64),),
        trials=(trial.__class__(**{**vars(trial), "cell_id": "0" * 16}),),
        states=(),
        provenance={"name": "large", "run_id": "large", "sweep": "", "precision": "1"},
    )


def _fill(template: h5py.File, file: h5py.File, cells: int, samples: int, repeat: int) -> None:
    random = np.random.default_rng(0)
    least, most = samples // TRIALS * 9 // 10, samples // TRIALS * 11 // 10
    first_sizes = random.integers(least, most, cells // repeat * TRIALS)
    if repeat > 1:  # they fill whole chunks
        each, rest = divmod(int(-first_sizes.sum() % PIECE), len(first_sizes))
        first_sizes += each
        first_sizes[:rest] += 1
    sizes = np.tile(first_sizes, repeat)
    own = {**_of_cells(cells), **_of_trials(cells, sizes, random), **_of_nodes()}
    rows = {"cell": cells, "trial": len(sizes), "node": len(own["node_id"]), "sample": sizes.sum()}
    for name, item in template.items():
        if isinstance(item, h5py.Dataset) and item.is_scale:
            size = int(rows.get(name, len(item)))
            scale = file.create_dataset(name, (size,), ">f4", track_times=False)
            scale.make_scale(f"This is a netCDF dimension but not a netCDF variable.{size:10d}")
    for name, item in template.items():
        if not isinstance(item, h5py.Dataset) or item.is_scale:
            continue
        dimension = item.dims[0][0].name.lstrip("/")
        if dimension == "sample":
            column = _dataset(file, name, (int(rows["sample"]),), item.dtype)
            _draw(column, first_sizes, random)
            _repeat(column, int(first_sizes.sum()))
        else:
            count = rows.get(dimension, len(item))
            values = own.get(name, np.repeat(item[:1], count) if dimension in rows else item[:])
            values = values.astype(item.dtype) if values.dtype.kind != "S" else values
            column = _dataset(file, name, values.shape, values.dtype)
            column[...] = values
        for key, value in item.attrs.items():
            if key != "DIMENSION_LIST":
                column.attrs[key] = value
        column.dims[0].attach_scale(file[dimension])
    template.copy("provenance", file)
    for key, value in template.attrs.items():
        file.attrs[key] = value
    columns = {n: d for n, d in file.items() if isinstance(d, h5py.Dataset) and not d.is_scale}
    axes = tuple(template.attrs["axes"].decode().split())
    provenance = {key: value[()].decode() for key, value in file["provenance"].items()}
    file.attrs["verdict"] = np.bytes_("valid")
    file.attrs["content_digest"] = np.bytes_(content_digest(columns, axes, provenance))


def _dataset(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any) -> h5py.Dataset:
    storage: dict[str, Any] = {}
    itemsize = np.dtype(dtype).itemsize
    if shape[0] * itemsize >= LEAST_COMPRESSED_BYTES:
        chunk = min(shape[0], max(1, CHUNK_BYTES // itemsize))
        storage = {
            "chunks": (chunk,),
            "shuffle": True,
            "compression": "gzip",
            "compression_opts": 1,
        }
    return file.create_dataset(name, shape, dtype, track_times=False, **storage)


def _numbered(count: int) -> Array:
    return np.char.mod("%016x", np.arange(count)).astype("S16")


def _of_cells(count: int) -> dict[str, Array]:
    a_model = len(QUANTIZATIONS) * len(THREADS) * len(CPU_TYPES)
    points = islice(product(range(count), QUANTIZATIONS, THREADS, CPU_TYPES), count)
    model, quantization, threads, cpu_type = map(np.array, zip(*points, strict=True))
    assert model.max() == (count - 1) // a_model
    return {
        "cell_id": _numbered(count),
        "model": np.char.mod("model-%06d", model).astype("S"),
        "quantization": quantization.astype("S"),
        "threads": threads,
        "cpu_type": cpu_type.astype("S"),
        "artifact_index": np.zeros(count, np.int32),
        "cell_validity": np.zeros(count, np.uint32),
    }


def _of_trials(cells: int, sizes: Array, random: np.random.Generator) -> dict[str, Array]:
    count = cells * TRIALS
    cell = np.repeat(np.arange(cells), TRIALS)
    turn = np.tile(np.repeat(np.arange(ROUNDS), NODES), cells)
    node = np.tile(np.arange(NODES), cells * ROUNDS) + NODES * (cell % len(CPU_TYPES))
    return {
        "trial_id": _numbered(count),
        "cell_index": cell,
        "node_index": node,
        "round": turn,
        "order": cell,
        "start_unix_ns": 1_793_000_000 * 10**9 + turn * DAY_NS + cell * 10**9 + node,
        "row_size": sizes,
        "warmup_count": random.integers(*WARM_UP, count),
    }


def _of_nodes() -> dict[str, Array]:
    count = NODES * len(CPU_TYPES)
    return {
        "node_id": _numbered(count),
        "host": np.char.mod("node%04d", np.arange(count)).astype("S"),
        "microarchitecture": np.repeat(np.array(CPU_TYPES, "S"), NODES),
    }


def _draw(column: h5py.Dataset, sizes: Array, random: np.random.Generator) -> None:
    """Draw latencies: cells differ, trials by 2 %, invocations by 3 %, and a spike in a hundred."""
    cells = np.repeat(random.lognormal(np.log(1e7), 1, len(sizes) // TRIALS), TRIALS)
    levels = cells * random.lognormal(0, 0.02, len(sizes))
    ends = sizes.cumsum()
    for first in range(0, int(ends[-1]), PIECE):
        last = min(first + PIECE, int(ends[-1]))
        trials = np.arange(
            np.searchsorted(ends, first, side="right"), np.searchsorted(ends, last) + 1
        )
        trials = trials[trials < len(sizes)]
        inside = np.minimum(ends[trials], last) - np.maximum(ends[trials] - sizes[trials], first)
        noise = np.exp(0.03 * random.standard_normal(last - first, np.float32))
        noise[random.integers(0, last - first, (last - first) // 100)] *= 1.5
        column[first:last] = np.repeat(levels[trials], inside) * noise


def _repeat(column: h5py.Dataset, drawn: int) -> None:
    """Fill the rest of a column with the chunks that are there."""
    for first in range(drawn, len(column), PIECE):
        _, chunk = column.id.read_direct_chunk((first % drawn,))
        column.id.write_direct_chunk((first,), chunk)
