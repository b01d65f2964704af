"""How a cell's latency scales over threads, and which law describes it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.special import stdtrit

from analysis.speedups import hosts, speedup
from suite.intervals import CONFIDENCE

LEAST_COUNTS = 3
"""The universal scalability law has three parameters, the latency on one thread among them."""

LAWS = ("serial_fraction", "contention", "coherency")
OF_FITS = ("amdahl_residual", "usl_residual", "usl_one_thread")

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def scaling(results: xr.Dataset) -> xr.Dataset:
    """Return speed-up and efficiency over threads, and the fits of two laws.

    On n threads, for the latency L(1) of one and with what they call speed-up, L(1) / L(n):

    - Amdahl's law: n / (1 + σ (n - 1)), σ the `serial_fraction`;
    - Gunther's universal scalability law: n / (1 + σ (n - 1) + κ n (n - 1)), σ the `contention`,
      κ the `coherency`: what each pair of threads costs. It peaks at `peak_threads`.

    Both are straight lines in n L(n), fitted by least squares of the relative error, so that no
    start value is needed. Rounds that have every thread count are the replicates, and where
    several hosts have such rounds the hosts are; intervals are the jackknife's with Student's t.
    A value under 0 says "better than ideal" (a larger cache, say); do not extrapolate from it.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.

    Returns
    -------
    xarray.Dataset
        Over the sweep's axes: `speedup` over one thread, see `analysis.speedup`, and `efficiency`,
        that over the number of threads, each with `_low` and `_high` (95 %), units "1".

        Over the axes other than `threads`: `serial_fraction`, `contention` and `coherency`, each
        with `_low` and `_high`; `peak_threads`, NaN where the interval of `coherency` reaches 0;
        `amdahl_residual` and `usl_residual`, the root of the mean squared relative error;
        `usl_one_thread`, the law's latency on one thread over the measured one: what the law's
        speed-up is to be divided by to lie among those that were measured; and `note`, why there
        is no fit: "" where there is one.

    Raises
    ------
    UserError
        If there is no cell or no node to be asked about.

    References
    ----------
    Amdahl, AFIPS 1967 (doi 10.1145/1465482.1465560). Gunther, Guerrilla Capacity Planning, 2007;
    arXiv 0808.1431. Efron and Stein, The jackknife estimate of variance, 1981.

    Examples
    --------
    >>> law = scaling(results)  # doctest: +SKIP
    >>> law["serial_fraction"].sel(model="resnet50", quantization="int8")  # doctest: +SKIP
    """
    over_one = speedup(results, threads=1)
    threads = results["threads"]
    ends = ("", "_low", "_high")
    found = {f"speedup{end}": over_one[f"ratio{end}"] for end in ends}
    found |= {f"efficiency{end}": over_one[f"ratio{end}"] / threads for end in ends}
    for name in found:
        found[name] = found[name].transpose(*results["median_ns"].dims).assign_attrs(units="1")
    return xr.Dataset({**found, **_fits(results)})


def _fits(results: xr.Dataset) -> dict[str, xr.Variable]:
    medians = results["trial_median_ns"]
    groups = [str(dim) for dim in medians.dims if dim not in ("threads", "node", "trial")]
    values = medians.transpose(*groups, "node", "trial", "threads").values
    shape = values.shape[: len(groups)]
    names = (*(law + end for law in LAWS for end in ("", "_low", "_high")), *OF_FITS)
    numbers = {name: np.full(shape, np.nan) for name in (*names, "peak_threads")}
    notes = np.full(shape, "", dtype=object)
    counts, of_nodes = results["threads"].values.astype(float), hosts(results)
    for place in np.ndindex(*shape):
        fitted = _fit(values[place], of_nodes, counts)
        if isinstance(fitted, str):
            notes[place] = fitted
            continue
        for name, value in fitted.items():
            numbers[name][place] = value
    return {
        "note": xr.Variable(groups, notes),
        **{name: xr.Variable(groups, array, {"units": "1"}) for name, array in numbers.items()},
    }


def _fit(latency_ns: Floats, of_nodes: Ints, counts: Floats) -> dict[str, float] | str:
    """Fit both laws to the trials of one group; say why where they cannot be.

    Parameters
    ----------
    latency_ns
        Trial medians, shape (nodes, rounds, counts); NaN where there is none.
    of_nodes
        The host of each node.
    counts
        Numbers of threads, ascending.
    """
    known = np.isfinite(latency_ns).any(axis=(0, 1))
    if known.sum() < LEAST_COUNTS:
        return f"a fit needs {LEAST_COUNTS} thread counts; measured are {known.sum()}"
    counts = counts[known]
    rows = _replicates(np.log(latency_ns[:, :, known]), of_nodes)
    if len(rows) < 2:
        return f"a fit needs 2 rounds that have all thread counts; there are {len(rows)}"
    linear = np.stack([np.ones_like(counts), counts - 1], axis=-1)
    quadratic = np.column_stack([linear, counts * (counts - 1)])
    amdahl = _jackknife(rows, lambda logs: _parameters(logs, counts, linear))
    usl = _jackknife(rows, lambda logs: _parameters(logs, counts, quadratic))
    found: dict[str, float] = {}
    for name, (value, low, high) in zip(LAWS, (*amdahl[:1], *usl[:2]), strict=True):
        found |= {name: value, f"{name}_low": low, f"{name}_high": high}
    if found["coherency_low"] > 0 and found["contention"] < 1:
        found["peak_threads"] = float(np.sqrt((1 - found["contention"]) / found["coherency"]))
    one_thread = usl[-2][0] / np.exp(rows.mean(axis=0)[0]) if counts[0] == 1 else np.nan
    return found | dict(zip(OF_FITS, (amdahl[-1][0], usl[-1][0], one_thread), strict=True))


def _replicates(logs: Floats, of_nodes: Ints) -> Floats:
    """Return what an interval is to be taken over: hosts if several have data, else rounds.

    Parameters
    ----------
    logs
        Shape (nodes, rounds, values); a round counts if none of its values is NaN.

    Returns
    -------
    ndarray
        Shape (replicates, values).
    """
    complete = np.isfinite(logs).all(axis=2)
    of_hosts = [logs[complete & (of_nodes == host)[:, None]] for host in np.unique(of_nodes)]
    of_hosts = [rounds for rounds in of_hosts if len(rounds)]
    if len(of_hosts) > 1:
        return np.stack([rounds.mean(axis=0) for rounds in of_hosts])
    return of_hosts[0] if of_hosts else np.empty((0, logs.shape[2]))


def _parameters(logs: Floats, counts: Floats, terms: Floats) -> Floats:
    """Return a law's parameters, over the latency on one thread; that latency, and the residual.

    Parameters
    ----------
    logs
        Logarithms of the latency by count.
    terms
        What the parameters are multiplied with, shape (counts, parameters).
    """
    work = counts * np.exp(logs)
    relative = terms / work[:, None]
    scale, *rest = np.linalg.lstsq(relative, np.ones_like(work), rcond=None)[0]
    error = relative @ [scale, *rest] - 1
    return np.array([*(np.array(rest) / scale), scale, np.sqrt(np.mean(error**2))])


def _jackknife(rows: Floats, estimate: Callable[[Floats], Floats]) -> list[tuple[Any, Any, Any]]:
    """Return estimate, low and high of each parameter from the mean of `rows`."""
    count = len(rows)
    centre = estimate(rows.mean(axis=0))
    without = (rows.sum(axis=0) - rows) / (count - 1)
    spread = np.stack([estimate(row) for row in without])
    error = np.sqrt((count - 1) / count * ((spread - spread.mean(axis=0)) ** 2).sum(axis=0))
    half = stdtrit(count - 1, 0.5 + CONFIDENCE / 2) * error
    return list(zip(centre, centre - half, centre + half, strict=True))
