"""What profiles mean: shares, medians over nodes, the table, and names that are text."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

import analysis
from analysis.profiles import by_type
from suite import UserError
from suite.results.rows import OperatorRow
from suite.results.write import write_results
from tests.rows import a_node, an_operator
from tests.rows import a_run as made_up

NAMES = ("CONV_2D", "Convolution (NHWC, F32) IGEMM")


def a_profile(cell: int = 0, node: str = "n0", times: tuple[float, ...] = (7e3, 2e3, 1e3)) -> Any:
    """Return operators of a cell: two of a type by XNNPACK, one of LiteRT's own."""
    return tuple(
        an_operator(
            f"{cell} {node} {place}",
            operator_cell_id=f"c{cell}",
            operator_node_id=node,
            operator_place=place,
            operator_type=NAMES[place < 2],
            operator_delegate="xnnpack" * (place < 2),
            operator_ns=ns,
            operator_runs=9,
        )
        for place, ns in enumerate(times)
    )


def written(folder: Path, *operators: OperatorRow, nodes: int = 1) -> Path:
    """Write the results of two cells, that were profiled as `operators` say."""
    results = made_up(({}, [10e3] * 6), ({"threads": 2}, [6e3] * 6))
    more = tuple(a_node(f"n{n}", host=f"host{n}") for n in range(1, nodes))
    results = replace(results, nodes=(*results.nodes, *more), operators=operators)
    write_results(folder / "results.h5", results)
    return folder


def test_operators_have_their_share_and_their_cell(tmp_path: Path) -> None:
    folder = written(tmp_path, *a_profile(1), *a_profile(0)[::-1])
    found = analysis.operators(folder)
    assert list(found["threads"]) == [1] * 3 + [2] * 3
    assert list(found["place"]) == [0, 1, 2] * 2
    assert list(found["share"]) == pytest.approx([0.7, 0.2, 0.1] * 2)
    assert list(found["run_by"]) == ["xnnpack", "xnnpack", "litert"] * 2
    assert list(found["latency_ns"]) == [10e3] * 3 + [6e3] * 3
    assert set(analysis.operators(f"{folder}:threads=2")["threads"]) == {2}
    with pytest.raises(UserError, match="no threads '3'"):
        analysis.operators(f"{folder}:threads=3")


def test_types_are_summed_on_each_node_and_the_median_taken_over_nodes(tmp_path: Path) -> None:
    slow = a_profile(0, "n1", (10e3, 8e3, 2e3))
    found = by_type(analysis.operators(written(tmp_path, *a_profile(), *slow, nodes=2)))
    assert list(found["type"]) == [NAMES[1], NAMES[0]]
    assert list(found["count"]) == [2, 1]
    assert list(found["ns"]) == [13.5e3, 1.5e3]
    assert list(found["share"]) == pytest.approx([0.9, 0.1])


def test_a_type_by_two_is_two_lines(tmp_path: Path) -> None:
    rows = [replace(row, operator_type="MEAN") for row in a_profile()]
    assert list(by_type(analysis.operators(written(tmp_path, *rows)))["run_by"]) == [
        "xnnpack",
        "litert",
    ]


def shown(found: Any, *, each: bool = False) -> str:
    console = Console(width=100, file=io.StringIO())
    console.print(analysis.operators_to_rich_table(found, each=each))
    return cast(io.StringIO, console.file).getvalue()


def test_the_table_says_what_is_below_the_resolution_and_what_it_lacks(tmp_path: Path) -> None:
    lack = an_operator("lack", operator_cell_id="c1", operator_error="killed by SIGSEGV")
    found = analysis.operators(written(tmp_path, *a_profile(times=(7e3, 500, 400)), lack))
    text = shown(found, each=True)
    assert re.search(r"1 Convolution \(NHWC, F32\) IGEMM xnnpack +< 1 µs +6.3", text)
    assert re.search(r"2 CONV_2D +litert +0.400 µs +5.1", text)
    assert "7.90 µs in all; its trials, unprofiled, have a latency of 10.0 µs (0.790 times)" in text
    assert "not profiled: resnet50, float32, threads 2, local: killed by SIGSEGV" in text
    assert "the rest cut off" in text
    own = found[found["run_by"] == "litert"]
    assert "the rest cut off" not in shown(own)


def test_results_without_a_profile_say_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no cell was profiled") as error:
        analysis.operators(written(tmp_path))
    assert "profile = true" in str(error.value)


def test_names_of_operators_are_text_in_figure_and_report(tmp_path: Path) -> None:
    rows = [replace(row, operator_type="<script>$x_1$") for row in a_profile()]
    folder = written(tmp_path, *rows)
    found, results = analysis.operators(folder), analysis.open_results(folder)
    drawn = analysis.write_figures(results, tmp_path, ["svg"], operators=found)
    [figure] = [path for path in drawn if path.name == "operators.svg"]
    assert "$x_1$" in figure.read_text()
    page = analysis.write_report(results, tmp_path / "report.html", operators=found).read_text()
    assert "<td>&lt;script&gt;$x_1$</td>" in page
    assert 'id="operators"' not in analysis.write_report(results, tmp_path / "b.html").read_text()
