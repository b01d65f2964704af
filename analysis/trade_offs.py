"""Which cells are worth having: Pareto fronts, and the best under constraints."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from analysis.accuracy import accuracy_loss
from analysis.redrawn import Cells, Shares
from analysis.runs import as_asked, as_grid, check_cells
from analysis.table import to_dataframe
from analysis.trust import usable
from suite.errors import UserError, nearest

MORE_IS_BETTER = (
    *("cosine", "efficiency", "gain", "per_joule", "per_s", "ratio", "share", "speedup", "top1"),
)
"""A variable with one of these in its name is better where it is larger; any other, smaller."""
USUAL = ("median_ns", "artifact_bytes", "energy_j", "labelled_top1", "top1_agreement")
ENDS = {
    "median_ns": ("ci_low_ns", "ci_high_ns"),
    "throughput_per_s": ("throughput_low_per_s", "throughput_high_per_s"),
    "energy_j": ("energy_low_j", "energy_high_j"),
    "images_per_joule": ("images_per_joule_low", "images_per_joule_high"),
    "points_lost": ("points_lost_low", "points_lost_high"),
}
"""The interval of what has one: a limit is held to by its end, and not by the estimate."""
TRIALS_OF = {
    "median_ns": "trial_median_ns",
    "throughput_per_s": "trial_throughput_per_s",
    "energy_j": "trial_energy_j",
}
"""What is drawn anew, and from which trials."""
DRAWS = 1000
AT_ONCE = 2**21
"""Numbers drawn, so that memory does not grow with the cells."""
TINY = np.finfo(float).tiny

Floats = npt.NDArray[np.float64]


def pareto(
    results: xr.Dataset,
    objectives: Sequence[str] = (),
    within: Sequence[str] = ("run", "model", "cpu_type", "scenario"),
    draws: int = DRAWS,
    seed: int = 0,
) -> xr.Dataset:
    """Return which cells no other cell beats in every objective at once.

    Latency, throughput and energy are drawn anew by resampling (see `analysis.redrawn`): nodes
    where there are several, then their trials, the same ones of all cells. The share of draws in
    which a cell is on the front is its probability to be there.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them, perhaps with variables more, as of `cost`.
    objectives
        Variables over the sweep's axes, or axes, as `threads`, or `points_lost` (see
        `accuracy_loss`); accuracy, agreement and the like are better where they are larger, all
        else where it is smaller. As a rule the latency, the artifact's size, the energy and how
        right it is, as far as the results have them.
    within
        Axes on whose each point a front of its own is drawn.
    draws, seed
        How often to resample, and from which seed.

    Returns
    -------
    xarray.Dataset
        Over the sweep's axes: `on_front`, by the estimates themselves, and `probability`. NaN,
        and False, where a cell was not measured, is disqualified (see `analysis.trust`) or lacks
        an objective. Attribute `objectives`.

    Raises
    ------
    UserError
        If there is no such variable, or no cell has it.

    References
    ----------
    Davison and Hinkley, Bootstrap Methods and their Application, 1997, chapter 3.8.

    Examples
    --------
    >>> front = pareto(results, ["median_ns", "artifact_bytes"])  # doctest: +SKIP
    >>> front["probability"].sel(model="resnet50").to_series().dropna()  # doctest: +SKIP
    """
    check_cells(results)
    objectives = tuple(objectives) or _usual(results)
    if not objectives:
        raise UserError("Nothing is known of any cell.")
    asked, results = results, _with_loss(as_grid(results), objectives)
    like = results["median_ns"]
    costs = np.stack([_costs(results, name) for name in objectives], axis=-1)
    counted = usable(results).values & np.isfinite(costs).all(axis=-1)
    trials = _trials(results, objectives)
    on_front = np.zeros(like.shape, dtype=bool)
    probability = np.full(like.shape, np.nan)
    for at in _groups(results, counted, within):
        on_front[at] = _front(costs[at][None])[0]
        of_group = [None if of is None else of[at] for of in trials]
        probability[at] = _probability(costs[at], of_group, draws, seed)
    front = xr.Dataset(
        {
            "on_front": like.copy(data=on_front).drop_attrs(),
            "probability": like.copy(data=probability).assign_attrs(units="1"),
        },
        attrs={"objectives": " ".join(objectives)},
    )
    return as_asked(front, asked)


def best(
    results: xr.Dataset,
    *,
    at_most: Mapping[str, float] | None = None,
    at_least: Mapping[str, float] | None = None,
    objective: str = "median_ns",
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the cells within limits, the best first.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them; select from them what the question is about.
    at_most, at_least
        Limits by variable; `points_lost` (see `accuracy_loss`) is one too. What has an interval
        (these, latency, throughput, energy) holds to a limit with all of it.
    objective
        What is to be best, see `pareto` for which way.
    draws, seed
        How often to resample the latency, the throughput or the energy, and from which seed.

    Returns
    -------
    pandas.DataFrame
        A row a cell, as `analysis.to_dataframe` has them, and `probability_best`: the share of
        draws in which no other of these cells is better. Where several share it, they cannot be
        told apart.

    Raises
    ------
    UserError
        If there is no such variable, or no cell within the limits.

    References
    ----------
    Davison and Hinkley, Bootstrap Methods and their Application, 1997, chapter 3.8.

    Examples
    --------
    The fastest under 30 MB that has lost at most 1 point of accuracy, on skylake:

    >>> best(
    ...     results.sel(cpu_type=["skylake"]),
    ...     at_most={"artifact_bytes": 30e6, "points_lost": 1},
    ... )  # doctest: +SKIP
    """
    check_cells(results)
    results = _with_loss(as_grid(results), [objective, *(at_most or ()), *(at_least or ())])
    limits = [(name, 1, "at most", bound) for name, bound in (at_most or {}).items()]
    limits += [(name, -1, "at least", bound) for name, bound in (at_least or {}).items()]
    measured = usable(results).values
    costs = _costs(results, objective)
    within = measured & np.isfinite(costs)
    for name, sign, _, bound in limits:
        held = ENDS.get(name, (name, name))[sign > 0]
        within &= sign * _values(results, held) <= sign * bound
    if not within.any():
        said = [f"{name} {word} {bound:g}" for name, _, word, bound in limits]
        raise UserError(
            f"No cell has {' and '.join(said) or objective}.",
            " ".join(_range(name, _values(results, name)[measured]) for name, *_ in limits),
        )
    trials = [None if of is None else of[within] for of in _trials(results, [objective])]
    chance = _probability(costs[within][:, None], trials, draws, seed)
    rows = np.flatnonzero(within[results["status"].values != ""])
    frame = to_dataframe(results).iloc[rows].assign(probability_best=chance)
    order = np.argsort(costs[within], kind="stable")
    return frame.iloc[order].reset_index(drop=True)


def _with_loss(results: xr.Dataset, asked: Iterable[str]) -> xr.Dataset:
    """Add what accuracy was lost, where that is asked."""
    return results.assign(accuracy_loss(results)) if "points_lost" in asked else results


def _usual(results: xr.Dataset) -> tuple[str, ...]:
    return tuple(name for name in USUAL if name in results and results[name].notnull().any())


def _values(results: xr.Dataset, name: str) -> Floats:
    """Return a variable, or an axis, at each cell."""
    like = results["median_ns"]
    known = [
        str(key)
        for key, variable in results.variables.items()
        if variable.dtype.kind in "if" and {*variable.dims} <= {*like.dims}
    ]
    if name not in known:
        raise UserError(f"There is no {name!r} of a cell.", nearest(name, known))
    values: Floats = results[name].broadcast_like(like).transpose(*like.dims).values.astype(float)
    return values


def _costs(results: xr.Dataset, name: str) -> Floats:
    """Return an objective such that less is better."""
    values = _values(results, name)
    if not np.isfinite(values).any():
        raise UserError(f"No cell has a known {name}.", "Leave it out of the question.")
    return _sign(name) * values


def _sign(name: str) -> int:
    return -1 if any(word in name for word in MORE_IS_BETTER) else 1


def _range(name: str, values: Floats) -> str:
    known = values[np.isfinite(values)]
    return (
        f"{name} is {known.min():g} to {known.max():g}." if known.size else f"No {name} is known."
    )


def _groups(
    results: xr.Dataset, counted: npt.NDArray[np.bool_], within: Sequence[str]
) -> Iterator[tuple[npt.NDArray[np.int64], ...]]:
    """Yield where the cells are that are to be set against each other."""
    axes = [place for place, axis in enumerate(results["median_ns"].dims) if axis in within]
    places = np.argwhere(counted)
    _, groups = np.unique(places[:, axes], axis=0, return_inverse=True)
    order = np.argsort(groups.ravel(), kind="stable")
    for group in np.split(places[order], np.bincount(groups.ravel()).cumsum()[:-1]):
        if len(group):
            yield tuple(group.T)


def _front(costs: Floats) -> npt.NDArray[np.bool_]:
    """Say which cells no other beats: not worse in anything, and better in something.

    Parameters
    ----------
    costs
        Shape (draws, cells, objectives); less is better.
    """
    objectives = np.ascontiguousarray(np.moveaxis(costs, 2, 0))
    # What is beaten is dearer in all, by this sum: so the next rival is one of the front.
    least, most = objectives.min(axis=2, keepdims=True), objectives.max(axis=2, keepdims=True)
    dear = ((objectives - least) / np.maximum(most - least, TINY)).sum(axis=0)
    unbeaten = np.ones(dear.shape, dtype=bool)
    while (dear < np.inf).any():
        rival = np.take_along_axis(objectives, dear.argmin(axis=1)[None, :, None], axis=2)
        reached = (rival <= objectives).all(axis=0)
        unbeaten &= ~reached | (rival == objectives).all(axis=0)
        dear[reached] = np.inf
    return unbeaten


def _trials(results: xr.Dataset, objectives: Iterable[str]) -> list[Floats | None]:
    """Return what each objective is drawn anew from, over the axes, nodes and trials."""
    return [
        results[TRIALS_OF[name]].transpose(..., "node", "trial").values
        if name in TRIALS_OF
        else None
        for name in objectives
    ]


def _probability(costs: Floats, trials: Sequence[Floats | None], draws: int, seed: int) -> Floats:
    """Return the share of draws in which each cell is on the front.

    Parameters
    ----------
    costs
        Shape (cells, objectives); less is better.
    trials
        Of each objective what it is drawn from, of shape (cells, nodes, rounds); None for what is
        not.
    """
    given = {number: of for number, of in enumerate(trials) if of is not None}
    if not given:
        return np.where(_front(costs[None])[0], 1.0, 0.0)
    known = np.any([np.isfinite(of).any(axis=0) for of in given.values()], axis=0)
    on, of_round = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    cells = {
        number: Cells(of[:, on][:, :, of_round], np.abs(costs[:, number]))
        for number, of in given.items()
    }
    shares = Shares.drawn(draws, len(on), len(of_round), np.random.default_rng(seed))
    at_once = max(1, AT_ONCE // (len(costs) * max(len(on) * len(of_round), costs.shape[1])))
    signs = np.sign(costs[0])
    on_front = np.zeros(len(costs), dtype=np.int64)
    for first in range(0, draws, at_once):
        some = shares.some(first, first + at_once)
        drawn = np.repeat(costs[None], len(some.node), axis=0)
        for number, of in cells.items():
            drawn[:, :, number] = signs[number] * of.drawn(some)
        on_front += _front(drawn).sum(axis=0)
    found: Floats = on_front / draws
    return found
