"""The house: who imports whom, and that results can be read without what measured them."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import analysis
from suite.results.write import write_results
from tests.conftest import REPOSITORY
from tests.rows import a_run

PACKAGES = ("suite", "jobs", "analysis")
MODULES = [path for package in PACKAGES for path in sorted((REPOSITORY / package).rglob("*.py"))]


def imported(module: Path) -> Iterator[str]:
    """Yield the names that a module imports, wherever in it, as `suite.results.rows.Results`."""
    for node in ast.walk(ast.parse(module.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, *packages: str) -> bool:
    """Say whether a name is one of the packages or inside one."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def may_import(module: Path, name: str) -> bool:
    """Say whether a module may import a name."""
    match module.relative_to(REPOSITORY).parts:
        case ("suite", *_):
            return not within(name, "jobs", "analysis", "submitit", "mpi4py")
        case ("analysis", *_):
            pure = ("intervals", "verdict", "errors", "lazy", "text", "toml_file")
            known = ("suite.results", *(f"suite.{module}" for module in pure))
            return within(name, *known) or not within(name, "suite", "jobs")
        case ("jobs", "cli", *_):
            return True
        case _:
            return not within(name, "analysis")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_imports_point_one_way(module: Path) -> None:
    assert [name for name in imported(module) if not may_import(module, name)] == []


def test_the_rules_would_catch_an_offender() -> None:
    suite, jobs, analysis = (REPOSITORY / package / "new.py" for package in PACKAGES)
    assert not may_import(suite, "jobs.runs")
    assert not may_import(suite, "submitit")
    assert not may_import(jobs, "analysis")
    assert not may_import(analysis, "suite.sweep.Sweep")
    assert may_import(analysis, "suite.results.read.read_results")
    assert not within("suite.results_of_another_kind", "suite.results")


def test_every_name_that_analysis_offers_is_there() -> None:
    assert all(getattr(analysis, name) for name in analysis.__all__)


# On a laptop

READ = """
import sys
from importlib.util import find_spec
import analysis
from suite.errors import UserError

measures = ("ai_edge_litert", "litert_quantizer", "keras", "mpi4py", "submitit", "tensorflow")
assert not [name for name in measures if find_spec(name)]
file, folder = sys.argv[1:]
results = analysis.open_results(file)
for show in (analysis.to_json, analysis.to_csv, analysis.to_markdown, analysis.to_rich_table):
    assert show(results)
assert analysis.samples(file, threads=1).size
assert len(analysis.to_dataframe(results)) == len(analysis.best(results)) == 2
for write, extra in ((analysis.write_report, "report"), (analysis.to_parquet, "parquet")):
    try:
        write(results, "nothing")
    except UserError as error:
        assert f"pip install 'litesweep[{extra}]'" in str(error)
    else:
        raise AssertionError(extra)
assert len(analysis.write_figures(results, folder)) == 6
assert analysis.components(results)["trials"].sum() == 12
one, two = (analysis.open_slice(f"{file}:threads={threads}") for threads in (1, 2))
assert analysis.compare(one, two)["outcome"].item() == "faster"
"""
"""What someone does with a file of results who has nothing but a plain install."""

HIDE = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in {absent}
        return None if hidden else super().find_spec(name, path, target)

sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""
"""A `sitecustomize` that hides packages, so that they look as if they were not installed."""

EXTRAS = (
    *("ai_edge_litert", "archspec", "keras", "litert_quantizer", "mpi4py", "psutil", "submitit"),
    *("tensorflow", "tomli_w", "itables", "jinja2", "plotly", "pyarrow"),
)


@pytest.fixture
def results_file(tmp_path: Path) -> Path:
    """A file of results."""
    file = tmp_path / "results.h5"
    write_results(file, a_run(({}, [10] * 6), ({"threads": 2}, [6] * 6)))
    return file


def run_without(absent: tuple[str, ...], folder: Path, *command: str | Path) -> None:
    """Run Python where the packages `absent` are hidden; `folder` is for that."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDE.format(absent=absent))
    path = os.pathsep.join([str(folder), str(REPOSITORY)])
    done = subprocess.run(
        [sys.executable, *command],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr


def test_results_are_read_without_what_measured_them(results_file: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures"
    run_without((*EXTRAS, "pydantic"), tmp_path / "a", "-c", READ, results_file, figures)
    # typer itself brings pydantic along
    run_without(EXTRAS, tmp_path / "b", "-m", "jobs", "show", results_file)
    slices = (f"{results_file}:threads={threads}" for threads in (1, 2))
    run_without(EXTRAS, tmp_path / "c", "-m", "jobs", "compare", *slices)


@pytest.mark.network
def test_a_plain_install_reads_results(results_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, source / package)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    home = tmp_path / "venv"
    constraints = str(REPOSITORY / "constraints.txt")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", home)
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(home / "bin/python", *pip, "--constraint", constraints, source)
    run(home / "bin/python", "-c", READ, results_file, tmp_path / "figures")
    assert "resnet50" in run(home / "bin/litesweep", "show", results_file)
