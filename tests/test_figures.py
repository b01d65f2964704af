"""The figures: which are drawn, what is on them, and that the same results give the same bytes."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from analysis import operators, planes, quantiles, write_figures
from analysis.figures import operators as operators_of
from analysis.figures import style
from analysis.figures.distribution import distribution_figure
from analysis.figures.drift import drift_figure
from analysis.figures.heat_map import heat_map_figure
from analysis.figures.latency import latency_figure
from analysis.figures.nodes import nodes_figure
from analysis.figures.pareto import pareto_figure
from analysis.figures.scaling import FIT, speedup_figure
from analysis.figures.style import spread
from suite.quantizations import RECIPES
from suite.results.rows import Results
from tests.conftest import REPOSITORY, Litesweep, Opened
from tests.rows import a_cell, a_cluster, a_run, an_operator, some_results

Draw = Callable[[xr.Dataset], Figure]
FORMATS = ("svg", "png", "pdf")


def files(*names: str, formats: Iterable[str] = FORMATS[:2]) -> list[str]:
    """Return the files of the figures."""
    return [f"{name}.{kind}" for name, kind in product(names, formats)]


FILES = files("latency", "speedup", "heat_map", "drift")


def a_grid(
    quantizations: Iterable[str],
    threads: Iterable[int],
    models: Iterable[str] = ("resnet50",),
    trials: int = 6,
) -> Results:
    """Return a run of every cell, whose latencies scatter by about 2 %."""
    noise = np.random.default_rng(0)
    return a_run(
        *(
            (
                {"model": model, "quantization": quantization, "threads": count},
                (6e7 / (number + 1) / count**0.8 * noise.normal(1, 0.02, trials)).astype(int),
            )
            for model, (number, quantization), count in product(
                models, enumerate(quantizations), threads
            )
        )
    )


def texts(figure: Figure) -> list[str]:
    """Return what is written inside the figure's panels."""
    return [text.get_text() for panel in figure.axes for text in panel.texts]


def points(panel: Axes) -> list[PathCollection]:
    """Return the panel's points: those that are drawn, not those for the legend."""
    found = [artist for artist in panel.collections if isinstance(artist, PathCollection)]
    return [artist for artist in found if len(np.ma.compressed(artist.get_offsets()))]


def test_files_are_written_where_told(opened: Opened, tmp_path: Path) -> None:
    results = opened(a_grid(["float32", "int8"], [1, 2]))
    written = write_figures(results, tmp_path / "new" / "folder")
    assert [path.name for path in written] == FILES
    for path in written:
        start = b"<?xml" if path.suffix == ".svg" else b"\x89PNG"
        assert path.read_bytes().startswith(start)


def test_the_same_results_give_the_same_bytes(opened: Opened, tmp_path: Path) -> None:
    """In processes of their own, for the hash seeds to differ."""
    opened(a_grid(["float32", "int8"], [1, 2]))
    digests = []
    for folder in ("a", "b"):
        command = [sys.executable, "-m", "jobs", "figures", str(tmp_path), "--out"]
        formats = [f"--format={kind}" for kind in FORMATS]
        subprocess.run([*command, tmp_path / folder, *formats], check=True, cwd=REPOSITORY)
        content = [path.read_bytes() for path in sorted((tmp_path / folder).iterdir())]
        assert len(content) == 5 * len(FORMATS)
        digests.append([hashlib.sha256(data).hexdigest() for data in content])
    assert digests[0] == digests[1]


def test_one_thread_count_has_no_speed_up(opened: Opened, tmp_path: Path) -> None:
    for threads in ([1], [2], [2, 4]):
        written = write_figures(opened(a_grid(["float32"], threads)), tmp_path)
        assert [path.name for path in written] == files("latency", "drift")


def test_what_there_is_data_for_is_drawn(opened: Opened, tmp_path: Path) -> None:
    results = opened(a_cluster(6))
    written = write_figures(results, tmp_path / "f", ["pdf"], quantiles(tmp_path))
    names = ("latency", "speedup", "heat_map", "pareto", "distribution", "drift", "nodes")
    assert [path.name for path in written] == files(*names, formats=["pdf"])
    assert all(path.read_bytes().startswith(b"%PDF") for path in written)


def test_instances_that_all_serve_a_rate_have_no_figure_of_their_own(
    opened: Opened, tmp_path: Path
) -> None:
    cells = [
        ({"scenario": f"server@{rate}/s", "instances": count}, [10**6] * 6)
        for rate in (100, 200)
        for count in (1, 2)
    ]
    drawn = write_figures(opened(a_run(*cells)), tmp_path, ["svg"])
    assert [path.stem for path in drawn] == ["latency", "load", "drift"]


@pytest.mark.parametrize("trials", [[], [({}, [])]])
def test_nothing_measured_has_no_figures(opened: Opened, tmp_path: Path, trials: Any) -> None:
    assert write_figures(opened(a_run(*trials)), tmp_path) == []


def test_the_command_says_that_nothing_was_measured(
    opened: Opened, litesweep: Litesweep, tmp_path: Path
) -> None:
    opened(a_run(({}, [])))
    done = litesweep("figures", tmp_path)
    assert done.returncode == 2 and "nothing was measured there" in done.stderr
    assert not (tmp_path / "figures").exists()


def test_names_in_any_script_are_drawn_in_silence(opened: Opened, tmp_path: Path) -> None:
    results = opened(a_run(({"model": "\u6a21\u578b \U0001f680"}, [10**6] * 6)))
    vector, *_ = write_figures(results, tmp_path / "f")
    assert "\u6a21\u578b" in vector.read_text(encoding="utf-8")


def test_a_panel_without_a_measured_cell_stays_empty(opened: Opened, tmp_path: Path) -> None:
    grid = a_grid(("float32", "int8"), (1, 2), ("good", "failed"))
    failed = {cell.cell_id for cell in grid.cells if cell.axes["model"] == "failed"}
    trials = tuple(trial for trial in grid.trials if trial.cell_id not in failed)
    results = opened(replace(grid, trials=trials))
    found = quantiles(tmp_path / "results.h5")
    written = write_figures(results, tmp_path / "figures", quantiles=found)
    assert "distribution.svg" in {path.name for path in written}


def test_samples_that_are_all_alike_are_drawn(opened: Opened, tmp_path: Path) -> None:
    results = opened(a_run(({}, [10**6])))
    figure = distribution_figure(results, quantiles(tmp_path))
    least, most = figure.axes[0].get_xlim()
    assert least < 1 < most


def test_each_value_stands_beside_its_point(opened: Opened) -> None:
    figure = latency_figure(opened(a_run(({}, [60_000_000] * 6), ({"threads": 2}, [999_000]))))
    assert texts(figure) == ["60.0 ms ±0.0 %", "999 µs"]


def test_what_has_no_value_says_so(opened: Opened) -> None:
    run = a_run(({}, [10**6] * 6), ({"threads": 2}, []), ({"quantization": "int8"}, []))
    assert texts(latency_figure(opened(run))) == ["1.00 ms ±0.0 %", "missing", "missing", ""]


@pytest.mark.parametrize("other", [10**6, 10**9])
def test_a_vast_interval_hides_nothing(opened: Opened, tmp_path: Path, other: int) -> None:
    results = opened(a_run(({}, [10**6, 9 * 10**6]), ({"threads": 2}, [other] * 6)))
    written, *_ = write_figures(results, tmp_path)
    drawn = written.read_text()
    for text in texts(latency_figure(results)):
        assert text in drawn


def test_what_is_not_valid_is_hollow(opened: Opened) -> None:
    figure = latency_figure(opened(a_run(({}, [10**6] * 6), ({"quantization": "int8"}, [10**6]))))
    valid, invalid = points(figure.axes[0])
    np.testing.assert_array_equal(valid.get_facecolor(), valid.get_edgecolor())
    np.testing.assert_array_equal(invalid.get_facecolor(), [[1, 1, 1, 1]])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["1 thread", "not valid: see table"]


def test_a_speed_up_over_what_is_not_valid_is_hollow(opened: Opened) -> None:
    run = a_run(({}, [10**6]), ({"threads": 2}, [6 * 10**5] * 6), ({"threads": 4}, [10**5] * 6))
    (drawn,) = points(speedup_figure(opened(run)).axes[0])
    np.testing.assert_array_equal(drawn.get_facecolor(), [[1, 1, 1, 1]])


def test_a_name_is_never_a_formula(opened: Opened) -> None:
    figure = latency_figure(opened(a_run(({"model": r"$\frac$"}, [10**6] * 6))))
    figure.draw_without_rendering()
    assert figure.axes[0].get_title("left") == r"$\frac$"


def test_each_model_has_its_panel(opened: Opened, tmp_path: Path) -> None:
    results = opened(a_grid(["float32", "int8"], [1, 2], models=["one", "two"]))
    for draw in (latency_figure, speedup_figure):
        panels = draw(results).axes
        assert [panel.get_title("left") for panel in panels] == ["one", "two"]
        assert panels[0].get_xlim() == panels[1].get_xlim()
    assert [path.name for path in write_figures(results, tmp_path)] == FILES


def test_of_many_models_the_first_have_a_panel(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planes, "MOST_PLANES", 2)
    results = opened(a_grid(["float32", "int8"], [1, 2], models=["one", "two", "three"]))
    figure = latency_figure(results)
    assert [panel.get_title("left") for panel in figure.axes] == ["one", "three"]
    assert figure.get_supxlabel() == "drawn are the first 2 of 3"
    assert all(panel.get_xlabel().startswith("latency") for panel in figure.axes)
    assert [path.name for path in write_figures(results, tmp_path)] == FILES


def test_no_figure_is_taller_than_can_be_looked_at(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "TALLEST", 5)
    figure = latency_figure(
        opened(a_grid(["float32", "int8"], range(1, 9), ["one", "two", "three"]))
    )
    assert figure.get_figheight() < 6
    assert figure.get_supxlabel() == "drawn are the first 2 of 3"


def test_of_many_profiles_the_first_are_drawn(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators_of, "MOST_CELLS", 2)
    cells = tuple(a_cell(f"c{n}", model=f"{n}" + 100 * "e") for n in range(3))
    plain = {"operator_type": "ADD", "operator_ns": 1e6}
    rows = (an_operator(f"o{n}", operator_cell_id=f"c{n}", **plain) for n in range(3))
    opened(some_results(cells=cells, operators=tuple(rows)))
    figure = operators_of.operators_figure(operators(tmp_path))
    (panel,) = figure.axes
    assert len(panel.patches) == 2
    assert figure.get_supxlabel().endswith("of the first 2 of 3 cells")
    figure.draw_without_rendering()
    assert panel.get_position().width > 0.4


def test_lines_and_the_ideal_are_named(opened: Opened) -> None:
    figure = speedup_figure(opened(a_grid(["float32", "int8"], [1, 2, 4])))
    assert sorted(texts(figure)) == ["float32", "ideal", "int8"]
    (panel,) = figure.axes
    assert panel.get_xticks().tolist() == [1, 2, 4]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["1", "2", "4"]
    np.testing.assert_array_equal(panel.lines[0].get_xydata(), [[1, 1], [2, 2], [4, 4]])


@pytest.mark.parametrize(
    "threads", [[1, 2], [1, 2, 4, 8], [1, 2, 4, 8, 16, 32, 48, 64], range(1, 17)]
)
@pytest.mark.parametrize("recipes", [RECIPES[:5], RECIPES])
@pytest.mark.parametrize("draw", [latency_figure, speedup_figure])
def test_no_text_lies_on_another(
    opened: Opened,
    draw: Draw,
    recipes: tuple[str, ...],
    threads: Iterable[int],
) -> None:
    figure = draw(opened(a_grid(recipes, threads)))
    figure.draw_without_rendering()
    (panel,) = figure.axes
    least, most = panel.get_xlim()
    ticks = [tick for tick in panel.get_xticklabels() if least <= tick.get_position()[0] <= most]
    # Of the text alone: an annotation's own extent has its line in it.
    boxes = [Text.get_window_extent(text) for text in (*panel.texts, *ticks) if text.get_text()]
    assert len(boxes) > 1
    assert not [(a, b) for place, a in enumerate(boxes) for b in boxes[:place] if a.overlaps(b)]
    for box in boxes:
        assert figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1)


def test_a_law_is_drawn_where_it_can_be_fitted(opened: Opened) -> None:
    two = speedup_figure(opened(a_grid(["float32"], [1, 2])))
    assert not two.legends
    three = speedup_figure(opened(a_grid(["float32"], [1, 2, 4])))
    assert [text.get_text() for text in three.legends[0].get_texts()] == [FIT]
    _, fit, *_ = three.axes[0].lines
    assert fit.get_linestyle() == ":" and len(fit.get_xdata()) == 50
    assert fit.get_ydata()[-1] == pytest.approx(4**0.8, rel=0.05)


def test_a_field_has_its_number_and_is_hatched_where_not_valid(opened: Opened) -> None:
    run = a_run(
        *(({"threads": n}, [10**7 // n] * 6) for n in (1, 2)),
        ({"quantization": "int8"}, [10**6]),
        ({"quantization": "int8", "threads": 2}, []),
    )
    figure = heat_map_figure(opened(run))
    assert texts(figure) == ["10.0 ms\n±0.0 %", "5.00 ms\n±0.0 %", "1.00 ms", "missing"]
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    assert [patch.get_xy() for patch in hatched if isinstance(patch, Rectangle)] == [(0, 1)]


def test_the_front_is_named_with_its_probability(opened: Opened) -> None:
    figure = pareto_figure(opened(a_cluster(1)))
    assert texts(figure) == ["int8, 4 threads: 100 %"]
    assert len(points(figure.axes[0])) >= 2


def test_a_front_is_drawn_across_what_can_be_made_of_a_model(opened: Opened) -> None:
    grid = [
        ({"optimization": o, "resolution": r, "instances": i}, [ns] * 6)
        for i in (1, 2)
        for o, r, ns in (("none", 0, 3 * 10**6), ("ternary", 0, 2 * 10**6), ("none", 96, 10**6))
    ]
    results = opened(a_run(*grid))
    results["artifact_compressed_bytes"] = results["median_ns"] * 0 + 2**20
    figure = pareto_figure(results, "artifact_compressed_bytes")
    titles = [panel.get_title("left") for panel in figure.axes]
    assert titles == ["resnet50, instances 1", "resnet50, instances 2"]
    assert texts(figure) == ["96px float32, 1 thread: 100 %"] * 2
    assert figure.get_supxlabel().startswith("size of the file under gzip")


def test_a_slow_node_stands_out(opened: Opened, tmp_path: Path) -> None:
    results = opened(a_cluster(8, slowest=1.2))
    figure = nodes_figure(results)
    (panel,) = figure.axes
    assert panel.get_title("left") == "local: 8 nodes, outliers (×): 1"
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names[-1] == "host7" and len(names) == 8
    lines = distribution_figure(results, quantiles(tmp_path)).axes[0]
    assert "host7" in [text.get_text() for text in lines.texts]
    assert max(np.nanmedian(line.get_xdata()) for line in lines.lines) == pytest.approx(1.2, 0.02)


def test_a_drift_is_seen_in_the_means_of_rounds(opened: Opened) -> None:
    grid = [({"threads": n}, [10**6, 10**6, 10**6, 10**6, 12 * 10**5]) for n in (1, 2, 4)]
    line = drift_figure(opened(a_run(*grid))).axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [1, 1, 1, 1, 1.2])


def test_a_fit_lies_among_what_was_measured(opened: Opened) -> None:
    counts = [1, 2, 4, 8, 16, 32, 64]  # by another law, which it meets in the mean
    grid = [({"threads": n}, [round(10**9 / n**0.85)] * 6) for n in counts]
    _, fit, *_ = speedup_figure(opened(a_run(*grid))).axes[0].lines
    threads, speedup = fit.get_xdata(), fit.get_ydata()
    away = np.log(np.interp(counts, threads, speedup) / np.array(counts) ** 0.85)
    assert abs(np.mean(away)) < 0.01 < max(abs(away))


def test_samples_of_some_cells_say_so(opened: Opened, tmp_path: Path) -> None:
    results = opened(a_cluster(2, models=("one", "two")))
    of_all = distribution_figure(results, quantiles(tmp_path))
    some = quantiles(tmp_path, most=2 * 2 * 6 * 50)
    assert some.sizes["cell"] == 2
    figure = distribution_figure(results, some)
    assert "of 2 of 12 cells, drawn at random" in figure.get_supxlabel()
    assert sum(len(panel.lines) for panel in figure.axes) in (
        2,
        4,
    )  # nodes of one model, or of both
    assert "drawn" not in of_all.get_supxlabel()
    same = distribution_figure(results, quantiles(tmp_path, most=10**6))
    for one, other in zip(of_all.axes[0].lines, same.axes[0].lines, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())


def test_of_many_nodes_those_that_stray_furthest_are_named(opened: Opened) -> None:
    one = a_cluster(12)
    drifting = [
        replace(trial, latency_ns=trial.latency_ns * 2)
        if (trial.node_id, trial.round) == ("local 5", 3)
        else trial
        for trial in one.trials
    ]
    figure = drift_figure(opened(replace(one, trials=tuple(drifting))))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(names) == 7 and "host5" in names
    assert "12 nodes, in colour the 7" in figure.axes[0].get_title("left").replace("\n", " ")


def test_a_long_name_leaves_the_panels_their_room(opened: Opened) -> None:
    figure = latency_figure(opened(a_grid(["float32"], [1], ["m" * 200, "short"])))
    figure.draw_without_rendering()
    assert figure.axes[0].get_position().width > 0.6


def test_many_fields_have_a_key_to_their_colours(opened: Opened) -> None:
    *_, key = heat_map_figure(opened(a_grid(["float32", "int8"], range(1, 10)))).axes
    assert key.get_ylabel() == "latency, ms"
    assert len(key.get_yticks()) > 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(0.01, 0.2))
def test_names_keep_their_distance_and_their_order(wanted: list[float], gap: float) -> None:
    places = spread(sorted(wanted), gap)
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(places))
    assert np.mean(places) == pytest.approx(np.mean(wanted))  # none is pushed to one side
