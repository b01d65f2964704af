"""What trials say of their cells: each function returns some variables, of all cells at once."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from analysis.frugality import (
    CLIMATE_VARIABLES,
    ENERGY_VARIABLES,
    MEMORY_VARIABLES,
    energy_of,
    lacks,
    medians_of,
)
from analysis.invocations import INVOCATION_VARIABLES, QUANTILES
from analysis.measured import Measured
from analysis.segments import Array, Segments, changes, intervals, medians, pooled
from suite.intervals import geometric_mean, median
from suite.results.layout import CELL_VALIDITY
from suite.results.read import read_results
from suite.results.rows import LOCAL
from suite.results.stored import texts
from suite.verdict import judge_cells, reasons

FIGURES = ("median_ns", "ci_low_ns", "ci_high_ns")
THROUGHPUT = ("throughput_per_s", "throughput_low_per_s", "throughput_high_per_s")
OF_TYPE = ("type_low_ns", "type_high_ns")
TOLD = ("output_digest", "computes_in")
DELEGATION = ("operators_run", "operators_delegated")
LACKS = tuple(f"{name}_lack" for name in QUANTILES)

ARTIFACT_VARIABLES = {
    "artifact_bytes": "byte",
    "artifact_compressed_bytes": "byte",
    "error_rel_l2": "1",
    "error_max_abs": "1",
    "error_cosine": "1",
    "top1_agreement": "1",
    "labelled_top1": "1",
    "reference_top1": "1",
    "labelled_examples": "1",
    "encoded_bytes": "byte",
    "multiply_adds": "1",
    "weight_bytes": "byte",
    "activation_bytes": "byte",
}
ONLY_WITH = {
    "labelled_top1": "labelled_examples",
    "reference_top1": "labelled_examples",
    "encoded_bytes": "encoded_bytes",
}
"""What there is nothing of where the other is 0."""

Variables = dict[str, Array]


def of_cells(of: Measured, name: str) -> Array:
    """Return a variable of the Dataset over cells."""
    return of.once(name, lambda: TOPICS[name](of))


def _figures(of: Measured) -> Variables:
    found = intervals(of.figures, of.by_cell, median)
    return dict(zip(FIGURES, (found.estimate, found.low, found.high), strict=True))


def _throughput(of: Measured) -> Variables:
    """Return the throughput with its interval, by the figure wherever that is its inverse."""
    middle, low, high = (1e9 * of.batch / of_cells(of, name) for name in FIGURES)
    own = np.zeros(of.cells, bool)
    own[of.by_cell.numbers[of.throughput_is_its_own]] = True
    of_trials = of.of_trials("trial_throughput_per_s")[own[of.by_cell.numbers]]
    cells = Segments.end_to_end(np.where(own, of.by_cell.sizes, 0))
    found = intervals(of_trials, cells, median)
    ends = ((found.estimate, middle), (found.low, high), (found.high, low))
    return {
        name: np.where(own, counted, inverse)
        for name, (counted, inverse) in zip(THROUGHPUT, ends, strict=True)
    }


def _of_type(of: Measured) -> Variables:
    """Return the interval of a CPU type's latency: t over its hosts, each with its mean log."""
    hosts = of.stored.texts("host")
    numbers = {host: number for number, host in enumerate(dict.fromkeys(hosts))}
    host = np.array([numbers[name] for name in hosts], np.int64)[of.trials.node[of.counted]]
    order, pools = pooled(of.by_cell.numbers, host)
    logs = np.log(of.figures)[order]
    means = np.empty(len(pools.sizes))
    for places, rows in pools.stacks(logs):
        means[places] = np.exp(rows.mean(axis=1))
    cells = of.by_cell.numbers[order][pools.starts]
    claimed = ~_local(of)[cells]
    sizes = np.bincount(cells[claimed], minlength=of.cells)
    found = intervals(means[claimed], Segments.end_to_end(sizes), geometric_mean)
    return dict(zip(OF_TYPE, (found.low, found.high), strict=True))


def _local(of: Measured) -> Array:
    """Say which cells are of this machine, and of no CPU type."""
    if "cpu_type" not in of.axes:
        return np.ones(of.cells, bool)
    place = of.places[list(of.axes).index("cpu_type")]
    return np.array([value == LOCAL for value in of.axes["cpu_type"]])[place]


def _figure(of: Measured) -> Variables:
    """Return what counts in a cell: every trial of it says the same."""
    some = of.by_cell.sizes > 0
    rates = of.count_rate[of.by_cell.starts[some]]
    found = np.full(of.cells, "", object)
    found[some] = np.where(rates, "throughput", "latency")
    return {"figure": found}


def _told(of: Measured, name: str) -> Variables:
    """Return what all trials of a cell say; nothing where they differ."""
    said, agree = of.column(name), of.by_cell.sizes > 0
    differs = changes(said)
    differs[of.by_cell.starts[agree]] = False
    agree[of.by_cell.numbers[differs]] = False
    found = np.full(of.cells, "", object)
    found[agree] = texts(said[of.by_cell.starts[agree]])
    return {name: found}


def _extreme(of: Measured, name: str, which: np.ufunc) -> Variables:
    some = of.by_cell.sizes > 0
    found = np.full(of.cells, np.nan)
    if some.any():
        found[some] = which.reduceat(of.raw(name), of.by_cell.starts[some])
    return {name: found}


def _status(of: Measured) -> Variables:
    """Return the status, and what went wrong: in building, or in the trial that tells."""
    built = of.stored["build_error"] == b""
    ran = of.trials.cell[of.trials.cell >= 0]
    trials = np.bincount(ran, minlength=of.cells)
    status = np.full(of.cells, "ok", object)
    status[of.by_cell.sizes == 0] = "failed"
    status[(trials == 0) & built] = "missing"
    error = np.full(of.cells, "", object)
    error[~built] = texts(of.stored["build_error"][~built])
    failed = np.flatnonzero((status == "failed") & built)
    wrong = np.flatnonzero((of.stored["status"] != b"ok") & (of.trials.cell >= 0))
    cells, firsts = np.unique(of.trials.cell[wrong], return_index=True)
    telling = np.full(of.cells, -1)
    telling[cells] = wrong[firsts]
    telling[failed] = np.searchsorted(of.trials.cell, failed, side="right") - 1  # the last
    telling[~built] = -1
    those = np.flatnonzero(telling >= 0)
    error[those] = of.stored.texts_at("error", telling[those])
    return {"status": status, "error": error}


def _verdict(of: Measured) -> Variables:
    """Return the reasons that were written with the results; of an earlier schema, anew."""
    validity = (
        np.array([cell.validity for cell in judge_cells(read_results(of.stored.path))], np.int64)
        if of.stored.earlier
        else of.stored[CELL_VALIDITY]
    )
    distinct, places = np.unique(validity, return_inverse=True)
    words = [" ".join(reasons(int(bits))) for bits in distinct]
    return {"verdict": np.array([*words, ""], object)[places]}


def _of_artifact(of: Measured, name: str) -> Variables:
    values = of.stored[name].astype(np.float64)
    if name in ONLY_WITH:
        values[of.stored[ONLY_WITH[name]] == 0] = np.nan
    return {name: np.append(values, np.nan)[of.stored["artifact_index"]]}


def _energy_lack(of: Measured) -> Variables:
    found = np.full(of.cells, "", object)
    cells, said = lacks(of.column("energy_absent"), of.by_cell.numbers)
    found[cells] = said
    return {"energy_lack": found}


TOPICS: Mapping[str, Callable[[Measured], Variables]] = {
    **dict.fromkeys(FIGURES, _figures),
    "figure": _figure,
    **dict.fromkeys(OF_TYPE, _of_type),
    **dict.fromkeys(THROUGHPUT, _throughput),
    "offered_per_s": lambda of: {
        "offered_per_s": medians(of.raw("offered_per_s"), of.by_cell),
    },
    "trials": lambda of: {"trials": of.by_cell.sizes},
    **dict.fromkeys(("status", "error"), _status),
    "verdict": _verdict,
    "cell_id": lambda of: {"cell_id": np.array(of.stored.texts("cell_id"), object)},
    **{name: partial(_told, name=name) for name in TOLD},
    "peak_rss_bytes": partial(_extreme, name="peak_rss_bytes", which=np.maximum),
    **{name: partial(_extreme, name=name, which=np.minimum) for name in DELEGATION},
    "energy_lack": _energy_lack,
    **dict.fromkeys(
        ("energy_covers", *ENERGY_VARIABLES),
        lambda of: energy_of(of.raw, of.used, of.by_cell, of.batch),
    ),
    **dict.fromkeys(
        (*CLIMATE_VARIABLES, *MEMORY_VARIABLES), lambda of: medians_of(of.raw, of.by_cell)
    ),
    **dict.fromkeys((*INVOCATION_VARIABLES, *LACKS), lambda of: of.found.of_cells),
    **{name: partial(_of_artifact, name=name) for name in ARTIFACT_VARIABLES},
}
"""What each variable comes from, and which come with it."""
