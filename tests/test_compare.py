"""`litesweep compare`: what it prints, its exit codes, its mistakes, and its table."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from analysis import compare, comparison_to_json, comparison_to_rich_table, open_slice, summary
from analysis.figures.comparison import comparison_figure
from analysis.planes import MOST_BARS
from analysis.report.charts.forest import forest
from analysis.table import thread_count
from suite.errors import UserError
from suite.results.write import write_results
from tests.conftest import Litesweep, Opened
from tests.rows import POINT, a_run
from tests.test_comparison import NOISY, STEADY, runs, slower_by


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two quantizations at two thread counts; int8 is slower at one of them."""
    cells = [
        ({"quantization": "float32", "threads": 1}, STEADY),
        ({"quantization": "float32", "threads": 2}, STEADY),
        ({"quantization": "int8", "threads": 1}, slower_by(0.05)),
        ({"quantization": "int8", "threads": 2}, STEADY),
    ]
    folder = tmp_path / "run"
    folder.mkdir()
    write_results(folder / "results.h5", a_run(*cells))
    return folder


def test_a_regression_is_told_and_is_exit_code_1(litesweep: Litesweep, run: Path) -> None:
    done = litesweep("compare", f"{run}:quantization=float32", f"{run}:quantization=int8")
    assert (done.returncode, done.stderr) == (1, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "1 1.00 µs 1.05 µs 1.050 1.050 to 1.051 slower" in lines
    assert lines[-1] == ("B is slower in 1 of 2 cells (by 5.0 %), faster in none, the same in 1.")


def test_what_is_within_the_threshold_is_no_regression(litesweep: Litesweep, run: Path) -> None:
    slices = f"{run}:quantization=float32", f"{run}:quantization=int8"
    assert litesweep("compare", *slices, "--threshold", "0.06").returncode == 0
    assert litesweep("compare", *reversed(slices)).returncode == 0
    assert litesweep("compare", run, run / "results.h5").returncode == 0


def test_json_and_markdown_say_the_same(litesweep: Litesweep, run: Path) -> None:
    slices = f"{run}:quantization=float32,threads=1", f"{run}:quantization=int8,threads=1"
    said = json.loads(litesweep("compare", *slices, "--json").stdout)
    assert (said["a"], said["threshold"]) == (slices[0], 0.01)
    (cell,) = said["cells"]
    assert (cell["outcome"], cell["more"], cell["replicates"]) == ("slower", 0, 8)
    assert cell["model"] == POINT["model"]
    assert said["summary"] in (text := litesweep("compare", *slices, "--md").stdout)
    assert "| 1.00 µs | 1.05 µs | 1.050 | 1.050 to 1.051 | slower |" in text


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("run:thread=1", "run", ["no axis 'thread'", "'threads'"]),
        ("run:threads=3", "run", ["no threads '3'", "1, 2"]),
        ("run:threads", "run", ["'threads' is not AXIS=VALUE"]),
        ("run:threads=1,threads=2", "run", ["twice"]),
        ("run:threads=1", "run:quantization=int8", ["different axes", "same axes on both"]),
        ("run:threads=1,threads_=2", "run", ["no axis 'threads_'"]),
        ("nothing", "run", ["nothing"]),
        ("nothing:threads=1", "run", ["'nothing'"]),
    ],
)
def test_mistakes(litesweep: Litesweep, run: Path, a: str, b: str, words: list[str]) -> None:
    done = litesweep("compare", a, b, cwd=run.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr


def test_a_slice_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "results.h5"
    write_results(path, a_run(({}, STEADY), ({"threads": 2}, [])))
    with pytest.raises(UserError, match="nothing was measured there"):
        open_slice(f"{path}:threads=2")


def test_a_colon_may_be_part_of_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a:b=c.h5"
    write_results(path, a_run(({}, STEADY), ({"threads": 2}, STEADY)))
    assert "threads" in open_slice(str(path))["status"].dims
    assert "threads" not in open_slice(f"{path}:threads=2")["status"].dims


def printed(compared: xr.Dataset) -> str:
    """Return the table as it looks where it is not on a terminal, blanks run together."""
    out = io.StringIO()
    Console(file=out, width=80).print(comparison_to_rich_table(compared))
    lines = (" ".join(line.split()) for line in out.getvalue().splitlines())
    return "\n".join(lines)


def test_the_table_tells_what_is_open(opened: Opened) -> None:
    restless = [900, 1200, 1100, 1000, 1300]
    a = opened(a_run(({}, STEADY), ({"threads": 2}, restless), ({"threads": 4}, STEADY)))
    other = a_run(({}, STEADY), ({"threads": 2}, restless[::-1]), provenance={"run_id": "other"})
    text = printed(compare(a, opened(other)))
    assert "1 1.00 µs 1.00 µs 1.000 0.999 to 1.001 same\n" in text
    assert re.search(r"2 1\.10 µs 1\.10 µs 1\.000 0\.777 to 1\.\d+ undecided, \+\w+ trials a", text)
    assert "\na few trials: under 6" in text
    assert "\nundecided, +n: about n more would decide it" in text
    assert "\nonly A has a latency: threads=4\n" in text
    assert text.endswith("faster in none, the same in 1, undecided in 1.")


def test_the_table_tells_of_single_nodes() -> None:
    medians = np.median(NOISY.latencies(np.random.default_rng(11), 1), axis=-1)
    text = printed(compare(*runs(medians, 2 * medians, cpu_type="zen4")))
    assert "undecided: single node\n\nsingle node: one node tells nothing about others" in text


def test_the_figure_shows_what_the_table_says(opened: Opened) -> None:
    restless = [900, 1200, 1100, 1000, 1300]
    a = opened(a_run(*(({"threads": t}, STEADY) for t in (1, 2, 4))))
    cells = ({"threads": 1}, slower_by(0.1)), ({"threads": 2}, STEADY), ({"threads": 4}, restless)
    b = opened(a_run(*cells, provenance={"run_id": "other"}))
    compared = compare(a, b)
    (panel,) = comparison_figure(compared).axes
    (right,) = panel.child_axes
    names = [label.get_text() for label in panel.get_yticklabels()]
    words = [label.get_text() for label in right.get_yticklabels()]
    lines, points = (panel.collections[n : 2 * len(names) : 2] for n in (0, 1))
    by_name = {thread_count(r["threads"]): r for r in comparison_to_json(compared)}
    assert names == sorted(by_name, key=lambda name: by_name[name]["ratio"])
    for name, line, word in zip(names, lines, words, strict=True):
        ends = [by_name[name]["ratio_low"], by_name[name]["ratio_high"]]
        assert line.get_segments()[0][:, 0].tolist() == ends
        assert word.startswith(f"{by_name[name]['ratio']:.3f} ({ends[0]:.3f} to {ends[1]:.3f}) ")
        assert by_name[name]["outcome"] in word
    hollow = [point.get_facecolor()[0][:3].tolist() == [1, 1, 1] for point in points]
    assert dict(zip(names, hollow, strict=True)) == {  # of few trials, so not valid
        "1 thread": False,
        "2 threads": False,
        "4 threads": True,
    }


def test_a_figure_of_very_many_cells_has_those_furthest_from_1(opened: Opened) -> None:
    many = range(1, MOST_BARS + 40)
    a = opened(a_run(*(({"threads": t}, STEADY) for t in many)))
    cells = [({"threads": t}, slower_by(t / 100)) for t in many]
    b = opened(a_run(*cells, provenance={"run_id": "other"}))
    (panel,) = comparison_figure(compare(a, b)).axes
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names == [thread_count(t) for t in many[-MOST_BARS:]]
    assert panel.get_title(loc="left").endswith("(the 60 furthest from 1 of 99)")


def test_long_names_leave_room_for_the_ratios(opened: Opened, tmp_path: Path) -> None:
    cells = [({"model": letter * 300}, STEADY) for letter in "ab"]
    a, b = (opened(a_run(*cells, provenance={"run_id": name})) for name in "ab")
    figure = comparison_figure(compare(a, b))
    figure.savefig(tmp_path / "forest.png")  # which lays it out; a warning is an error
    assert figure.axes[0].get_window_extent().width > figure.bbox.width / 4


def test_a_name_with_a_line_break_stays_in_its_row(opened: Opened) -> None:
    cells = [({"model": model}, [10**6] * 6) for model in ("one\ntwo", "three")]
    (panel,) = comparison_figure(compare(opened(a_run(*cells)), opened(a_run(*cells)))).axes
    assert {label.get_text() for label in panel.get_yticklabels()} == {"one two", "three"}


def test_long_names_that_differ_anywhere_are_told_apart(opened: Opened) -> None:
    names = ["_".join(["part" * 8, end, "rest" * 8]) for end in ("v1", "v2")]
    points = [
        {"model": model, "optimization": optimization, "threads": threads}
        for model in names
        for optimization in ("prune@0.5+cluster@16", "prune@0.5+cluster@32")
        for threads in (1, 2)
    ]
    run = opened(a_run(*((point, STEADY) for point in points)))
    (panel,) = comparison_figure(compare(run, run)).axes
    labels = {label.get_text() for label in panel.get_yticklabels()}
    assert max(map(len, labels)) < 60
    for named in (labels, {*forest(compare(run, run)).figure.layout.yaxis.ticktext}):
        assert len(named) == len(points) == 8
        assert all(any(end in label for end in ("v1", "v2")) for label in named)


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_figure_is_drawn_by_the_command(litesweep: Litesweep, run: Path, kind: str) -> None:
    sides = f"{run}:quantization=float32", f"{run}:quantization=int8"
    file = run / "new" / f"forest.{kind}"
    done = litesweep("compare", *sides, "--figure", file)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[0] == str(file)
    assert "B is slower in 1 of 2 cells" in done.stdout
    first = file.read_bytes()
    litesweep("compare", *sides, "--figure", file)
    assert file.read_bytes() == first


def test_a_figure_has_a_format(litesweep: Litesweep, run: Path) -> None:
    done = litesweep("compare", run, run, "--figure", run / "forest.gif")
    assert done.returncode == 2
    assert "forest.gif" in done.stderr
    assert ".svg, .png, .pdf" in done.stderr


def test_the_sentence(opened: Opened) -> None:
    cells = [({"threads": t}, STEADY) for t in (1, 2, 3, 4)]
    other = [
        ({"threads": 1}, slower_by(0.1)),
        ({"threads": 2}, slower_by(-0.2)),
        ({"threads": 3}, [900, 1200, 1100, 1000, 1300]),
        ({"threads": 4}, slower_by(0.03)),
    ]
    a = opened(a_run(*cells))
    b = opened(a_run(*other, provenance={"run_id": "other"}))
    assert summary(compare(a, b)) == (
        "B is slower in 2 of 4 cells (by 3.0 % to 10.0 %), faster in 1 (by 20.0 %), "
        "the same in none, undecided in 1."
    )
