"""What stands in the report beside the numbers: verdicts, machines, provenance, how to cite."""

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from analysis.report.reduction import MOST_MACHINES
from analysis.report.tables import telling
from suite.verdict import REASONS

LONG = ("sweep", "environment", "packages", "job_slurm", "job_packages", "job_journals")
"""Provenance that is shown on its own, or is many lines."""
NAMES = ("model", "quantization", "cpu_type")
"""Axes whose values speak for themselves."""
MOST_NAMED = 20
LONGEST_ERROR = 1000


def facts(results: xr.Dataset) -> str:
    """Say how much was measured."""
    counts = {
        "cell": int((results["status"] != "").sum()),
        "trial": int(results["trials"].sum()),
        "node": results.sizes["node"],
    }
    said = [f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items()]
    axes = {str(axis): results.sizes[axis] for axis in results["status"].dims}
    said += [f"{count} values of {axis}" for axis, count in axes.items() if count > 1]
    return ", ".join(said)


@dataclass(frozen=True)
class Reason:
    """What speaks against cells."""

    words: str
    count: int
    cells: list[str]
    """The first `MOST_NAMED` by name."""
    errors: list[str]


def reasons(results: xr.Dataset) -> list[Reason]:
    """Return what speaks against cells: the reason in words, how many, which, and errors."""
    places = np.argwhere(results["status"].values != "")
    if not len(places):
        return []
    verdicts, errors = (results[of].values[tuple(places.T)] for of in ("verdict", "error"))
    distinct, firsts, of_cells = np.unique(
        verdicts.astype(str), return_index=True, return_inverse=True
    )
    found: dict[str, list[int]] = {}
    for number in np.argsort(firsts).tolist():
        for reason in str(distinct[number]).split():
            found.setdefault(reason, []).append(number)
    told = []
    for reason, numbers in found.items():
        cells = np.flatnonzero(np.isin(of_cells, numbers))
        said = errors[cells] if reason in ("failed", "failed_trials") else ()
        told.append(
            Reason(
                REASONS.get(reason, reason.replace("_", " ")),
                len(cells),
                _first(
                    [_named(results, place) for place in places[cells[:MOST_NAMED]]], len(cells)
                ),
                _first([*dict.fromkeys(error[:LONGEST_ERROR] for error in said if error)]),
            )
        )
    return sorted(told, key=lambda reason: -reason.count)


def _named(results: xr.Dataset, place: npt.NDArray[np.int64]) -> str:
    axes = [str(axis) for axis in results["status"].dims]
    values = {a: results[a].values[at].item() for a, at in zip(axes, place, strict=True)}
    return ", ".join(f"{values[a]}" if a in NAMES else f"{a} {values[a]}" for a in telling(results))


def _first(texts: list[str], count: int | None = None) -> list[str]:
    """Return the first few, and how many more there are."""
    more = (count or len(texts)) - MOST_NAMED
    return texts if more <= 0 else [*texts[:MOST_NAMED], f"and {more} more"]


def nodes(results: xr.Dataset) -> list[dict[str, str]]:
    """Return what is known of each machine, of no more than `MOST_MACHINES`."""
    told = []
    for name in sorted(results["node"].values)[:MOST_MACHINES]:
        node = results.sel(node=name)

        def text(variable: str, node: xr.Dataset = node) -> str:
            values = {str(value) for value in np.atleast_1d(node[variable].values)} - {"", "nan"}
            return ", ".join(sorted(values)) or "unknown"

        memory = float(np.nanmax(np.append(node["memory_bytes"].values.astype(float), 0)))
        told.append(
            {
                "node": str(name),
                "CPU": text("cpu_name"),
                "archspec": text("microarchitecture"),
                "sockets": text("sockets"),
                "cores": text("cores"),
                "NUMA nodes": text("numa_nodes"),
                "memory": f"{memory / 2**30:.0f} GiB" if memory else "unknown",
                "kernel": text("kernel"),
                "governor": text("governor"),
                "energy": _counted(node, text("energy_absent")),
            }
        )
    return told


def _counted(node: xr.Dataset, absent: str) -> str:
    counted = "counted" if node["trial_energy_j"].notnull().any() else "not counted"
    return counted if absent == "unknown" else f"{counted} ({absent})"


def provenance(results: xr.Dataset) -> dict[str, str]:
    """Return where the results come from."""
    attrs = {str(key): str(value) for key, value in results.attrs.items()}
    of_runs = {
        str(key): ", ".join(map(str, values.values))
        for key, values in results.coords.items()
        if values.dims == ("run",)
    }
    short = {key: value for key, value in {**of_runs, **attrs}.items() if key not in LONG and value}
    return {**short, **{f"package {k}": v for k, v in packages(results).items()}}


def packages(results: xr.Dataset) -> dict[str, str]:
    """Return the versions that the run was made with, as far as they are told."""
    try:
        found = json.loads(str(results.attrs.get("packages", "{}")))
    except (ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def citation(results: xr.Dataset) -> str:
    """Return a BibTeX entry for the run."""
    attrs = {str(key): str(value) for key, value in results.attrs.items()}
    version = packages(results).get("litesweep", "unknown")
    run, created = attrs.get("run_id", "unknown"), attrs.get("created", "")
    return "\n".join(
        [
            f"@misc{{litesweep-{run},",
            f"  title = {{Inference on CPUs: sweep {attrs.get('name', 'unknown')}, run {run}}},",
            f"  year = {{{created[:4]}}},",
            f"  note = {{measured {created} with litesweep {version}, "
            f"sweep hash {attrs.get('sweep_hash', 'unknown')}}},",
            "}",
        ]
    )


def repeat(results: xr.Dataset) -> str:
    """Return the commands that repeat the run, with packages of the versions that are told."""
    versions = packages(results)
    pinned = " ".join(f"{name}=={version}" for name, version in sorted(versions.items()))
    return "\n".join(
        [
            *([f"pip install {pinned}"] if pinned else []),
            "litesweep run sweep.toml --out runs/again",
            "litesweep report runs/again",
            "litesweep compare RUN runs/again",
        ]
    )
