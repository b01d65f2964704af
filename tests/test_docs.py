"""The documents: links lead somewhere, and references name everything that there is."""

import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import analysis
from analysis.others.measurement import LACKS
from jobs.cli import app
from jobs.cluster.site import Build, Container, CpuType, Mpi, Site, Slurm
from suite.models.spec import FineTune, ModelSpec, Preprocess
from suite.optimizations.names import OPTIMIZATIONS
from suite.quantizations import RECIPES
from suite.results.normal import KINDS
from suite.results.rows import CellFlag, Column, TrialFlag
from suite.sweep import Axes, Measure, Sweep
from tests.conftest import REPOSITORY

QUESTIONS = (
    "accuracy_loss",
    "best",
    "compare",
    "components",
    "cost",
    "history",
    "instance_scaling",
    "node_variability",
    "pareto",
    "quantization_gain",
    "roofline",
    "scaling",
    "speedup",
)

DOCUMENTS = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("*/*.md"), *REPOSITORY.glob("tests/*/*.md")]
)
COMMANDS = dict.fromkeys(
    line.strip()
    for document in DOCUMENTS
    for block in re.findall(r"```sh\n(.*?)```", document.read_text(), re.S)
    for line in block.splitlines()
    if re.match(r" *litesweep [a-z]", line)
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if not target.startswith("https://"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_in_the_documents_can_be_given(line: str) -> None:
    name, *words = shlex.split(line, comments=True)
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        name, command = words[0], command.commands[words.pop(0)]
    command.make_context(name, words)
    # Behind a colon a shell finds no file that a pattern stands for.
    assert not any(re.search(r"[*?].*:", word) for word in words)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_documents_call_is_offered(document: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", document.read_text(), re.S):
        compile(block, document, "exec")
        assert {*re.findall(r"\banalysis\.(\w+)", block)} <= {*analysis.__all__}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built: its notebook and gallery are executed, and a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet",
         "--doctree-dir", folder / "doctrees", "docs", folder / "html"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder / "html"


def test_the_notebook_finds_what_was_put_into_its_run(site: Path) -> None:
    page = (site / "notebook.html").read_text()
    assert "host5" in page  # the node that is slow
    assert "host11" in page
    assert "slower in none of 32 cells" in page  # a run and its like
    notebook = json.loads((REPOSITORY / "docs" / "notebook.ipynb").read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert page.count('class="cell docutils') == len(code)


def test_the_gallery_shows_every_figure(site: Path) -> None:
    shown = (site / "gallery.html").read_text()
    assert len(re.findall(r'src="_images/[^"]+\.svg"', shown)) == 8


def test_the_site_has_every_document_and_every_function(site: Path) -> None:
    for document in (REPOSITORY / "docs").glob("*.md"):
        assert (site / f"{document.stem}.html").exists()
        if document.stem != "index":
            assert f'href="{document.stem}.html"' in (site / "index.html").read_text()
    api = (site / "api.html").read_text()
    for name in analysis.__all__:
        assert f'id="analysis.{name}"' in api, name


def test_every_key_of_a_file_has_its_meaning_on_the_site(site: Path) -> None:
    page = (site / "keys.html").read_text()
    files = (Sweep, Axes, ModelSpec, Preprocess, FineTune, Measure)
    for table in (*files, Site, CpuType, Container, Mpi, Slurm, Build):
        for key in table.model_fields:
            row = re.search(rf"<tr[^>]*><td><p>[^\n]*>{key}<.*?</tr>", page, re.DOTALL)
            assert row, key
    assert "<td></td>\n</tr>" not in page  # a meaning is missing


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_says_what_it_returns_whence_it_comes_and_how_to_ask(name: str) -> None:
    said = inspect.getdoc(getattr(analysis, name)) or ""
    assert "Returns\n---" in said and "Examples\n---" in said and ">>>" in said
    # What a cost is needs no source: it is so defined.
    assert name == "cost" or re.search(r"\b(19|20)\d\d\b|(As of|See) `analysis\.", said)


def test_the_files_of_the_tutorial_can_be_read(tmp_path: Path) -> None:
    blocks = re.findall(
        r"```toml\n(.*?)```", (REPOSITORY / "docs" / "tutorial.md").read_text(), re.S
    )
    first, second, site = ((tmp_path / f"{n}.toml") for n in range(3))
    for file, block in zip((first, second, site), blocks, strict=True):
        file.write_text(block)
    Sweep.load(first)
    assert {*Sweep.load(second).axes.cpu_type} == {*Site.load(site).cpu_types}


def test_every_key_of_a_sweep_is_documented() -> None:
    text = (REPOSITORY / "docs" / "sweep.md").read_text()
    for table in (Sweep, Axes, ModelSpec, Preprocess, FineTune, Measure):
        for key in table.model_fields:
            assert f"`{key}`" in text or f"[{key}" in text, key
    for name in (*RECIPES, *OPTIMIZATIONS):
        assert f"`{name}" in text


def test_every_key_of_a_site_is_documented() -> None:
    text = (REPOSITORY / "docs" / "cluster.md").read_text()
    example = (REPOSITORY / "jobs" / "examples" / "site.toml").read_text()
    for table in (CpuType, Container, Mpi, Slurm, Build):
        for key in table.model_fields:
            assert f"`{key}`" in text, key
            assert f"{key} = " in example, key


def test_every_variable_of_a_result_is_documented() -> None:
    text = (REPOSITORY / "docs" / "results.md").read_text()
    for columns in KINDS.values():
        for name, kind in columns.items():
            if isinstance(kind, Column):
                assert f"| `{name}` | {'text' if kind.dtype == 'str' else kind.dtype} |" in text, (
                    name
                )
                assert kind.long_name in text, name
    for flag in (*TrialFlag, *CellFlag):
        assert f"`{str(flag.name).lower()}`" in text


def test_every_lack_of_others_is_documented() -> None:
    text = (REPOSITORY / "docs" / "others.md").read_text()
    for name, words in LACKS.items():
        assert f"| `{name}` | {words} |" in text
