"""How often a step is called in made-up histories: the tables of docs/history.md.

`python -m docs.history` prints them; it takes a minute.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from analysis.change_points import segments

SERIES = 2000
RUNS = (6, 10, 20, 50)
Draw = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]


def with_outliers(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Draw noise in which one run of twenty is five standard deviations slower."""
    return rng.standard_normal(count) + 5 * (rng.random(count) < 0.05)


def autocorrelated(
    rng: np.random.Generator, count: int, correlation: float
) -> npt.NDArray[np.float64]:
    """Draw noise in which each run is like the one before."""
    noise = rng.standard_normal(count) * np.sqrt(1 - correlation**2)
    noise[0] = rng.standard_normal()
    for place in range(1, count):
        noise[place] += correlation * noise[place - 1]
    return noise


UNCHANGED: dict[str, Draw] = {
    "independent, normal": lambda rng, n: rng.standard_normal(n),
    "heavy tails (Student's t, 3 degrees of freedom)": lambda rng, n: rng.standard_t(3, n),
    "5 % of the runs slower by five deviations": with_outliers,
    "neighbours correlate by 0.3": lambda rng, n: autocorrelated(rng, n, 0.3),
    "neighbours correlate by 0.5": lambda rng, n: autocorrelated(rng, n, 0.5),
}
CHANGED = {
    "the last two runs": lambda n: slice(n - 2, n),
    "the second half": lambda n: slice(n // 2, n),
    "four runs in the middle, then as before": lambda n: slice(n // 2, n // 2 + 4),
}


def main() -> None:
    """Print both tables."""
    rng = np.random.default_rng(0)
    print(f"| runs that never change | {' | '.join(f'{n} runs' for n in RUNS)} |")
    print("|---|" + "---:|" * len(RUNS))
    for name, draw in UNCHANGED.items():
        shares = [
            np.mean([len(segments(draw(rng, n), 0.05).starts) > 1 for _ in range(SERIES)])
            for n in RUNS
        ]
        print(f"| {name} | {' | '.join(f'{100 * share:.0f} %' for share in shares)} |")
    sizes = (3, 4, 5, 6)
    print(f"\n| of 20 runs, slower are | {' | '.join(f'by {s} deviations' for s in sizes)} |")
    print("|---|" + "---:|" * len(sizes))
    for name, places in CHANGED.items():
        slower = places(20)
        shares = []
        for size in sizes:
            series = rng.standard_normal((SERIES // 4, 20))
            series[:, slower] += size
            shares.append(np.mean([slower.start in segments(of, 0.05).starts for of in series]))
        print(f"| {name} | {' | '.join(f'{100 * share:.0f} %' for share in shares)} |")


if __name__ == "__main__":
    main()
