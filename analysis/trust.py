"""Which cells a question may be answered from."""

import xarray as xr

DISQUALIFYING = {
    "output_not_finite",
    "output_differs",
    "cpu_type_mismatch",
    "affinity_mismatch",
    "artifact_changed",
    "replicate_copied",
    "recipe_not_applied",
}
"""Reasons for which a number is that of something else than its cell.

Other reasons speak of how sure a number is; its interval tells that too.
"""


def usable(results: xr.Dataset) -> xr.DataArray:
    """Say which cells were measured, and are what they say they are."""
    disqualified: xr.DataArray = xr.apply_ufunc(
        lambda reasons: not DISQUALIFYING.isdisjoint(reasons.split()),
        results["verdict"].fillna(""),  # where `where` has left nothing
        vectorize=True,
        output_dtypes=[bool],
    )
    # Of some nodes only, there may be no trial of a cell that others have measured.
    measured: xr.DataArray = results["trial_median_ns"].notnull().any(["node", "trial"])
    good: xr.DataArray = measured & results["median_ns"].notnull() & ~disqualified
    return good
