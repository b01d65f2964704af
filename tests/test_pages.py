"""The pages in a browser: that they work, are legible and reached by all, and names are text."""

from collections.abc import Iterator
from dataclasses import fields, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

import analysis
from analysis.report import tables
from suite.results.normal import KINDS
from suite.results.rows import Column, Results
from suite.results.write import write_results
from tests.browser import (
    DESKTOP,
    MISSING,
    PHONE,
    choose,
    chromium,
    complaints,
    look_as,
    open_in,
    requests,
    run,
    say,
    wait_until_drawn,
)
from tests.rows import a_cell, a_cluster, a_state

EVIL = "<script>evil()</script><img src=x onerror=evil()>&amp;</script>'\""
EVIL_NAME = "<img src=x onerror=evil()>&amp;'\""
"""As a file's name can be."""
LONG = "b" * 180
PAGES = ("report", "comparison", "history")
LIMIT_BYTES = 5 * 10**6
OF_THE_PROGRAM = ("status", "holds", "recipe", "state_id")
"""Texts that mean something to the program, so that a file with others cannot be read as one."""


def evil(row: Any) -> Any:
    """Return a row whose every free text is markup."""
    texts = {
        name: EVIL
        for name, kind in KINDS[type(row)].items()
        if isinstance(kind, Column) and kind.dtype == "str"
    }
    told = {field.name for field in fields(row)}
    kept = {name for name in told if name in OF_THE_PROGRAM or name.endswith(("_id", "_key"))}
    return replace(row, **{name: text for name, text in texts.items() if name not in kept})


def an_evil_run(seed: str = "") -> Results:
    """Return a run whose every name and text is markup; its trials have run to their end."""
    made_up = a_cluster(models=(EVIL, LONG), host=EVIL, unsteady="int8")
    failed = a_cell("failed", quantization=EVIL, artifact_key="")
    nodes = tuple(replace(evil(node), host=node.host) for node in made_up.nodes)
    keys = ("name", "run_id", "sweep", "created", "packages", "platform", "git_commit")
    return replace(
        made_up,
        cells=(*(replace(cell, build_error="") for cell in made_up.cells), evil(failed)),
        artifacts=tuple(map(evil, made_up.artifacts)),
        nodes=nodes,
        states=tuple(
            evil(a_state(f"{node.node_id} {n}", state_node_id=node.node_id, state_unix_ns=n))
            for node in nodes
            for n in range(3)
        ),
        provenance=dict.fromkeys(keys, f"# {EVIL}{seed}"),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of all kinds on evil runs; of their tables a part is packed."""
    folder = tmp_path_factory.mktemp("pages")
    runs = [folder / f"{n}{EVIL_NAME}" for n in range(4)]
    for n, path in enumerate(runs):
        made_up = an_evil_run(str(n))
        later = [
            replace(trial, start_unix_ns=trial.start_unix_ns + n * 10**15)
            for trial in made_up.trials
        ]
        path.mkdir()
        write_results(path / "results.h5", replace(made_up, trials=tuple(later)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROWS_AS_HTML", 5)
        a, b = map(analysis.open_results, runs[:2])
        extra = analysis.quantiles(runs[0]), analysis.states(runs[0])
        analysis.write_report(a, folder / "report.html", *extra)
        names = str(runs[0]), str(runs[1])
        compared = analysis.compare(a, b)
        analysis.write_comparison(compared, a, b, folder / "comparison.html", names)
        judged = analysis.history(*analysis.open_history([folder]))
        analysis.write_history(judged, folder / "history.html")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """One browser for all tests: to start one takes seconds."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module", params=PAGES)
def page(request: pytest.FixtureRequest, browser: Chrome, folder: Path) -> str:
    """A page that the browser has open; what it complained of and asked for is kept till asked."""
    name: str = request.param
    complaints(browser), requests(browser)
    open_in(browser, folder / f"{name}.html")
    return name


@pytest.fixture
def report(browser: Chrome, folder: Path) -> Chrome:
    """The browser with the report open, as other tests have left it."""
    file = folder / "report.html"
    if browser.current_url != file.as_uri():
        open_in(browser, file)
    return browser


class Elements(HTMLParser):
    """The elements of a page, and whether one is of evil."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name.startswith("on") for name, _ in attrs)
        self.tags.append(tag)


@pytest.mark.parametrize("name", PAGES)
def test_names_are_never_markup(folder: Path, name: str) -> None:
    found, text = Elements(), (folder / f"{name}.html").read_text(encoding="utf-8")
    found.feed(text)
    assert "<script>evil" not in text and "img" not in found.tags
    assert found.tags.count("script") == 4  # three packs, and the script that unpacks them
    assert "evil()" in text
    assert len(text) < LIMIT_BYTES


in_a_browser = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@in_a_browser
def test_a_page_is_drawn_in_silence_and_fetches_nothing(browser: Chrome, page: str) -> None:
    assert complaints(browser) == []
    urls = requests(browser)
    assert urls and not [url for url in urls if url.startswith(("http", "ws", "blob"))]
    # What was packed is text too: in the table, and in the charts when they tell of themselves.
    run(
        browser,
        "for (const c of document.querySelectorAll('.chart'))"
        " Plotly.Fx.hover(c, [{curveNumber: c.data.findIndex(t => t.text), pointNumber: 0}])",
    )
    assert not run(browser, "return document.querySelector('img, script:not([type])[src]')")
    assert EVIL_NAME[:10] in browser.find_element(By.TAG_NAME, "main").text
    assert run(browser, "return document.querySelectorAll('#cells-table tbody tr').length") > 5
    assert complaints(browser) == []


@in_a_browser
def test_all_of_a_page_is_reached_by_keyboard_and_named(browser: Chrome, page: str) -> None:
    nameless = """
        return [...document.querySelectorAll('select, #table input, [role=region]')].filter(
            e => !(e.labels && e.labels.length) && !e.ariaLabel && !e.placeholder && !e.title
        ).map(e => e.outerHTML.slice(0, 200))"""
    assert run(browser, nameless) == []
    assert run(browser, "return [...document.querySelectorAll('.scroll')].every(e => !e.tabIndex)")
    assert run(browser, "return document.documentElement.lang") == "en"
    assert run(browser, "return [...document.querySelectorAll('table')].every(t => t.caption)")
    columns = "[...document.querySelectorAll('.dtcc-search input')]"
    assert run(browser, f"return {columns}.every(e => e.ariaLabel && !e.pattern)")
    headless = "return [...document.querySelectorAll('th')].filter(e => !e.scope && e.innerText)"
    assert run(browser, headless) == []
    levels = run(
        browser, "return [...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])"
    )
    assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels))
    # The first stop leads past the head; what has the focus is seen to have it.
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert run(browser, "return document.activeElement.className") == "skip"
    assert run(browser, "return getComputedStyle(document.activeElement).outlineStyle") == "solid"


CONTRAST = """
const light = c => {
    const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255).map(
        v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const paper = light(getComputedStyle(document.body).backgroundColor);
const inks = 'h1, h2, h3, p, li, td, th, figcaption, label, a, .warn, .xtitle, .legendtext';
return [...document.querySelectorAll(inks)].map(e => {
    const style = getComputedStyle(e), ink = light(e.closest('svg') ? style.fill : style.color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
})
"""


def assert_legible(browser: Chrome, size: tuple[int, int], paper: str) -> None:
    assert run(browser, "return document.documentElement.scrollWidth") <= size[0]
    assert run(browser, "return getComputedStyle(document.body).backgroundColor") == paper
    ratios = run(browser, CONTRAST)
    assert len(ratios) > 30
    assert min(ratios) >= 4.5  # WCAG 2.2, 1.4.3


@in_a_browser
def test_a_page_is_legible_on_a_desk_and_on_paper(browser: Chrome, page: str) -> None:
    assert_legible(browser, DESKTOP, "rgb(255, 255, 255)")
    look_as(browser, DESKTOP, dark=True, media="print")
    clickable = """return [...document.querySelectorAll('nav, .controls, .dt-search, .dtcc')].some(
        e => e.checkVisibility())"""
    assert not run(browser, clickable)
    assert run(browser, "return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    look_as(browser, DESKTOP)
    widths = "return [...document.querySelectorAll('.chart')].map(c => c._fullLayout.width)"
    wide = run(browser, widths)
    run(browser, "dispatchEvent(new Event('beforeprint'))")
    assert max(run(browser, widths)) < 680  # of paper between its margins, in the frame
    run(browser, "dispatchEvent(new Event('afterprint'))")
    assert run(browser, widths) == wide


@in_a_browser
def test_a_page_is_legible_on_a_phone_in_the_dark(browser: Chrome, page: str) -> None:
    look_as(browser, PHONE, dark=True)
    browser.refresh()
    wait_until_drawn(browser)
    assert_legible(browser, PHONE, "rgb(13, 17, 23)")
    assert complaints(browser) == []
    look_as(browser, DESKTOP)


@in_a_browser
def test_an_old_browser_is_told_what_it_lacks(browser: Chrome, folder: Path) -> None:
    script = say(
        browser, "Page.addScriptToEvaluateOnNewDocument", source="delete self.DecompressionStream"
    )
    browser.get((folder / "report.html").as_uri())
    for chart in browser.find_elements(By.CSS_SELECTOR, ".chart"):
        assert "DecompressionStream" in chart.text
    assert len(browser.find_elements(By.CSS_SELECTOR, "#cells-table tbody tr")) == 5
    assert complaints(browser) == []
    say(browser, "Page.removeScriptToEvaluateOnNewDocument", **script)
    browser.get("about:blank")


# The report


def column(browser: Chrome, number: int) -> list[str]:
    cells = browser.find_elements(By.CSS_SELECTOR, f"#cells-table tbody td:nth-child({number})")
    return [cell.text for cell in cells]


def heading(browser: Chrome, text: str) -> int:
    headings = browser.find_elements(By.CSS_SELECTOR, "#cells-table thead tr:first-child th")
    return [heading.text for heading in headings].index(text) + 1


@in_a_browser
def test_names_are_text_in_the_charts_too(report: Chrome) -> None:
    assert EVIL in report.find_element(By.ID, "answers").text
    labels = report.find_elements(By.CSS_SELECTOR, "#nodes .xaxislayer-above text")
    assert any(label.get_attribute("textContent") == f"{EVIL}0" for label in labels)


@in_a_browser
def test_the_table_is_sorted_by_number_not_by_text(report: Chrome) -> None:
    number = heading(report, "latency ms")
    of_column = report.find_element(By.CSS_SELECTOR, f"#cells-table thead th:nth-child({number})")
    of_column.click()
    WebDriverWait(report, 20).until(lambda _: of_column.get_attribute("aria-sort") == "ascending")
    *measured, last = column(report, number)
    assert last == "failed"
    assert len(measured) == 12
    assert [float(text) for text in measured] == sorted(map(float, measured))


@in_a_browser
def test_the_table_is_filtered_as_a_whole_and_by_column(report: Chrome) -> None:
    search = report.find_element(By.CSS_SELECTOR, ".dt-search input")
    search.send_keys("int8")
    assert set(column(report, heading(report, "quantization"))) == {"int8"}
    search.clear()
    search.send_keys(" ")
    number = heading(report, "threads")
    by_column = report.find_elements(By.CSS_SELECTOR, "#cells-table thead .dtcc-search input")
    by_column[number - 1].send_keys("4")
    assert column(report, number) == ["4"] * 4
    by_column[number - 1].send_keys(Keys.BACKSPACE)
    assert len(column(report, number)) == 13


@in_a_browser
def test_axes_and_scales_of_a_chart_are_chosen(report: Chrome) -> None:
    def axis() -> Any:
        x = "document.getElementById('cells')._fullLayout.xaxis"
        return tuple(run(report, f"return [{x}.type, {x}.title.text]"))

    assert axis() == ("log", "file, MiB")
    choose(report, "cells", "x axis", "threads")
    choose(report, "cells", "x scale", "linear")
    assert axis() == ("linear", "threads")
    assert run(report, "return document.getElementById('cells').data[0].x") == [1, 2, 4]
    choose(report, "cells", "show", LONG)
    shown = run(report, "return document.getElementById('cells').data.map(t => t.visible)")
    assert shown.count(True) and shown.count(False)
    choose(report, "states", "what", "load average of the last minute")
    title = "return document.getElementById('states')._fullLayout.yaxis.title.text"
    assert run(report, title) == "load average of the last minute"
    assert complaints(report) == []


@in_a_browser
def test_a_point_tells_of_itself(report: Chrome) -> None:
    run(report, "Plotly.Fx.hover('scaling', [{curveNumber: 1, pointNumber: 2}])")
    told = report.find_element(By.CSS_SELECTOR, "#scaling .hovertext").text
    assert EVIL in told and "4 threads" in told and "times faster" in told


# The others


@in_a_browser
def test_a_history_shows_one_cell_in_milliseconds(browser: Chrome, folder: Path) -> None:
    open_in(browser, folder / "history.html")
    choose(browser, "trend", "latency", "latency, ms")
    names = browser.find_elements(By.CSS_SELECTOR, '[name="cell"] option')
    choose(browser, "trend", "cell", names[1].text)
    chart = "document.getElementById('trend')"
    assert run(browser, f"return {chart}.data.filter(t => t.visible).length") == 2
    assert run(browser, f"return {chart}._fullLayout.yaxis.title.text") == "latency, ms"
    assert complaints(browser) == []


@in_a_browser
def test_a_comparison_tells_of_each_ratio(browser: Chrome, folder: Path) -> None:
    open_in(browser, folder / "comparison.html")
    run(browser, "Plotly.Fx.hover('forest', [{curveNumber: 1, pointNumber: 0}])")
    told = browser.find_element(By.CSS_SELECTOR, "#forest .hovertext").text
    assert EVIL in told and " to " in told
    choose(browser, "forest", "x scale", "log")
    assert run(browser, "return document.getElementById('forest')._fullLayout.xaxis.type") == "log"
    assert complaints(browser) == []
