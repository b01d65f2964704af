"""The report: what it says, that names are text in it, and how it behaves in a browser."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from analysis import write_report
from analysis.report import page
from analysis.report.answers import answers, trust
from analysis.report.charts import charts
from suite.results.rows import Results
from suite.results.write import write_results
from tests.browser import DESKTOP, MISSING, PHONE, chromium
from tests.conftest import Litesweep, Opened
from tests.rows import a_cell, a_cluster, a_run

STEADY = [100, 101, 99, 100, 102, 98]
EVIL = "<script>evil()</script><img src=x onerror=evil()>&amp;"
LIMIT_BYTES = 8 * 10**6


def a_sweep(models: tuple[str, ...] = ("resnet50",), host: str = "host") -> Results:
    """Return a run whose int8 is not valid."""
    return a_cluster(models=models, host=host, unsteady="int8", name="demo", run_id="r1")


# What it says


def test_the_answers_are_sentences_with_their_intervals(opened: Opened) -> None:
    (said,) = answers(opened(a_sweep()))
    assert said.title == "resnet50"
    text = " ".join(said.sentences).replace("\u00a0", " ")
    assert re.search(r"Fastest: int8 on 4 threads, 2\.8\d ms \(95 % interval 2\.\d+ ms to", text)
    assert "Not valid: no steady state." in text
    assert re.search(r"Over float32 on as many threads: (4\.0\d|3\.9\d) times faster \(", text)
    assert "the file 4.00 times smaller" in text
    assert re.search(r"int8 on 4 threads over one: 3\.\d+ times faster .* of the work is", text)
    assert "Smallest: int8, 16.0 MiB." in text
    assert re.search(r"Cheapest: int8 on 1 thread, \d+ core-seconds", text)


def test_what_cannot_be_told_apart_is_not_told_apart(opened: Opened) -> None:
    (said,) = answers(opened(a_run(({}, STEADY), ({"quantization": "int8"}, STEADY[::-1]))))
    text = " ".join(said.sentences)
    assert "Not beyond doubt" in text
    assert "no difference can be told" in text or "float32" in said.sentences[0]


def test_slower_is_said_as_slower(opened: Opened) -> None:
    twice = [2 * latency for latency in STEADY]
    (said,) = answers(opened(a_run(({}, STEADY), ({"threads": 2}, twice))))
    assert "float32 on 2 threads over one: 2.00 times slower (2.00 to 2.00)." in said.sentences


def test_the_trust_in_it_is_told(opened: Opened) -> None:
    whole, energy, nodes = trust(opened(a_sweep()))
    assert whole == "3 of 6 cells are valid; of the others the table says why."
    assert re.search(r"local: 6 nodes, whose latencies spread by 0\.\d.%; none is an", nodes)
    assert energy == "Energy was not measured: no trial counted it."
    assert trust(opened(a_run(({}, STEADY))))[0] == "All 1 cells are valid."


def test_each_chart_needs_its_data(opened: Opened) -> None:
    def names(results: Results) -> list[str]:
        return [chart.name for chart in charts(opened(results))]

    assert names(a_sweep()) == ["cells", "scaling", "drift", "nodes"]
    assert names(a_run(({}, STEADY))) == ["cells", "drift"]
    assert names(a_run(({}, []))) == []


def test_many_trials_are_thinned_out_and_it_says_so(opened: Opened) -> None:
    drift = charts(opened(a_run(({}, [100 + n % 7 for n in range(9000)]))))[1]
    assert drift.caption.endswith("Shown are 3000 of 9000 trials.")


@pytest.mark.parametrize(
    "results",
    [
        Results((), (), (), (), {}),
        a_run(({}, [])),
        a_run(({}, [5])),
        a_run(({"batch": 8}, STEADY), ({"batch": 1}, STEADY)),
        replace(a_run(({}, STEADY)), artifacts=()),
    ],
    ids=["nothing", "unmeasured", "one trial", "an axis more", "no artifact"],
)
def test_there_is_a_report_on_anything(opened: Opened, results: Results) -> None:
    if not results.artifacts and results.cells:
        results = replace(results, cells=(a_cell(artifact_key=""),))
    assert "</html>" in page(opened(results))


def test_the_same_results_give_the_same_page(opened: Opened) -> None:
    results = opened(a_sweep())
    assert page(results) == page(results)


# What comes from files is text


class Elements(HTMLParser):
    """The elements of a page, and whether one is of evil."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name.startswith("on") for name, _ in attrs)
        self.tags.append(tag)


def an_evil_run() -> Results:
    """Return a run whose every name and text is markup."""
    run = a_sweep((EVIL, "b"), host=EVIL)
    failed = a_cell("failed", quantization=EVIL, artifact_key="", build_error=EVIL)
    provenance = {
        "name": EVIL,
        "run_id": EVIL,
        "sweep": f"# {EVIL}",
        "created": EVIL,
        "packages": EVIL,
    }
    return replace(run, cells=(*run.cells, failed), provenance=provenance)


def test_names_are_never_markup(opened: Opened) -> None:
    evil, tame = Elements(), Elements()
    text = page(opened(an_evil_run()))
    evil.feed(text)
    tame.feed(page(opened(a_sweep(("a", "b")))))
    assert set(evil.tags) == set(tame.tags) | {"li", "code"}
    assert "<script>evil" not in text and "<img" not in evil.tags
    assert "img" not in evil.tags and evil.tags.count("script") == tame.tags.count("script")


# The command line


def test_the_command_writes_beside_the_results(
    opened: Opened, litesweep: Litesweep, tmp_path: Path
) -> None:
    opened(a_run(({}, STEADY)))
    done = litesweep("report", tmp_path)
    assert done.stdout.strip() == str(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < LIMIT_BYTES
    assert litesweep("report", tmp_path / "results.h5", "--out", "new/r.html").returncode == 0
    assert (tmp_path / "new/r.html").read_text() == (tmp_path / "report.html").read_text()


def test_what_is_no_run_has_no_report(litesweep: Litesweep, tmp_path: Path) -> None:
    done = litesweep("report", tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "results.h5" in done.stderr and "Traceback" not in done.stderr


# In a browser

in_a_browser = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on the evil run."""
    from analysis import open_results

    folder = tmp_path_factory.mktemp("report")
    write_results(folder / "results.h5", an_evil_run())
    return write_report(open_results(folder), folder / "report.html")


@pytest.fixture(scope="module")
def browser(file: Path) -> Iterator[Chrome]:
    """A browser that has the report open."""
    with chromium() as browser:
        open_in(browser, file)
        yield browser


def open_in(browser: Chrome, file: Path) -> None:
    browser.get(file.as_uri())
    WebDriverWait(browser, 60).until(
        lambda b: (
            b.find_elements(By.CSS_SELECTOR, ".dtcc-search input")
            and len(b.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg")) > 3
        )
    )


def run(browser: Chrome, script: str) -> Any:
    return browser.execute_script(script)  # type: ignore[no-untyped-call]


def column(browser: Chrome, number: int) -> list[str]:
    cells = browser.find_elements(By.CSS_SELECTOR, f"#cells-table tbody td:nth-child({number})")
    return [cell.text for cell in cells]


def heading(browser: Chrome, text: str) -> int:
    headings = browser.find_elements(By.CSS_SELECTOR, "#cells-table thead tr:first-child th")
    return [heading.text for heading in headings].index(text) + 1


def choose(browser: Chrome, chart: str, label: str, option: str) -> None:
    for control in browser.find_elements(By.CSS_SELECTOR, f'[data-chart="{chart}"]'):
        name = control.find_element(By.XPATH, "..").text.splitlines()[0].strip()
        if name == label:
            Select(control).select_by_visible_text(option)


@in_a_browser
def test_the_console_is_silent_and_nothing_is_fetched(browser: Chrome) -> None:
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    events = browser.get_log("performance")  # type: ignore[no-untyped-call]
    sent = [json.loads(event["message"])["message"] for event in events]
    urls = [
        s["params"]["request"]["url"] for s in sent if s["method"] == "Network.requestWillBeSent"
    ]
    assert urls
    assert not [url for url in urls if url.startswith(("http", "ws"))]


@in_a_browser
def test_names_are_text_in_the_charts_too(browser: Chrome) -> None:
    assert not run(browser, "return typeof evil !== 'undefined' || document.querySelector('img')")
    shown = browser.find_element(By.ID, "answers").text
    assert EVIL in shown
    labels = browser.find_elements(By.CSS_SELECTOR, "#nodes .xaxislayer-above text")
    assert any(label.get_attribute("textContent") == f"{EVIL}0" for label in labels)


@in_a_browser
def test_the_table_is_sorted_by_number_not_by_text(browser: Chrome) -> None:
    number = heading(browser, "latency ms")
    of_column = browser.find_element(By.CSS_SELECTOR, f"#cells-table thead th:nth-child({number})")
    of_column.click()
    WebDriverWait(browser, 20).until(lambda _: of_column.get_attribute("aria-sort") == "ascending")
    *measured, last = column(browser, number)
    assert last == "failed"
    assert len(measured) == 12
    assert [float(text) for text in measured] == sorted(map(float, measured))


@in_a_browser
def test_the_table_is_filtered_as_a_whole_and_by_column(browser: Chrome) -> None:
    search = browser.find_element(By.CSS_SELECTOR, ".dt-search input")
    search.send_keys("int8")
    assert set(column(browser, heading(browser, "quantization"))) == {"int8"}
    search.clear()
    search.send_keys(" ")
    number = heading(browser, "threads")
    by_column = browser.find_elements(By.CSS_SELECTOR, "#cells-table thead .dtcc-search input")
    by_column[number - 1].send_keys("4")
    assert column(browser, number) == ["4"] * 4
    by_column[number - 1].send_keys(Keys.BACKSPACE)
    assert len(column(browser, number)) == 13


@in_a_browser
def test_axes_and_scales_of_a_chart_are_chosen(browser: Chrome) -> None:
    def axis() -> Any:
        x = "document.getElementById('cells')._fullLayout.xaxis"
        return tuple(run(browser, f"return [{x}.type, {x}.title.text]"))

    assert axis() == ("log", "file, MiB")
    before = run(browser, "return document.getElementById('cells').data[0].x")
    choose(browser, "cells", "x axis", "threads")
    choose(browser, "cells", "x scale", "linear")
    assert axis() == ("linear", "threads")
    assert before != run(browser, "return document.getElementById('cells').data[0].x")
    assert run(browser, "return document.getElementById('cells').data[0].x") == [1, 2, 4]
    choose(browser, "cells", "show", "b")
    shown = run(browser, "return document.getElementById('cells').data.map(t => t.visible)")
    assert shown.count(True) and shown.count(False)
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


@in_a_browser
def test_a_point_tells_of_itself(browser: Chrome) -> None:
    run(browser, "Plotly.Fx.hover('scaling', [{curveNumber: 1, pointNumber: 2}])")
    told = browser.find_element(By.CSS_SELECTOR, "#scaling .hovertext").text
    assert EVIL in told and "4 threads" in told and "times faster" in told


@in_a_browser
def test_all_of_it_is_reached_by_keyboard_and_named(browser: Chrome) -> None:
    nameless = """
        return [...document.querySelectorAll('select, #table input, [role=region]')].filter(
            e => !(e.labels && e.labels.length) && !e.ariaLabel && !e.placeholder && !e.title
        ).map(e => e.outerHTML.slice(0, 200))"""
    assert run(browser, nameless) == []
    scrolling = "return [...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0)"
    assert run(browser, scrolling)
    assert run(browser, "return document.documentElement.lang") == "en"
    levels = run(
        browser, "return [...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])"
    )
    assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels))


CONTRAST = """
const light = c => {
    const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255).map(
        v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const paper = light(getComputedStyle(document.body).backgroundColor);
return [...document.querySelectorAll('p, li, td, figcaption, a, .xtitle, .legendtext')].map(e => {
    const style = getComputedStyle(e), ink = light(e.closest('svg') ? style.fill : style.color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
})
"""


@in_a_browser
@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (DESKTOP, True), (PHONE, True)])
def test_it_is_legible_on_any_screen(file: Path, size: tuple[int, int], dark: bool) -> None:
    with chromium(size, dark) as browser:
        open_in(browser, file)
        assert run(browser, "return document.documentElement.scrollWidth") <= size[0]
        paper = run(browser, "return getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", paper))) < 60) == dark
        ratios = run(browser, CONTRAST)
        assert len(ratios) > 50
        assert min(ratios) >= 4.5  # WCAG 2.2, 1.4.3
        assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
