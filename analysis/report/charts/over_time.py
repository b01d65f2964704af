"""Charts over the time of a run: how trials drifted, and what state the nodes were in."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.planes import PLANE
from analysis.report.charts.chart import (
    COLOURS,
    Chart,
    Control,
    Update,
    blank,
    colour,
    listed,
    once,
    plain,
    rounded,
    scales,
)
from analysis.report.reduction import MOST_NODES, drawn, of_points

NS_PER_MINUTE = 6e10
STATES = {
    "probe": "probe over its median on the node",
    "load": "load average of the last minute",
    "stolen_cpus": "CPUs that the hypervisor took",
    "throttled_cpus": "CPUs that a quota withheld",
    "frequency_ghz": "frequency of the probed CPU, GHz",
    "temperature_degc": "highest temperature of a CPU package, °C",
}
"""What can be seen of a node's state over time."""


def drift(results: xr.Dataset) -> Chart | None:
    """Draw every trial over time, against the median of its cell on its node."""
    dims = (*results["status"].dims, "node", "trial")
    medians = results["trial_median_ns"].transpose(*dims)
    ratio = (medians / medians.median("trial")).values
    minutes = results["start_unix_ns"].transpose(*dims).values / NS_PER_MINUTE
    known = np.flatnonzero(np.isfinite(ratio) & np.isfinite(minutes))
    if len(known) < 2:
        return None
    places = np.unravel_index(known[drawn(len(known))], ratio.shape)
    values = {str(dim): results[dim].values[at] for dim, at in zip(dims, places, strict=True)}
    values |= {"ratio": ratio[places], "minutes": minutes[places] - np.nanmin(minutes)}
    telling = [str(axis) for axis in dims[:-2] if axis not in PLANE and results.sizes[axis] > 1]
    figure = blank()
    for name, frame in pd.DataFrame(values).groupby("quantization", sort=False):
        figure.add_scatter(
            x=rounded(frame["minutes"]).tolist(),
            y=rounded(frame["ratio"]).tolist(),
            mode="markers",
            marker={"size": 6, "opacity": 0.7, "color": colour(results, str(name))},
            text=[
                plain(
                    "".join(f"{row[axis]}, " for axis in telling)
                    + f"{name}, threads {row['threads']}, {row['node']}, "
                    f"round {row['trial']}: {row['ratio']:.3f}"
                )
                for row in frame.to_dict("records")
            ],
            **once(figure, str(name)),
        )
    figure.update_layout(
        xaxis_title_text="minutes since the first trial",
        yaxis_title_text="trial over the median of its cell",
    )
    caption = (
        "Each trial's median over that of its cell on its node: a slope or a step is a drift of "
        f"the machine.{of_points(len(known), 'trials')}"
    )
    controls = list(scales("", "linear"))
    return Chart("drift", "Drift over the run", caption, figure, controls)


def node_states(states: pd.DataFrame) -> Chart | None:
    """Draw what each node was like over time, as `analysis.states` has it."""
    by_node = states.groupby("node", sort=False)
    seen = states.assign(
        probe=states["probe_ns"] / by_node["probe_ns"].transform("median"),
        frequency_ghz=states["frequency_hz"] / 1e9,
        minutes=(states["unix_ns"] - states["unix_ns"].min()) / NS_PER_MINUTE,
    )
    known = {name: label for name, label in STATES.items() if seen[name].notna().any()}
    if not known:
        return None
    count, seen = seen["node"].nunique(), _furthest(seen)
    thinned = seen.iloc[drawn(len(seen))]
    nodes = list(thinned.groupby("node", sort=False))
    columns = {name: [listed(frame[name]) for _, frame in nodes] for name in known}
    first = next(iter(known))
    figure = blank()
    for number, (name, frame) in enumerate(nodes):
        figure.add_scatter(
            x=rounded(frame["minutes"]).tolist(),
            y=columns[first][number],
            mode="lines+markers",
            marker={"size": 6, "color": COLOURS[number % len(COLOURS)]},
            line={"width": 1},
            text=[_told(row, known) for row in frame.to_dict("records")],
            **once(figure, str(name)),
        )
    figure.update_layout(
        xaxis_title_text="minutes since the first state", yaxis_title_text=known[first]
    )
    options: dict[str, Update] = {
        label: ({"y": name}, {"yaxis.title.text": label, "yaxis.autorange": True})
        for name, label in known.items()
    }
    absent = ", ".join(label for name, label in STATES.items() if name not in known)
    caption = (
        "What each node was like before each round and after the last. The probe is a fixed piece "
        "of work: where it takes longer, the node was slower, whatever the cause."
        + of_points(len(seen), "states")
        + f" Shown are the {MOST_NODES} of {count} nodes whose probe strays furthest."
        * (count > MOST_NODES)
        + f" Not told by these machines: {absent}." * bool(absent)
    )
    controls = [Control("what", options, known[first])]
    return Chart("states", "States of the nodes", caption, figure, controls, columns)


def _furthest(seen: pd.DataFrame) -> pd.DataFrame:
    """Return the states of the nodes whose probe strays furthest, as many as can be followed."""
    strays = abs(seen["probe"] - 1).groupby(seen["node"]).max().sort_values(ascending=False)
    return seen[seen["node"].isin(strays.index[:MOST_NODES])]


def _told(row: dict[Hashable, Any], known: dict[str, str]) -> str:
    lines = [f"{row['node']}, before round {row['round']}"]
    lines += [f"{label}: {row[name]:.4g}" for name, label in known.items()]
    lines += [f"{name} {row[name]}" for name in ("governor", "turbo") if row[name]]
    return "<br>".join(map(plain, lines))
