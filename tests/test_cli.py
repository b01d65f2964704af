"""The command line as such: exit codes, what it tells and where, completion, what it imports."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from suite.results.write import write_results
from tests.conftest import REPOSITORY, Litesweep
from tests.rows import a_run

NOTHING_RUNS = """
import sys
from jobs.cli import main
sys.argv = ["litesweep", *sys.argv[1:]]
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
HEAVY = {
    "tensorflow",
    "ai_edge_litert",
    "pandas",
    "xarray",
    "matplotlib",
    "h5py",
    "submitit",
    "numpy",
}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["image"]])
def test_help_comes_without_what_measures(arguments: list[str]) -> None:
    command = [sys.executable, "-c", NOTHING_RUNS, *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    imported = {*done.stdout.splitlines()[-1].split()}
    assert "typer" in imported
    assert not imported & HEAVY


# Exit codes


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A file of results with two cells, one twice as fast as the other."""
    file = tmp_path / "results.h5"
    steady = [100, 101, 99, 100, 102, 98]
    write_results(file, a_run(({}, steady), ({"threads": 2}, [ns // 2 for ns in steady])))
    return file


def test_the_exit_codes_are_those_of_the_document(litesweep: Litesweep, results: Path) -> None:
    text = (REPOSITORY / "docs" / "cli.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    slow, fast = f"{results}:threads=1", f"{results}:threads=2"
    seen = {
        ("show", results): 0,
        ("compare", slow, fast): 0,
        ("compare", fast, slow): 1,
        ("show", "absent"): 2,
        ("run", "absent.toml"): 2,
        ("nonsense",): 2,
        ("show", results, "--nonsense"): 2,
        ("status", "absent"): 2,
    }
    for arguments, code in seen.items():
        assert litesweep(*arguments).returncode == code, arguments
    assert documented == {*seen.values(), 130}


@pytest.mark.parametrize("ends", [["run", "s.toml"], ["status", "run", "--watch"]])
def test_ctrl_c_is_130(tmp_path: Path, ends: list[str]) -> None:
    """Wherever it strikes: here as soon as the command's own work would begin."""
    strike = f"""
import os, signal, sys
import jobs.run_folder, suite.sweep
def interrupted(*arguments, **more):
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
suite.sweep.Sweep.load = jobs.run_folder.submitted = interrupted
sys.argv = ["litesweep", *{ends!r}]
from jobs.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", strike],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


# What it tells


def test_verbose_says_where_an_error_came_from(litesweep: Litesweep) -> None:
    quiet, verbose = litesweep("show", "absent"), litesweep("--verbose", "show", "absent")
    assert quiet.returncode == verbose.returncode == 2
    assert "Traceback" not in quiet.stderr
    assert "open_results" in verbose.stderr and verbose.stderr.endswith(quiet.stderr)


def test_completion(litesweep: Litesweep) -> None:
    shown = litesweep("--show-completion")  # the shell that we are in
    assert "_LITESWEEP_COMPLETE" in shown.stdout, shown.stderr
    for shell in ("bash", "zsh", "fish"):
        script = litesweep(env={**os.environ, "_LITESWEEP_COMPLETE": f"source_{shell}"})
        assert f"complete_{shell}" in script.stdout, script.stderr
    words = {
        "_LITESWEEP_COMPLETE": "complete_bash",
        "COMP_WORDS": "litesweep re",
        "COMP_CWORD": "1",
    }
    assert litesweep(env={**os.environ, **words}).stdout.split() == ["resume", "report"]
