"""Take the pictures of docs/report.md, or measure a large page (both need Chromium).

`python -m docs.report` takes the pictures; `python -m docs.report 100` makes up 100 models with 100
cells each, and prints what a report on them costs.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

import analysis
from suite.results.rows import Results
from suite.results.write import write_results
from tests.browser import DESKTOP, PHONE, chromium, open_in, picture, run
from tests.rows import a_cluster, a_run, a_state

DAY_NS = 24 * 3600 * 10**9
NAMES = "float32", "float16", "dynamic", "int8", "int4"
HERE = Path(__file__).parent


def a_made_up_cluster() -> Results:
    """Return a run of 24 nodes, one of them slower, with their states."""
    made_up = a_cluster(
        12,
        recipes={"float32": (1, 1), "float16": (1.02, 2), "dynamic": (3.1, 4), "int8": (4.8, 4)},
        threads=(1, 2, 4, 8, 16),
        cpu_types=("skylake", "zen3"),
        slowest=1.08,
        name="made-up-cluster",
        created="2026-11-26",
    )
    noise = np.random.default_rng(0)
    states = [
        a_state(
            f"{node.node_id} {turn}",
            state_node_id=node.node_id,
            state_round=turn,
            state_unix_ns=60 * 10**9 * turn,
            state_probe_ns=1e7 * noise.lognormal(0, 0.005),
            state_load=noise.uniform(0, 0.5),
        )
        for node in made_up.nodes
        for turn in range(7)
    ]
    return replace(made_up, states=tuple(states))


def write_nights(folder: Path) -> None:
    """Write fourteen runs, a day apart; int8 is slower since the ninth."""
    noise = np.random.default_rng(0)
    for night in range(14):
        slower = 1.05 if night >= 8 else 1.0
        cells = [
            (
                {"quantization": name, "threads": threads},
                (4e7 / gain / threads**0.9 * noise.lognormal(noise.normal(0, 0.005), 0.003, 6)
                 * (slower if name == "int8" else 1)).astype(int),
            )
            for name, gain in (("float32", 1), ("int8", 4))
            for threads in (1, 2, 4)
        ]  # fmt: skip
        packages = f'{{"ai-edge-litert": "2.3.{int(night >= 8)}"}}'
        provenance = {"name": "nightly", "run_id": str(night), "sweep": "", "packages": packages}
        made_up = a_run(*cells, provenance=provenance)
        start = 1_793_000_000 * 10**9 + night * DAY_NS
        trials = (replace(t, start_unix_ns=start + n) for n, t in enumerate(made_up.trials))
        path = folder / f"night{night:02}"
        path.mkdir()
        write_results(path / "results.h5", replace(made_up, trials=tuple(trials)))


def take_pictures(folder: Path) -> None:
    """Write the pictures that stand in the documents."""
    write_results(folder / "results.h5", a_made_up_cluster())
    results = analysis.open_results(folder)
    extra = analysis.quantiles(folder), analysis.states(folder)
    report = analysis.write_report(results, folder / "report.html", *extra)
    sides = results.sel(cpu_type="skylake"), results.sel(cpu_type="zen3")
    compared = analysis.write_comparison(
        analysis.compare(*sides), *sides, folder / "compare.html", ("skylake", "zen3")
    )
    nights = folder / "nights"
    nights.mkdir()
    write_nights(nights)
    judged = analysis.history(*analysis.open_history([nights]))
    history = analysis.write_history(judged, folder / "history.html")
    for file, name, size, dark, height in (
        (report, "report-desktop", DESKTOP, False, 1250),
        (report, "report-phone", PHONE, True, 1250),
        (compared, "compare-page", DESKTOP, False, 1150),
        (history, "history-page", DESKTOP, False, 1150),
    ):
        path = HERE / f"{name}.png"
        with chromium(size, dark) as browser:
            open_in(browser, file)
            picture(browser, path, height)
        with Image.open(path) as taken:
            taken.quantize(128).save(path, optimize=True)


def measure(folder: Path, models: int) -> None:
    """Print what a report on a large run costs: cells, MB, s to write, s until a chart is there."""
    made_up = a_cluster(
        1,
        models=[f"model-{n:04}" for n in range(models)],
        recipes={name: (gain, gain) for gain, name in enumerate(NAMES, 1)},
        threads=(1, 2, 4, 6, 8, 12, 16, 24, 32, 48),
        cpu_types=("skylake", "zen3"),
    )
    write_results(folder / "results.h5", made_up)
    results, quantiles = analysis.open_results(folder), analysis.quantiles(folder)
    begun = time.perf_counter()
    states = analysis.states(folder)
    file = analysis.write_report(results, folder / "report.html", quantiles, states)
    taken = time.perf_counter() - begun
    with chromium() as browser:
        open_in(browser, file)
        drawn = run(browser, "return performance.getEntriesByName('drawn cells')[0].startTime")
    size = f"{file.stat().st_size / 1e6:.1f} MB, written in {taken:.0f} s"
    print(f"{len(made_up.cells)} cells: {size}, first chart after {drawn / 1000:.1f} s")


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        if sys.argv[1:]:
            measure(Path(scratch), int(sys.argv[1]))
        else:
            take_pictures(Path(scratch))
