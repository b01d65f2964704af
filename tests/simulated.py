"""Runs drawn from a known truth, for tests of the statistics: what varies, and by how much."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.signal import lfilter

from analysis.noise import noise_of_nodes

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Machine:
    """What acts on latencies, as relative standard deviations, on logs."""

    node: float = 0.0
    trial: float = 0.02
    invocation: float = 0.03
    correlation: float = 0.8
    """Of an invocation with the next."""
    drift: float = 0.0
    """Step of a random walk from round to round, the same for all cells of a node."""
    two_speeds: bool = False
    """Whether three trials in ten are 8 % slower."""
    spikes: float = 0.01
    """Share of invocations that take up to three times as long."""
    invocations: int = 60

    def latencies(
        self, random: np.random.Generator, cells: int, nodes: int = 1, rounds: int = 10
    ) -> Floats:
        """Draw latencies about 1 ms in ns, of shape (cell, node, round, invocation)."""
        shape = (cells, nodes, rounds, self.invocations)
        white = random.normal(0, np.sqrt(1 - self.correlation**2), shape)
        white[..., 0] = random.normal(0, 1, shape[:-1])
        noise = self.invocation * lfilter([1], [1, -self.correlation], white, axis=-1)
        of_trials = random.normal(0, self.trial, shape[:-1])
        if self.two_speeds:
            of_trials += 0.08 * (random.random(shape[:-1]) < 0.3)
        # Cells differ in how nodes suit them, and share what time does to a node.
        of_nodes = random.normal(0, self.node, shape[:2])[..., None]
        of_rounds = random.normal(0, self.drift, shape[1:3]).cumsum(axis=-1)
        spike = np.where(random.random(shape) < self.spikes, random.uniform(1, 3, shape), 1)
        return 1e6 * np.exp(noise + (of_trials + of_nodes + of_rounds)[..., None]) * spike


def a_dataset(
    trial_median_ns: Floats, run_id: str = "run", cpu_type: str = "local", host: str = "host"
) -> xr.Dataset:
    """Return what `analysis.compare` needs of a run with these medians, (cell, node, round).

    The axes are `threads` (the cells) and `cpu_type`.
    """
    cells, nodes, rounds = trial_median_ns.shape
    axes = ("threads", "cpu_type")
    by_trial = (*axes, "node", "trial")
    medians = trial_median_ns[:, None]
    return xr.Dataset(
        {
            "status": (axes, np.full((cells, 1), "ok", object)),
            "verdict": (axes, np.full((cells, 1), "", object)),
            "median_ns": (axes, np.nanmedian(medians, axis=(2, 3))),
            "trial_median_ns": (by_trial, medians),
            "start_unix_ns": (by_trial, np.broadcast_to(np.arange(rounds) * 1e9, medians.shape)),
            **{name: ("node", values) for name, values in noise_of_nodes(medians).items()},
        },
        {
            "threads": range(1, cells + 1),
            "cpu_type": [cpu_type],
            "node": [f"{host}{n}" for n in range(nodes)],
            "trial": range(rounds),
        },
        {"run_id": run_id},
    )
