"""What an artifact has lost of the reference's accuracy."""

import numpy as np
import xarray as xr
from scipy.special import ndtri

from analysis.runs import check_cells
from suite.intervals import CONFIDENCE

POINTS = 100
"""A point is a hundredth of all examples."""
NEEDS = ("labelled_top1", "reference_top1", "top1_agreement", "labelled_examples")


def accuracy_loss(results: xr.Dataset) -> xr.Dataset:
    """Return how many points of top-1 accuracy each cell's artifact has lost.

    Artifact and reference saw the same examples, so they differ only on those on which their top-1
    does: at most that many are right with the one and wrong with the other. The interval is that
    of a difference of paired proportions with as many (Bonett and Price, Journal of Educational and
    Behavioral Statistics 37, 2012, doi 10.3102/1076998611411915), so rather too wide.

    Parameters
    ----------
    results
        As `analysis.open_results` returns them.

    Returns
    -------
    xarray.Dataset
        Over the sweep's axes: `points_lost`, the reference's top-1 less the artifact's in points
        (percent of the labelled test examples; below zero is a gain), with `points_lost_low` and
        `points_lost_high`, its 95 % interval. NaN without labels, or without a reference.

    Raises
    ------
    UserError
        If there is no cell or no node to be asked about.

    Examples
    --------
    >>> accuracy_loss(results)["points_lost"].sel(quantization="int8")  # doctest: +SKIP
    """
    check_cells(results)
    own, reference, agreement, examples = (results[name] for name in NEEDS)
    count = examples + 2
    lost = reference - own
    centre = lost * examples / count
    differing = ((1 - agreement) * examples + 2) / count
    error = np.sqrt((differing - centre**2).clip(min=0) / count)
    half = float(ndtri(0.5 + CONFIDENCE / 2)) * error
    ends = {"": lost, "_low": centre - half, "_high": centre + half}
    return xr.Dataset(
        {
            f"points_lost{end}": (POINTS * value.where(examples > 0)).assign_attrs(units="percent")
            for end, value in ends.items()
        }
    )
