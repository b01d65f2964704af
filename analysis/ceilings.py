"""How near a cell comes to what its machine can do at best."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from analysis.runs import check_cells
from suite.errors import UserError, nearest
from suite.results.rows import LOCAL

COMPUTES_IN = {
    **dict.fromkeys(("float32", "float16", "weight-only-int8", "weight-only-int4"), ("float32",)),
    **dict.fromkeys(("dynamic", "int8", "uint8", "int16x8"), ("int8",)),
}
"""Which multiply-adds XNNPACK does for a quantization; of any other the faster kind is taken."""
KINDS = ("float32", "int8")
NS_PER_S = 1e9
ONLY_AT = {"instances": 1, "scenario": "single-stream", "runtime": "litert"}
"""The bound is of one instance alone, and of LiteRT's kernels: elsewhere there is none."""

Floats = npt.NDArray[np.float64]
Peaks = Mapping[str, Any]


def roofline(
    results: xr.Dataset, peaks: Path | str | Peaks | Mapping[str, Path | str | Peaks]
) -> xr.Dataset:
    """Return the least latency that a machine's peaks allow, and how near each cell comes to it.

    An invocation cannot take less than its multiply-adds at the machine's peak, nor less than it
    takes to read the artifact's weights once, at the rate at which the machine reads so many bytes
    again and again (Williams, Waterman and Patterson, CACM 52, 2009, doi 10.1145/1498765.1498785;
    with a ceiling for each size, since weights that fit into a cache are read from there). What
    else an invocation does only adds to that.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.
    peaks
        What `litesweep peaks --json` has printed on such a machine, or the file with it; for
        several CPU types one for each, by its name.

    Returns
    -------
    xarray.Dataset
        Over the sweep's axes: `compute_ns` and `memory_ns`, what each of the two takes at the
        least; `bound_ns`, the longer one; `limited_by`, "compute" or "memory"; `roof_share`, the
        bound over the median latency, with `roof_share_low` and `roof_share_high` from its 95 %
        interval (not from the peaks, which have none); `macs_per_s`, what was attained; and
        `macs_per_byte`, the intensity. NaN where the artifact's work, or the peak for a thread
        count, is not known, and where other than LiteRT or more than one instance ran.

    Raises
    ------
    UserError
        If the peaks cannot be read, or it is not clear for which CPU type they are; if there is no
        cell.

    Examples
    --------
    >>> roofline(results, "peaks.json")["roof_share"].sel(threads=1)  # doctest: +SKIP
    """
    check_cells(results)
    like = results["median_ns"]
    by_type = _by_type(results, peaks)
    weight_bytes = results["weight_bytes"].values  # at once: of dask's arrays, each would be all
    compute, reading = (np.full(like.shape, np.nan) for _ in range(2))
    fixed = {str(name): of.item() for name, of in like.coords.items() if not of.dims}
    for place in np.ndindex(like.shape):
        point = fixed | {
            str(axis): like[axis].values[n] for axis, n in zip(like.dims, place, strict=True)
        }
        known = by_type.get(str(point.get("cpu_type", LOCAL)), {}).get(int(point["threads"]))
        if known and all(point.get(axis, value) == value for axis, value in ONLY_AT.items()):
            kinds = COMPUTES_IN.get(str(point["quantization"]), KINDS)
            compute[place] = max(known[f"{kind}_macs_per_s"] for kind in kinds)
            reading[place] = _rate(known, float(weight_bytes[place]))
    compute_ns = results["multiply_adds"] / like.copy(data=compute) * NS_PER_S
    memory_ns = results["weight_bytes"] / like.copy(data=reading) * NS_PER_S
    bound: xr.DataArray = xr.apply_ufunc(np.maximum, compute_ns, memory_ns, dask="allowed")
    limited = np.where(compute_ns >= memory_ns, "compute", "memory")
    found = {
        "compute_ns": (compute_ns, "ns"),
        "memory_ns": (memory_ns, "ns"),
        "bound_ns": (bound, "ns"),
        "roof_share": (bound / like, "1"),
        "roof_share_low": (bound / results["ci_high_ns"], "1"),
        "roof_share_high": (bound / results["ci_low_ns"], "1"),
        "macs_per_s": (results["multiply_adds"] / like * NS_PER_S, "s-1"),
        "macs_per_byte": (results["multiply_adds"] / results["weight_bytes"], "byte-1"),
    }
    variables = {name: value.assign_attrs(units=units) for name, (value, units) in found.items()}
    said = like.copy(data=np.where(np.isfinite(bound), limited, "").astype(object)).drop_attrs()
    return xr.Dataset({**variables, "limited_by": said})


def _rate(known: Peaks, weight_bytes: float) -> float:
    """Return how fast so many bytes are read again and again, between the sizes measured."""
    sizes, rates = (np.log(np.array(known[name], float)) for name in ("sizes", "read_bytes_per_s"))
    if not weight_bytes > 0:
        return float("inf") if weight_bytes == 0 else float("nan")
    return float(np.exp(np.interp(np.log(weight_bytes), sizes, rates)))


def _by_type(results: xr.Dataset, peaks: Any) -> dict[str, dict[int, Peaks]]:
    """Return what is known of each thread count of each CPU type."""
    types = [str(value) for value in np.atleast_1d(results.coords.get("cpu_type", LOCAL))]
    if not isinstance(peaks, Mapping) or "peaks" in peaks:
        if len(types) > 1:
            raise UserError(
                f"The peaks are of one machine, and the results of {', '.join(types)}.",
                'Give them by CPU type: {"' + types[0] + '": "peaks.json"}.',
            )
        peaks = {types[0]: peaks}
    if types and not peaks.keys() & types:
        raise UserError(f"There are no peaks of {', '.join(types)}.", nearest(types[0], peaks))
    return {name: _by_threads(given) for name, given in peaks.items()}


def _by_threads(given: Path | str | Peaks) -> dict[int, Peaks]:
    where = "The peaks" if isinstance(given, Mapping) else f"The peaks in {str(given)!r}"
    try:
        said = given if isinstance(given, Mapping) else json.loads(Path(given).read_text())
        sizes = said["read_bytes"]
        return {int(row["threads"]): _checked(row, sizes) for row in said["peaks"]}
    except OSError as error:
        raise UserError(f"{where} cannot be read: {error.strerror}.") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(
            f"{where} are not as they should be.", "litesweep peaks --json > peaks.json"
        ) from error


def _checked(row: Peaks, sizes: Any) -> Peaks:
    """Return the peaks of a thread count with the sizes that were read.

    Raises
    ------
    ValueError
        If they are no rates, or not one for each size.
    """
    reading = row["read_bytes_per_s"]
    if not all(rate > 0 for rate in (*reading, *(row[f"{kind}_macs_per_s"] for kind in KINDS))):
        raise ValueError("rates that are none")
    if len(reading) != len(sizes):
        raise ValueError("another number of sizes")
    return {**row, "sizes": sizes}
