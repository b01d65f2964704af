"""How long a trial samples, so that an interval of a given width takes the least time.

Of two ways to spend a second, more samples in a trial or one more trial, the better one depends on
which of the two varies more, and on what a trial costs before its first sample. Kalibera and Jones,
ISMM'13 (doi 10.1145/2464157.2464160), section 6: with a cost c to start a trial, the variance p
between trials and the variance w / t that sampling for a time t leaves in a trial, the time to a
given precision, (p + w / t) (c + t), is least at t = sqrt(c w / p). A trial's own error need not be
far below the precision asked for either, so that t goes no further than to a quarter of it.
"""

import math
from collections.abc import Sequence

import numpy as np

from suite.results.rows import TrialRow
from suite.trial.protocol import TrialRequest

PILOT_NS = TrialRequest.sampling_ns
"""For trials from which the variances are learnt."""
PILOT_TRIALS = 3
LEAST_NS = 100_000_000
MOST_NS = 2_000_000_000
"""Beyond it a trial tells of the node's moods rather than of the cell."""
ERROR_SHARE = 0.25
BLOCKS = 4
LEAST_BLOCK = 3


def sampling_time_ns(trials: Sequence[TrialRow], precision: float) -> int:
    """Return for how long the next trial of a cell is to sample, in ns, by those it has.

    Parameters
    ----------
    precision
        Relative half-width of the interval that the cell is to have.
    """
    ok = [trial for trial in trials if trial.status == "ok" and trial.sampling_wall_ns > 0]
    if len(ok) < PILOT_TRIALS:
        return PILOT_NS
    rates = [rate for trial in ok if (rate := _variance_rate_ns(trial)) is not None]
    if not rates:  # too slow for more than the least number of samples
        return LEAST_NS
    rate_ns = float(np.mean(rates))
    within = float(np.mean([rate_ns / trial.sampling_wall_ns for trial in ok]))
    between = float(np.var(np.log([trial.figure_ns for trial in ok]), ddof=1)) - within
    best_ns = rate_ns / (ERROR_SHARE * precision) ** 2
    if between > 0:  # else trials do not differ beyond what their samples do
        start_ns = float(np.median([t.process_wall_ns - t.sampling_wall_ns for t in ok]))
        best_ns = min(best_ns, math.sqrt(start_ns * rate_ns / between))
    return round(min(MOST_NS, max(LEAST_NS, best_ns)))


def _variance_rate_ns(trial: TrialRow) -> float | None:
    """Return the variance of the log of a trial's median, times its sampling time.

    By blocks and not by single samples: neighbours are alike, and their variance alone would have
    the median far more certain than it is. None where there are too few samples for blocks.
    """
    kept = trial.latency_ns[trial.warmup_count :]
    size = len(kept) // BLOCKS
    if size < LEAST_BLOCK:
        return None
    blocks = np.median(kept[: size * BLOCKS].reshape(BLOCKS, size), axis=1)
    return float(np.var(np.log(blocks), ddof=1)) / BLOCKS * trial.sampling_wall_ns
