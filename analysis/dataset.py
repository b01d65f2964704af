"""Results as an xarray Dataset over the sweep's axes."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from analysis.cells import (
    ARTIFACT_VARIABLES,
    DELEGATION,
    FIGURES,
    LACKS,
    OF_TYPE,
    THROUGHPUT,
    TOLD,
    of_cells,
)
from analysis.frugality import CLIMATE_VARIABLES, ENERGY_VARIABLES, MEMORY_VARIABLES
from analysis.invocations import INVOCATION_VARIABLES
from analysis.lazy import Chunks, Key, Lazy, Part, lazy, opened
from analysis.measured import Measured, energy_absent, measured, noise
from analysis.naming import numbered, results_file, run_name
from analysis.noise import NOISE_VARIABLES
from analysis.runs import combine
from analysis.segments import Array
from suite.errors import UserError

TEXT, NUMBER, COUNT = "O", "f8", "i8"
NOTHING = {"f": np.nan, "i": 0, "O": ""}
"""What stands where there is no cell, by the kind of the values."""

CELL_VARIABLES: dict[str, tuple[str, str]] = {
    **dict.fromkeys((*FIGURES, *OF_TYPE), (NUMBER, "ns")),
    "figure": (TEXT, ""),
    **dict.fromkeys((*THROUGHPUT, "offered_per_s"), (NUMBER, "s-1")),
    "trials": (COUNT, "1"),
    **dict.fromkeys(("status", "verdict", "error", "cell_id", *TOLD), (TEXT, "")),
    "peak_rss_bytes": (NUMBER, "byte"),
    **dict.fromkeys(("energy_covers", "energy_lack"), (TEXT, "")),
    **{name: (NUMBER, units) for name, units in ENERGY_VARIABLES.items()},
    **{name: (NUMBER, units) for name, units in CLIMATE_VARIABLES.items()},
    **{name: (NUMBER, units) for name, units in MEMORY_VARIABLES.items()},
    **dict.fromkeys(DELEGATION, (NUMBER, "1")),
    **{name: (NUMBER, units) for name, units in INVOCATION_VARIABLES.items()},
    **dict.fromkeys(LACKS, (TEXT, "")),
    **{name: (NUMBER, units) for name, units in ARTIFACT_VARIABLES.items()},
}
"""The type and the unit of each variable over the axes."""

TRIAL_VARIABLES = {
    "trial_median_ns": "ns",
    "trial_throughput_per_s": "s-1",
    "trial_offered_per_s": "s-1",
    "trial_peak_rss_bytes": "byte",
    "trial_invocations": "1",
    "trial_median_error": "1",
    "trial_energy_j": "J",
    "order": "1",
    "load_ns": "ns",
    "first_invocation_ns": "ns",
    "process_wall_ns": "ns",
    "sampling_wall_ns": "ns",
    "warmup_count": "1",
    "effective_parallelism": "1",
    "threads_seen": "1",
    "start_unix_ns": "nanoseconds since 1970-01-01",
    **{f"frequency_{moment}_hz": "Hz" for moment in ("before", "after")},
    **{f"temperature_{moment}_degc": "degC" for moment in ("before", "after")},
    **dict.fromkeys(("idle_package_w", "idle_dram_w"), "W"),
    "window_ns": "ns",
}
"""The unit of each variable over the axes, nodes and trials."""

NODE_VARIABLES = {
    **dict.fromkeys(("cpu_name", "microarchitecture", "kernel", "governor"), ""),
    **dict.fromkeys(("sockets", "cores", "cpus", "numa_nodes"), "1"),
    "memory_bytes": "byte",
}


def open_results(
    path: Path | str | Sequence[Path | str],
    *,
    chunks: Chunks | None = None,
    memory_bytes: int | None = None,
    verify: bool = False,
) -> xr.Dataset:
    """Open the results of a run, or of several.

    Nothing is computed before it is asked for. What follows from samples comes from one reading of
    all of them, in blocks, and is kept.

    Parameters
    ----------
    path
        A run's folder, or a file of results; or a list of them, for a Dataset with a dimension
        `run` more (named after the folders, numbered where two share a name) over the union of
        their grids, see `analysis.runs.combine`.
    chunks
        As of `xarray.open_dataset`: numbers are then arrays of dask (the extra `dask`).
    memory_bytes
        What may be held at once while samples are read; None for what the environment variable
        LITESWEEP_MEMORY says, as "2 GiB", or 512 MiB.
    verify
        Whether the digest of the content is checked, for which all samples are read. The bytes of
        the file are held against its seal in any case.

    Returns
    -------
    xarray.Dataset
        A dimension for each axis of the sweep (`model`, `quantization`, `threads`, `cpu_type`;
        `optimization`, `resolution`, `batch`, `instances`, `scenario`, `runtime`, `delegate` where
        a cell is not at their default), then `node` (host names, numbered where two share one) and
        `trial` (rounds).

        Over the axes: `median_ns` with `ci_low_ns` and `ci_high_ns` (median of the trials'
        medians and its 95 % interval, see `suite.intervals.median`: of the nodes that measured it),
        `figure` ("latency", or "throughput" of the scenarios `offline` and `server@20ms`: these
        numbers are then of the time for each invocation, all instances together),
        `type_low_ns` and `type_high_ns` (95 % interval of a claim about the CPU type, over its
        nodes; NaN for one node, or `local`), `trials` (how many entered),
        `status` ("ok", "failed", "missing"; "" where the sweep has no such cell), `verdict`
        (reasons not to trust it, separated by blanks; empty is valid; a coordinate, so that it goes
        with every variable that is taken out), `error`, `cell_id`,
        `throughput_per_s` with `throughput_low_per_s` and `throughput_high_per_s` (examples a
        second, of all instances, and its 95 % interval), `offered_per_s` (rate at which a server's
        invocations came; that which was found, of `server@20ms`),
        `peak_rss_bytes` (the largest of any trial, its instances together), `operators_run` and
        `operators_delegated` (to XNNPACK; the least of any trial), `output_digest` (of the outputs
        for the seeded inputs) and `computes_in` (the precision that the runtime tells), both empty
        where trials differ, and the artifact's size, error and accuracy. Of all
        invocations: `min_ns`, `spread` (interquartile range over median), and `p90_ns` and
        `p99_ns`, NaN with the reason in `p90_lack`, `p99_lack` where the evidence that
        `analysis.tails` asks for is lacking.

        Of energy, NaN where it was not counted, with the reason in `energy_lack`: `energy_j` of an
        invocation with `energy_low_j` and `energy_high_j` (median of the trials and its interval),
        of what `energy_covers` says: "packages and memory", or "packages" where the memory is not
        counted; `net_energy_j`, likewise, without what the idle node uses in the same time;
        `package_energy_j` and `dram_energy_j`; `images_per_joule`, likewise (a batch has many).
        Medians of the trials: `frequency_during_hz`, `temperature_during_degc`, and what was
        resident in memory, `steady_rss_bytes`, `load_rss_bytes`, `weights_rss_bytes`,
        `arena_bytes` (see docs/energy.md).

        Over the axes, `node` and `trial`: `trial_median_ns` (where the figure is the throughput,
        the time for each invocation), `trial_throughput_per_s`, `trial_energy_j`,
        `trial_invocations`,
        `trial_median_error` (see `analysis.invocations`) and what else is known of a trial; NaN
        where there is none.

        Over `node`: its noise (see `analysis.noise`), and what is known of the machine, as
        `cpu_name` and `cores`; and `energy_absent`, what of its trials' energy was not counted, and
        why.

        Attributes: the run's provenance.

    Raises
    ------
    UserError
        If there are no results, or they cannot be read; if a run has an axis that
        another lacks, and that has no default.

    Examples
    --------
    >>> both = open_results(["runs/before", "runs/after"])  # doctest: +SKIP
    >>> both["median_ns"].sel(run="after") / both["median_ns"].sel(run="before")  # doctest: +SKIP
    >>> medians = open_results("runs/after")["median_ns"]  # doctest: +SKIP
    >>> medians.where(medians["verdict"] == "")  # doctest: +SKIP
    """
    if isinstance(path, (str, Path)):
        return _open(measured(path, memory_bytes, verify=verify), chunks).set_coords("verdict")
    files = [results_file(each) for each in path]
    if not files:
        raise UserError("There is no run to open: the list is empty.")
    runs = [_open(measured(file, memory_bytes, verify=verify), None) for file in files]
    together = combine(dict(zip(numbered(map(run_name, files)), runs, strict=True)))
    whole = opened(together, files[0], chunks, " ".join(map(str, files)))
    return whole.set_coords("verdict")


def _open(of: Measured, chunks: Chunks | None) -> xr.Dataset:
    axes, shape = tuple(of.axes), of.cell_at.shape
    by_trial = (*axes, "node", "trial"), (*shape, len(of.nodes), of.rounds)
    variables = {
        **{
            name: lazy(axes, Lazy(shape, dtype, partial(_over_axes, of, name)), units)
            for name, (dtype, units) in CELL_VARIABLES.items()
        },
        **{
            name: lazy(
                by_trial[0], Lazy(by_trial[1], NUMBER, partial(_over_trials, of, name)), units
            )
            for name, units in TRIAL_VARIABLES.items()
        },
        **{name: _of_nodes(of, name, units) for name, units in NODE_VARIABLES.items()},
        "energy_absent": _along_nodes(of, TEXT, partial(_energy_absent, of)),
        **{
            name: _along_nodes(of, NUMBER, partial(_noise, of, name), "1")
            for name in NOISE_VARIABLES
        },
    }
    given = xr.Dataset(
        variables,
        coords={**of.axes, "node": of.nodes, "trial": np.arange(of.rounds)},
        attrs=dict(of.stored.provenance),
    )
    return opened(given, of.stored.path, chunks)


def _over_axes(of: Measured, name: str, key: Key) -> Array:
    """Lay out a variable of cells on the part of the grid that is asked for."""
    values = of_cells(of, name)
    cells = of.cell_at[key]
    found = np.empty(np.shape(cells), values.dtype)
    found[...] = np.append(values, np.array([NOTHING[values.dtype.kind]], values.dtype))[cells]
    return found


def _over_trials(of: Measured, name: str, key: Key) -> Array:
    """Lay out a variable of trials on the part of the grid that is asked for."""
    values, numbers = of.of_trials(name), of.counted
    cells = np.asarray(of.cell_at[key[:-2]])
    row_of = np.full(of.cells + 1, -1)  # the last is for where there is no cell
    row_of[cells.ravel()] = np.arange(cells.size)
    row = row_of[of.trials.cell[numbers]]
    here = row >= 0
    found = np.full((cells.size, len(of.nodes), of.rounds), np.nan)
    found[row[here], of.trials.node[numbers][here], of.trials.round[numbers][here]] = values[here]
    return np.asarray(found.reshape(*cells.shape, *found.shape[1:])[(..., *key[-2:])])


def _along_nodes(of: Measured, dtype: str, part: Part, units: str = "") -> xr.Variable:
    return lazy(("node",), Lazy((len(of.nodes),), dtype, part), units)


def _noise(of: Measured, name: str, key: Key) -> Array:
    return np.asarray(of.once(name, lambda: {**noise(of)})[key])


def _energy_absent(of: Measured, key: Key) -> Array:
    return np.asarray(energy_absent(of)[key], object)


def _of_nodes(of: Measured, name: str, units: str) -> xr.Variable:
    if units:
        return xr.Variable("node", of.stored[name].astype(np.int64), {"units": units})
    return xr.Variable("node", np.array(of.stored.texts(name), dtype=object))
