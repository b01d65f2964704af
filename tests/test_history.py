"""Histories of runs: steps told from how runs differ, and no others; the command line."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

import analysis
from analysis.change_points import LEAST_RUNS, first_p_value, segments
from suite.errors import UserError
from suite.results.write import write_results
from tests.conftest import Litesweep
from tests.rows import a_run

DAY_NS = 24 * 3600 * 10**9
Floats = npt.NDArray[np.float64]


# Change points


def test_a_step_is_found_where_it_is() -> None:
    values = np.array([0.0, 0.1, -0.1, 0, 0.1, 5, 5.1, 4.9, 5])
    found = segments(values, 0.05)
    assert found.starts == (0, 5)
    assert found.means == pytest.approx((0.02, 5.0))
    assert (found.of(0), found.of(4), found.of(5), found.of(8)) == (0, 0, 1, 1)
    difference, low, high = found.between(0, 1)
    assert difference == pytest.approx(4.98) and low < 4.98 < high
    assert found.between(1, 1)[0] == 0 and math.isnan(found.between(1, 1)[1])


def test_a_bad_week_that_was_mended_is_two_steps() -> None:
    values = np.array([0, 0.1, -0.1, 0, 0.1, 0, 5, 5.1, 4.9, 5, 0.1, 0, -0.1, 0])
    assert segments(values, 0.05).starts == (0, 6, 10)


def test_steps_within_steps_are_found() -> None:
    noise = np.tile([0.0, 0.1, -0.1], 4)
    values = np.concatenate([noise, noise + 3, noise + 9])
    assert segments(values, 0.05).starts == (0, 12, 24)


def test_one_run_is_no_step() -> None:
    quiet = np.tile([0.0, 0.1, -0.1], 4)
    for place in (0, 5, len(quiet) - 1):
        values = quiet.copy()
        values[place] = 50
        assert segments(values, 0.05).starts == (0,)


@pytest.mark.parametrize("values", [[3.0] * 8, [1.0, 2.0, 3.0], [1.0]])
def test_what_does_not_vary_or_is_too_short_has_no_step(values: list[float]) -> None:
    assert segments(np.array(values), 0.05).starts == (0,)
    p_value = first_p_value(np.array(values))
    assert math.isnan(p_value) if len(values) < LEAST_RUNS else p_value == 1


def test_a_step_without_any_noise_is_certain() -> None:
    values = np.array([1.0, 1, 1, 2, 2, 2])
    assert first_p_value(values) == 0
    assert segments(values, 1e-6).starts == (0, 3)


def autocorrelated(rng: np.random.Generator, count: int, correlation: float) -> Floats:
    noise = rng.standard_normal(count) * math.sqrt(1 - correlation**2)
    noise[0] = rng.standard_normal()
    for place in range(1, count):
        noise[place] += correlation * noise[place - 1]
    return noise


def with_outliers(rng: np.random.Generator, count: int) -> Floats:
    """Return noise in which one run of twenty is five standard deviations slower."""
    return rng.standard_normal(count) + 5 * (rng.random(count) < 0.05)


def called(draw: Callable[[int], Floats], count: int, series: int = 1000) -> float:
    """Return the share of series in which a step is called."""
    return float(np.mean([len(segments(draw(count), 0.05).starts) > 1 for _ in range(series)]))


@pytest.mark.parametrize("count", [5, 10, 20, 50])
def test_without_a_change_no_more_is_called_than_the_level_says(count: int) -> None:
    rng = np.random.default_rng(count)
    assert called(rng.standard_normal, count) < 0.065  # 5 %, and chance of 1000 series
    assert called(lambda n: with_outliers(rng, n), count) < 0.15


def test_runs_that_are_like_their_neighbours_are_called_too_often() -> None:
    """docs/history.md says so."""
    rng = np.random.default_rng(0)
    assert 0.25 < called(lambda n: autocorrelated(rng, n, 0.5), 20) < 0.5


def test_a_step_of_five_deviations_is_found_two_runs_later() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        values = rng.standard_normal(20)
        values[-2:] += 5
        found.append(18 in segments(values, 0.05).starts)
    assert np.mean(found) > 0.9


# Histories


def write_runs(
    folder: Path,
    changes: dict[str, Sequence[float]],
    count: int = 12,
    batches_since: int | None = None,
    **provenance: str,
) -> list[Path]:
    """Write runs a day apart: of each quantization the factor of its latency in each run.

    From the run `batches_since` on, they have cells at batch 8 too.
    """
    rng, runs = np.random.default_rng(0), []
    for number in range(count):
        noise = {
            name: factors[number] * rng.lognormal(0, 0.004) for name, factors in changes.items()
        }
        cells = [
            ({"quantization": name}, (1e7 * of * rng.lognormal(0, 0.002, 6)).astype(int))
            for name, of in noise.items()
            if of
        ]
        if batches_since is not None and number >= batches_since:
            cells = [({**axes, "batch": n}, n * of) for axes, of in cells for n in (1, 8)]
        made_up = a_run(
            *cells,
            provenance={
                "run_id": f"r{number}",
                "sweep": "",
                "packages": json.dumps({"runtime": "1.1" if number >= 7 else "1.0"}),
                **provenance,
            },
        )
        late = [
            replace(trial, start_unix_ns=number * DAY_NS + turn)
            for turn, trial in enumerate(made_up.trials, 10**18)
        ]
        path = folder / f"night{number:02}"
        path.mkdir(parents=True)
        write_results(path / "results.h5", replace(made_up, trials=tuple(late)))
        runs.append(path)
    return runs


SLOWER_SINCE_7 = [1.0] * 7 + [1.05] * 5
MENDED = [1.0] * 4 + [1.05] * 4 + [1.0] * 4


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: int8 is slower since the eighth, float16 was for a while."""
    folder = tmp_path_factory.mktemp("nights")
    write_runs(
        folder, {"float32": [1.0] * 12, "int8": SLOWER_SINCE_7, "float16": MENDED}, name="nightly"
    )
    return folder


@pytest.fixture(scope="module")
def judged(nights: Path) -> xr.Dataset:
    return analysis.history(*analysis.open_history([nights]))


def outcome(judged: xr.Dataset, name: str) -> str:
    return str(judged["outcome"].sel(quantization=name).squeeze().item())


def test_each_cell_is_held_against_the_oldest_run(judged: xr.Dataset) -> None:
    assert judged.attrs["baseline"] == "night00" and judged.attrs["newest"] == "night11"
    assert outcome(judged, "int8") == "slower"
    assert outcome(judged, "float32") == outcome(judged, "float16") == "unchanged"
    int8 = judged.sel(quantization="int8").squeeze()
    assert int8["ratio_low"] < 1.05 < int8["ratio_high"]
    assert int8["confidence"] > 0.95  # Holm
    assert 0.002 < int8["run_sd"] < 0.008
    assert int8["level_ns"].values[0] == pytest.approx(1e7, rel=0.005)
    assert int8["level_ns"].values[-1] == pytest.approx(1.05e7, rel=0.005)


def test_steps_say_when_how_much_and_what_else_changed(judged: xr.Dataset) -> None:
    steps = [step for step in analysis.steps(judged) if step.point["quantization"] == "int8"]
    (step,) = steps
    assert (step.run, step.after, step.changed) == ("night07", "night06", ("runtime 1.0 → 1.1",))
    assert step.low < 1.05 < step.high
    mended = [s for s in analysis.steps(judged) if s.point["quantization"] == "float16"]
    assert [s.run for s in mended] == ["night08", "night04"]
    assert mended[0].ratio < 1 < mended[1].ratio


def test_a_stored_baseline_may_be_any_run(nights: Path, tmp_path: Path) -> None:
    (of_old,) = write_runs(tmp_path / "old", {"int8": [1.05]}, count=1, name="nightly")
    runs, name = analysis.open_history([nights], nights / "night09")
    assert (name, runs.sizes["run"]) == ("night09", 12)
    assert outcome(analysis.history(runs, name), "int8") == "unchanged"
    stored = of_old.rename(tmp_path / "baseline")
    runs, name = analysis.open_history([nights], stored)
    assert (name, runs.sizes["run"]) == ("baseline", 13)
    assert outcome(analysis.history(runs, name), "float32") == "undecided"
    reasons = analysis.history(runs, name)["reason"].sel(quantization="float32")
    assert reasons.squeeze().item() == "not_in_baseline"


def test_what_cannot_be_told_is_undecided(tmp_path: Path) -> None:
    write_runs(tmp_path, {"float32": [1.0] * 3, "int8": [1.0] * 3}, count=3)
    judged = analysis.history(*analysis.open_history([tmp_path]))
    assert set(judged["outcome"].values.flat) == {"undecided"}
    assert set(judged["reason"].values.flat) == {"few_runs"}
    assert "undecided in 2" in analysis.history_summary(judged)


def test_a_cell_that_the_newest_run_lacks_is_undecided(tmp_path: Path) -> None:
    write_runs(tmp_path, {"float32": [1.0] * 6, "int8": [1.0] * 5 + [0]}, count=6)
    judged = analysis.history(*analysis.open_history([tmp_path]))
    assert outcome(judged, "int8") == "undecided"
    assert judged["reason"].sel(quantization="int8").squeeze().item() == "not_in_newest"


def test_a_cell_goes_on_when_later_runs_have_an_axis_more(tmp_path: Path) -> None:
    write_runs(tmp_path, {"float32": [1.0] * 12, "int8": SLOWER_SINCE_7}, batches_since=5)
    judged = analysis.history(*analysis.open_history([tmp_path])).squeeze(drop=True)
    at = judged["outcome"].sel(quantization="int8")
    assert at.to_series().to_dict() == {1: "slower", 8: "undecided"}
    assert judged["reason"].sel(quantization="int8", batch=8) == "not_in_baseline"
    steps = {(step.run, step.point["batch"]) for step in analysis.steps(judged)}
    assert ("night07", 1) in steps


def test_a_small_step_does_not_matter(nights: Path) -> None:
    judged = analysis.history(*analysis.open_history([nights]), threshold=0.1)
    assert outcome(judged, "int8") == "unchanged" and analysis.steps(judged) == []


def test_mistakes_are_told(nights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no results\.h5"):
        analysis.open_history([tmp_path])
    with pytest.raises(UserError, match="list is empty"):
        analysis.open_history([])
    runs, _ = analysis.open_history([nights])
    with pytest.raises(UserError, match="no run 'other'"):
        analysis.history(runs, "other")
    write_results(tmp_path / "empty.h5", a_run(({}, [])))
    with pytest.raises(UserError, match=r"None of the runs .* empty: .* no trial that measured"):
        analysis.open_history([tmp_path / "empty.h5"])
    with pytest.raises(UserError, match=r"empty\.h5' has no trial"):
        analysis.open_history([nights], tmp_path / "empty.h5")
    with pytest.raises(UserError, match="no results file"):
        analysis.open_history([nights, tmp_path / "mistyped.h5"])


def test_a_run_with_nothing_to_show_is_named_and_left_out(
    litesweep: Litesweep, tmp_path: Path
) -> None:
    runs = write_runs(tmp_path / "runs", {"float32": [1.0] * 6}, count=6)
    write_results(runs[2] / "results.h5", a_run(({}, [])))
    (runs[5] / "results.h5").write_bytes(b"cut off")
    told = litesweep("history", "runs", "--json")
    assert told.returncode == 0, told.stderr
    said = json.loads(told.stdout)
    assert [run["run"] for run in said["runs"]] == ["night00", "night01", "night03", "night04"]
    assert [line.partition(":")[0] for line in said["left_out"]] == ["night02", "night05"]
    assert "left out: night02: " in litesweep("history", "runs").stdout
    assert "left out: night05: " in litesweep("history", "runs", "--html", "h.html").stdout
    assert "Left out: night05: " in (tmp_path / "h.html").read_text()
    gate = litesweep("history", "runs", "--fail-on-regression")
    assert gate.returncode == 2 and "night02: " in gate.stderr


# The command line


def test_the_command_tells_and_fails_where_it_is_asked_to(
    litesweep: Litesweep, nights: Path
) -> None:
    told = litesweep("history", nights, "--fail-on-regression")
    assert told.returncode == 1, told.stderr
    text = " ".join(told.stdout.split())
    assert "slower in 1 of 3 cells, faster in none, unchanged in 2" in text
    assert "changed in between: runtime 1.0 → 1.1" in text
    since = litesweep(
        "history", nights, "--fail-on-regression", "--baseline", nights / "night08", "--json"
    )
    assert since.returncode == 0
    said = json.loads(since.stdout)
    assert (said["baseline"], said["newest"], len(said["runs"])) == ("night08", "night11", 12)
    assert {cell["outcome"] for cell in said["cells"]} <= {"unchanged", "faster"}
    assert {step["run"] for step in said["steps"]} == {"night04", "night07", "night08"}


def test_the_command_writes_a_page(litesweep: Litesweep, nights: Path, tmp_path: Path) -> None:
    done = litesweep("history", nights, "--html", "h.html")
    assert done.returncode == 0 and done.stdout.startswith("h.html")
    assert (tmp_path / "h.html").stat().st_size < 5 * 10**6
