"""What others have written: it is text, and stays text, wherever it goes."""

import json
import os
import shlex
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from analysis import read_others
from jobs.clean import clean
from jobs.cluster.container import check_folders
from jobs.cluster.images import image_sha256
from jobs.cluster.sent import record_intent
from jobs.cluster.site import Site
from jobs.cluster.slurm import Request, send
from jobs.collect import collect
from jobs.executors import run_job
from jobs.run_folder import RunFolder, default_folder, open_run, take_up
from suite import Axes, ModelSpec, Sweep, UserError
from suite.results.write import write_results
from suite.text import harmless
from tests.conftest import Litesweep
from tests.faults.made_up import a_run as made_up_run
from tests.faults.made_up import job
from tests.rows import a_run
from tests.test_slurm import command

EVIL = "x'\"$(touch pwned)`touch pwned`;touch pwned|&>pwned\\"
sayable = st.characters(exclude_categories=["C", "Z"], include_characters=" ")
lines = st.text(sayable, min_size=1, max_size=40) | st.just(EVIL)
names = st.text(sayable, min_size=1, max_size=40) | st.text(max_size=9) | st.just(EVIL)
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Bidirectional classes of what turns the direction of all that follows."""
ARGV = """#!/usr/bin/env python3
import json, sys
with open("argv.json", "w") as file:
    json.dump(sys.argv[1:], file)
"""


# A terminal


@given(st.text())
@example("\x1b]0;title\x07\x9b31m\0\ud800 \t\n\r")
@example("\u202emirrored\u202c, \u2067isolated\u2069, \u0645\u0631\u062d\u0628\u0627\u200f")
def test_no_text_gives_a_terminal_orders(text: str) -> None:
    shown = harmless(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r"]
    assert not DIRECTIONS & {*map(unicodedata.bidirectional, shown)}
    assert harmless(shown) == shown and len(shown) == len(text)
    assert all(a == b for a, b in zip(text, shown, strict=True) if a.isprintable())


def test_what_a_file_says_is_shown_as_text(litesweep: Litesweep, tmp_path: Path) -> None:
    evil = "\x1b]0;pwned\x07\x1b[31m[bold]red[/bold]"
    cell = ({"model": f"m{evil}"}, [100, 101, 99, 100, 102, 98])
    write_results(tmp_path / "results.h5", a_run(cell, provenance={"name": evil}))
    for arguments in (["show"], ["show", "--csv"], ["show", "--json"]):
        done = litesweep(*arguments[:1], "results.h5", *arguments[1:])
        assert done.returncode == 0 and "[bold]" in done.stdout
        assert "\x1b" not in done.stdout and "\x07" not in done.stdout
    done = litesweep("show", "no\x1b[31mfile")
    assert done.returncode == 2 and "\x1b" not in done.stderr
    (tmp_path / "s.toml").write_text('["a\\u001b[31m"]\n')
    done = litesweep("plan", "s.toml")
    assert done.returncode == 2 and "\x1b" not in done.stderr


def test_what_another_tool_says_is_text_too(tmp_path: Path) -> None:
    said = {"name": "\x1b[31mred\u202eder\ud800", "perf_version": "\x07"}
    benchmark = {"metadata": said, "runs": [{"values": [0.1, 0.2]}]}
    (tmp_path / "bench.json").write_text(json.dumps({"version": "1.0", "benchmarks": [benchmark]}))
    (row,) = read_others(tmp_path / "bench.json").to_dict("records")
    assert (row["tool"], row["name"]) == ("pyperf \ufffd", "\ufffd[31mred\ufffdder?")


# A shell, and Slurm


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with commands that stand in for Slurm's and write down what they are given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    command(folder, "sbatch", f'cp "$1" {tmp_path}/job.sh; echo Submitted batch job 12')
    command(folder, "srun", "")
    (folder / "srun").write_text(ARGV)
    return folder


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(lines, min_size=9, max_size=9), name=names)
@example(words=[EVIL] * 9, name="image.sif")
@example(words=["a"] * 9, name=EVIL)
def test_no_text_of_a_site_file_or_name_of_a_file_reaches_a_shell(
    tmp_path: Path, slurm: Path, words: list[str], name: str
) -> None:
    """The batch script is run, by bash: what srun is given are the words of the site file."""
    partition, account, option, argument, bind, srun, binding, interpreter, constraint = words
    home = tmp_path / "home"
    shutil.rmtree(home, ignore_errors=True)
    try:
        image, folder = home / f"{name}.sif", RunFolder(home / name)
        folder.path.mkdir(parents=True)
        image.write_bytes(b"an image")
    except (OSError, ValueError):  # a name that no file system takes
        return
    cpu_type = {"cpus": 1, "partition": partition, "account": account, "constraint": constraint}
    table = {
        "cpu_types": {"a": {**cpu_type, "sbatch": {"comment": option}}},
        "container": {
            **{"image": str(image), "arguments": [argument], "binds": [bind]},
            "python": interpreter,
        },
        "slurm": {"srun": [srun], "cpu_bind": binding},
    }
    try:
        site = Site.of(table, home / "site.toml", home)
        check_folders(site.container, [folder.path])
        request = Request("litesweep-0", "a", image, image_sha256(image), 1, 1)
    except UserError:
        event("refused")
        return
    send(folder, site, request, calls=[(str(folder.path), 0, True)])

    text = (tmp_path / "job.sh").read_text()
    head, _, _ = text.partition("\n# setup\n")
    flags = dict(shlex.split(line)[1].partition("=")[::2] for line in head.splitlines()[3:] if line)
    assert flags["--partition"] == partition
    assert flags["--comment"] == option
    assert all(line.startswith("#SBATCH --") for line in head.splitlines()[3:] if line)

    work = home / "work"
    work.mkdir()
    subprocess.run(["bash", tmp_path / "job.sh"], cwd=work, check=True, capture_output=True)
    assert [each.name for each in work.iterdir()] == ["argv.json"]
    argv = json.loads((work / "argv.json").read_text())
    ours, inner = argv[: argv.index("apptainer")], argv[argv.index("apptainer") :]
    assert ours[-2:] == [f"--cpu-bind={binding}", srun]
    end = inner.index(str(image)) + 2
    assert inner[end - 5 : end] == ["--bind", bind, argument, str(image), interpreter]
    assert str(folder.path) in inner[:end]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "litesweep-\n#SBATCH --wrap=x"},
        {"exclude": ("c1,c2", "c3")},
        {"exclude": ("c1\ntouch pwned",)},
        {"cpu_type": "a b"},
        {"image": Path("/a\nb.sif")},
        {"image_sha256": "$(touch pwned)"},
    ],
    ids=str,
)
def test_what_a_run_s_folder_says_is_held_to_the_form_of_names(changes: dict[str, object]) -> None:
    known = {
        **{"name": "litesweep-0", "cpu_type": "a", "image": Path("/a.sif")},
        **{"image_sha256": "ab" * 32, "nodes": 1, "limit_min": 1},
    }
    assert Request(**known)  # type: ignore[arg-type]
    with pytest.raises(UserError):
        Request(**known | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("said", ["mpirun {0}", "mpirun {ranks.__class__}", "mpirun {", "a {x!r}"])
def test_nothing_but_the_ranks_is_filled_in(tmp_path: Path, said: str) -> None:
    table = {
        "cpu_types": {"a": {"cpus": 1}},
        "container": {"runtime": "none"},
        "mpi": {"type": "mpirun", "mpirun": said},
    }
    with pytest.raises(UserError, match="ranks"):
        Site.of(table, tmp_path / "site.toml", tmp_path)


# A path outside the run's folder


@given(st.text(max_size=70) | st.sampled_from(["..", ".", "../../x", "/etc/x", "a/b", "a\0b", ""]))
def test_a_name_never_leads_out_of_the_folder(name: str) -> None:
    try:
        sweep = Sweep(
            name=name, axes=Axes(model=(name,)), models={name: ModelSpec(source="m.tflite")}
        )
    except ValueError:
        return
    folder = default_folder(sweep)
    assert folder.parent == Path("runs") and ".." not in folder.parts
    assert (Path("logs") / f"{name} float32.log").parent == Path("logs")


@pytest.mark.parametrize("host", ["../../x", "/etc/x", "a/b", "a\0b"])
def test_nor_does_a_host_s_name(tmp_path: Path, host: str) -> None:
    with pytest.raises(UserError, match="the name of a file"):
        RunFolder(tmp_path).journal(0, host)


# Whose the pickles are


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("part", [".", "logs", "logs/submitit"])
def test_nothing_is_run_out_of_another_user_s_folder(tmp_path: Path, part: str) -> None:
    folder = RunFolder(tmp_path / "run")
    (folder.logs / "submitit").mkdir(parents=True)
    os.chown(folder.path / part, 1234, -1)
    with pytest.raises(UserError, match="another user's"):
        run_job(folder, 0, "debug")
    os.chown(folder.path / part, 0, -1)
    (folder.path / part).chmod(0o777)
    with pytest.raises(UserError, match="everybody may write"):
        run_job(folder, 0, "debug")


# Permissions


def test_files_are_no_wider_than_the_user_s_umask(
    litesweep: Litesweep, tmp_path: Path, tiny_tflite: Path
) -> None:
    umask = 0o077
    (tmp_path / "m.tflite").write_bytes(tiny_tflite.read_bytes())
    (tmp_path / "s.toml").write_text(
        'name = "s"\n[axes]\nmodel = ["m"]\n[models.m]\nsource = "m.tflite"\n'
        "[measure]\nmin_trials = 1\nmax_trials = 1\n"
    )
    tmp_path.chmod(0o755)
    for arguments in (
        ["run", "s.toml", "--out", "run", "--store", "store", "--executor", "local"],
        ["report", "run"],
        ["show", "run", "--parquet", "run/table.parquet"],
        ["clean", "--store", "store", "--yes"],
    ):
        done = litesweep(*arguments, umask=umask)
        assert done.returncode == 0, done.stderr
    made = [p for part in ("run", "store") for p in (tmp_path / part).rglob("*")]
    assert {"results.h5", "report.html", "model.tflite"} <= {path.name for path in made}
    wide = {str(path): oct(path.stat().st_mode) for path in made if path.stat().st_mode & umask}
    assert not wide


def test_where_everybody_may_write_no_run_is_begun(tmp_path: Path) -> None:
    sweep = Sweep(
        name="s", axes=Axes(model=("m",)), models={"m": ModelSpec(source="keras:ResNet50")}
    )
    before = os.umask(0)
    try:
        with pytest.raises(UserError, match="umask 022"), open_run(tmp_path / "run", sweep):
            raise AssertionError("it is built for")
    finally:
        os.umask(before)
    assert not (tmp_path / "run").exists()


def a_letter(folder: Path) -> Path:
    """Write a file that is none of a run's."""
    letter = folder / "home" / "letter"
    letter.parent.mkdir()
    letter.write_text("dear")
    return letter


def test_no_link_in_a_run_s_folder_is_written_or_cleaned_through(
    litesweep: Litesweep, tmp_path: Path
) -> None:
    """What comes as an archive may have links in it."""
    letter = a_letter(tmp_path)
    run = made_up_run(tmp_path / "run")
    assert not job(run).mistake
    collect(run)
    shutil.rmtree(run.logs)
    run.logs.mkdir()
    (run.logs / "build").symlink_to(letter.parent)
    kinds = {each.what for each in clean([run.path], None).leftovers}
    assert kinds == {"journals that their shard holds"}
    (run.path / "report.html").symlink_to(letter)
    (run.path / "figures").mkdir()
    (run.path / "figures" / "latency.svg").symlink_to(letter)
    for word in ("report", "figures"):
        done = litesweep(word, run.path)
        assert done.returncode == 2 and "is a link" in done.stderr, done.stderr
    assert letter.read_text() == "dear"


@pytest.mark.parametrize(
    "name",
    [
        *("logs/job-00000", "logs/job-00000/c1.tmp"),
        *("journals/job-00000", "journals/job-00000/c1.journal"),
    ],
)
def test_nor_by_a_job(tmp_path: Path, name: str) -> None:
    letter = a_letter(tmp_path)
    run = made_up_run(tmp_path / "run")
    link = run.path / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(letter if link.suffix else letter.parent)
    assert str(link) in job(run).mistake
    assert [*letter.parent.iterdir()] == [letter] and letter.read_text() == "dear"


@pytest.mark.parametrize("name", ["journals", "shards", "logs", "logs/submitit", "sent.jsonl"])
def test_nor_by_what_submits_jobs(tmp_path: Path, name: str) -> None:
    letter = a_letter(tmp_path)
    run = made_up_run(tmp_path / "run")
    run.site_file.write_text("{}")
    link = run.path / name
    if link.is_dir():
        link.rmdir()
    link.symlink_to(letter if link.suffix else letter.parent)
    with pytest.raises(UserError, match="is a link"), take_up(run.path):
        record_intent(run, "a job", [0])
    assert [*letter.parent.iterdir()] == [letter] and letter.read_text() == "dear"


def test_nor_does_the_id_of_a_run_lead_elsewhere(tmp_path: Path) -> None:
    run = made_up_run(tmp_path / "run", run_id="../../stolen")
    seen = clean([run.path], None)
    assert "cannot be the name of a file" in seen.notes[0]
    assert not [*tmp_path.rglob("stolen*")]
