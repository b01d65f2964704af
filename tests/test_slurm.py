"""What Slurm is told and asked, and what is made of its answers."""

import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from submitit.slurm.slurm import _make_sbatch_string

from jobs.cluster.batch import BEGUN, LATE_S, srun_again
from jobs.cluster.container import check_folders
from jobs.cluster.partitions import check_time_limit, nodes_in_service, partitions
from jobs.cluster.sent import read_sent, record_answer, record_cancel, record_intent
from jobs.cluster.site import Container, Site
from jobs.cluster.slurm import (
    Request,
    ask,
    ended_jobs,
    live_jobs,
    max_array,
    parameters,
    python,
    send,
)
from jobs.cluster.status import JobStatus, RunStatus, _telling_lines, print_status
from jobs.run_folder import RunFolder
from suite.errors import UserError
from tests.conftest import REPOSITORY
from tests.test_site import LEAST

GOLDEN = REPOSITORY / "tests/golden/sbatch.sh"
REQUEST = Request(
    name="litesweep-0123456789abcdef-0",
    cpu_type="type_a",
    image=Path("/shared/images/tflite.sif"),
    image_sha256="ab" * 32,
    nodes=2,
    limit_min=25,
    exclude=("c7",),
)


def site(tmp_path: Path, *changes: tuple[str, str]) -> Site:
    text = LEAST
    for old, new in changes:
        text = text.replace(old, new)
    (tmp_path / "site.toml").write_text(text)
    return Site.load(tmp_path / "site.toml")


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of commands that stand in for Slurm's, first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def command(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    path.chmod(0o755)


def test_the_sbatch_script(tmp_path: Path, commands: Path) -> None:
    """Held by a file: every word in it has been tried on a real Slurm, see tests/cluster."""
    command(commands, "srun", "exit 0")
    command(commands, "sbatch", f'cp "$1" {tmp_path}/sent.sh; echo Submitted batch job 12')
    text = 'expect = "icelake"\nsbatch = {reservation = "bench day"}\n'
    profile = site(
        tmp_path,
        ('expect = "icelake"\n', text),
        ("[mpi]", '[slurm]\nsetup = ["module load apptainer"]\ncpu_bind = "cores"\n[mpi]'),
    )
    folder = RunFolder(tmp_path / "run")
    sent = send(
        *(folder, profile, REQUEST),
        calls=[(str(folder.path), 0, True), (str(folder.path), 1, True)],
        reads=[Path("/shared/store")],
    )
    assert sent == ["12_0", "12_1"]
    made = (tmp_path / "sent.sh").read_text().replace(str(folder.path), "/shared/run")
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(made)
    assert made == GOLDEN.read_text()
    assert subprocess.run(["bash", "-n", tmp_path / "sent.sh"], check=True)


def test_what_runs_is_named_and_nothing_is_pickled_by_value(tmp_path: Path, commands: Path) -> None:
    command(commands, "srun", "exit 0")
    command(commands, "sbatch", "echo Submitted batch job 12")
    folder = RunFolder(tmp_path / "run")
    send(folder, site(tmp_path), REQUEST, calls=[("/run", 3, True)])
    [pickle] = (folder.logs / "slurm").glob("*_submitted.pkl")
    content = pickle.read_bytes()
    assert b"measure_on_cluster" in content
    assert b"jobs.worker" in content
    assert b"co_code" not in content and len(content) < 1000


@pytest.mark.parametrize(
    ("ends", "calls", "code"),
    [
        (["1 142", "0 0"], 2, 0),  # MPI did not start: again
        (["1 143", "0 7"], 2, 7),
        (["1 142", "1 142"], 2, 142),  # once
        (["0 142"], 1, 142),  # killed before that
        (["3 137"], 1, 137),  # or after
        (["1 1"], 1, 1),  # ended, and by no signal
        (["1 0"], 1, 0),
    ],
)
def test_where_mpi_does_not_start_srun_is_called_once_more(
    tmp_path: Path, commands: Path, ends: list[str], calls: int, code: int
) -> None:
    """Each call of srun takes some seconds and ends with a code; MPI has one second to start."""
    (tmp_path / "ends").write_text("\n".join(ends) + "\n")
    command(
        commands,
        "srun",
        f"""
        echo "$@" >> {tmp_path}/calls
        read seconds code <<END
        $(sed -n "$(wc -l < {tmp_path}/calls)p" {tmp_path}/ends)
        END
        sleep $seconds; exit $code
        """,
    )
    lines = [line.replace(str(1 + LATE_S), "2") for line in srun_again(start_s=1)]
    script = "\n".join([*lines, "srun --mpi=pmi2 'a  b'"])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (tmp_path / "calls").read_text() == "--mpi=pmi2 a  b\n" * calls
    assert done.returncode == code
    assert len(BEGUN.findall(done.stderr.replace("job  ", "job 1 "))) == calls - 1


def test_mpirun_in_place_of_srun(tmp_path: Path) -> None:
    profile = site(tmp_path, ('type = "pmi2"', 'type = "mpirun"'))
    text = _make_sbatch_string(
        command=python(profile, REQUEST),
        folder=tmp_path,
        use_srun=parameters(profile, REQUEST)["slurm_use_srun"],
    )
    assert "\nmpirun -n 2 apptainer -q exec " in text
    assert not re.search(r"^srun", text, re.MULTILINE)


def test_what_sbatch_says_is_handed_on(tmp_path: Path, commands: Path) -> None:
    command(commands, "srun", "exit 0")
    command(
        commands,
        "sbatch",
        """
        echo 'sbatch: error: invalid partition specified: bitch' >&2
        echo 'sbatch: error: Batch job submission failed: Invalid partition name specified' >&2
        exit 1
        """,
    )
    with pytest.raises(UserError) as error:
        send(
            *(RunFolder(tmp_path / "run"), site(tmp_path), REQUEST),
            calls=[("/run", 0, True)],
        )
    assert "invalid partition specified: bitch; Batch job submission failed" in str(error.value)


def test_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="There is no Slurm here"):
        send(RunFolder(tmp_path), site(tmp_path), REQUEST, calls=[("/r", 0, True)])
    with pytest.raises(UserError, match="There is no 'squeue' here"):
        live_jobs(["x"])


def test_a_controller_that_is_down(commands: Path) -> None:
    command(commands, "squeue", "echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1")
    with pytest.raises(UserError, match="squeue fails: slurm_load_jobs error: Unable to contact"):
        ask("squeue")


def test_a_job_is_found_by_name_where_its_id_was_never_recorded(
    tmp_path: Path, commands: Path
) -> None:
    from jobs.cluster.status import live_by_slice

    command(commands, "squeue", "echo '77_1|n-0|PENDING|Resources'")
    folder = RunFolder(tmp_path)
    record_intent(folder, "n-0", [4, 9])
    [sent] = read_sent(folder)
    assert sent.job_ids == ()
    assert live_by_slice(folder, [sent])[9].job_id == "77_1"
    record_answer(folder, "n-0", ["77_0", "77_1"])
    assert read_sent(folder)[0].job_id(9) == "77_1"
    with folder.sent_file.open("a") as file:
        file.write('\n{"name": "n-1", "sli')  # cut off by a full disk
    record_intent(folder, "n-2", [1])
    assert [s.name for s in read_sent(folder)] == ["n-0", "n-2"]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("srun: error: c2: task 1: Exited with exit code 137\n"
         "srun: error: c1: task 0: Exited with exit code 143",
         "Rank 1, on c2, was killed by SIGKILL."),
        ("srun: error: c2: task 1: Killed\nsrun: error: c1: task 0: Killed",
         "Rank 1, on c2, was killed by SIGKILL."),
        ("srun: error: c2: task 1: Segmentation fault (core dumped)",
         "Rank 1, on c2, was killed by SIGSEGV."),
        ("srun: error: c2: task 1: Bus error (core dumped)",
         "Rank 1, on c2, was killed by SIGBUS. Is there room in its /dev/shm?"),
        ("srun: error: c2: task 1: Exited with exit code 142",
         "MPI did not bring rank 1, on c2, together with the others in 120 s."),
        ("litesweep: there is no image x on c1\nsrun: error: c1: task 0: Exited with exit code 1",
         "there is no image x on c1"),
        ("FATAL:   container creation failed\nsrun: error: c1: task 0: Exited with exit code 255",
         "FATAL:   container creation failed"),
        ("\x1b[91mERROR  : Requesting capability set\n\x1b[0msrun: error: c1: task 0: Exited with "
         "exit code 1\nsrun: launch/slurm: _step_signal: Terminating StepId=7.0",
         "ERROR  : Requesting capability set"),
        ("/usr/bin/python3: Error while finding module 'x': No module named 'submitit'",
         "No module named 'submitit'"),
        ("slurmstepd-c1: error: *** JOB 12 ON c1 CANCELLED AT DUE TO PREEMPTION ***"
         "\n2026-11-26T11:53:30 job 12 begins\nsrun: error: c2: task 1: Killed",
         "Rank 1, on c2, was killed by SIGKILL."),
        ("what nobody has thought of\n", "what nobody has thought of"),
    ],
)  # fmt: skip
def test_the_cause_is_found_in_the_logs(tmp_path: Path, said: str, found: str) -> None:
    (tmp_path / "12_3_0_log.err").write_text("noise\n" + said)
    (tmp_path / "12_3_1_log.err").write_text("")
    [line] = _telling_lines([tmp_path / "12_3_0_log.err", tmp_path / "12_3_1_log.err"])
    assert found in line


def test_ranks_gather_what_they_measured_in_a_real_mpi_world(tmp_path: Path) -> None:
    """Four ranks, messages far smaller than what there is to send, and a wait without spinning."""
    script = """
        import sys, time
        import numpy as np
        import jobs.world
        from tests.rows import a_node, a_trial, some_results
        jobs.world.MESSAGE_BYTES = 3000
        world = jobs.world.MpiWorld(4)
        trials = [
            a_trial(f"{world.rank}-{n}", np.arange(100) + n, node_id=f"n{world.rank}", round=n)
            for n in range(50)
        ]
        mine = some_results(nodes=(a_node(f"n{world.rank}"),), trials=tuple(trials))
        assert world.share(world.rank) == [0, 1, 2, 3]
        assert world.from_first(lambda: "said by the first") == "said by the first"
        if world.rank == 3:
            time.sleep(1.0)
        spent = time.process_time()
        world.wait(lambda: None)
        assert time.process_time() - spent < 0.2, "it spins"
        whole = world.gather(mine)
        assert (whole is None) == (world.rank > 0)
        if whole:
            assert len(whole.trials) == 200 and len(whole.nodes) == 4
            assert all(len(trial.latency_ns) == 100 for trial in whole.trials)
            print("gathered")
    """
    (tmp_path / "ranks.py").write_text(textwrap.dedent(script))
    mpiexec = Path(sys.executable).with_name("mpiexec")
    done = subprocess.run(
        [mpiexec, "-n", "4", sys.executable, tmp_path / "ranks.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("gathered") == 1


def test_a_world_of_the_wrong_size_is_refused() -> None:
    code = "from jobs.world import MpiWorld; MpiWorld(2)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert "MPI formed a world of 1 where the job has 2 tasks" in done.stderr


def test_only_the_site_file_tells_slurm_what_to_do(
    tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SBATCH_JOB_NAME would go before our name, by which a job is found again."""
    monkeypatch.setenv("SBATCH_JOB_NAME", "mine")
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    command(commands, "srun", "exit 0")
    command(commands, "sbatch", f"env > {tmp_path}/sbatch.env; echo Submitted batch job 12")
    command(commands, "squeue", f"env > {tmp_path}/squeue.env")
    folder = RunFolder(tmp_path / "run")
    send(folder, site(tmp_path), REQUEST, calls=[("/run", 0, True)])
    live_jobs(["x"])
    for name in ("sbatch", "squeue"):
        seen = (tmp_path / f"{name}.env").read_text()
        assert "SLURM_CONF=/etc/slurm.conf" in seen
        assert not re.search("^(SBATCH_JOB_NAME|SQUEUE_STATES|SLURM_JOB_ID)=", seen, re.MULTILINE)
    assert os.environ["SBATCH_JOB_NAME"] == "mine"


def test_states_of_jobs_that_have_ended(commands: Path) -> None:
    """The accounting names the elements of an array together that have not started."""
    command(commands, "sacct", "echo '7_[2-3,5%4]|CANCELLED by 0'; echo '8|TIMEOUT'; echo '7_0|X'")
    seen = ended_jobs(["7_2", "8", ""], "2026-01-01T00:00:00")
    assert seen == {**dict.fromkeys(["7_2", "7_3", "7_5"], "CANCELLED"), "8": "TIMEOUT", "7_0": "X"}


def test_what_we_have_cancelled_is_known_without_the_accounting(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    record_intent(folder, "n-0", [4, 9])
    record_answer(folder, "n-0", ["77_0", "77_1"])
    record_cancel(folder, "n-0", ["77_1"])
    record_cancel(folder, "n-0", ["77_0"])
    assert read_sent(folder)[0].cancelled == ("77_1", "77_0")


@settings(max_examples=20)
@given(st.text(max_size=40) | st.sampled_from(["[/b]", "[link=x]y[/]", "\x1b]0;x\x07"]))
def test_status_tells_of_strangers_words_as_text(text: str) -> None:
    """In a run's name, its place, what Slurm or a log says of a job."""
    console = Console(file=StringIO(), width=1000)
    job = JobStatus(0, text, 1, "failed", text, text, text, 1, 0, 1.0, (text,))
    print_status(RunStatus(f"/{text}", text, (job,), 1, 0, text), console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in said
    if text.isprintable():
        assert said.startswith(f"{text}: 1 jobs")
        assert f"litesweep resume {shlex.quote(f'/{text}')}" in said


def test_status_tells_of_cells_that_no_job_measures() -> None:
    console = Console(file=StringIO(), width=60)
    print_status(RunStatus("run", "n", (), cells=2, live=0, scheduler=""), console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said.startswith("n: 0 jobs\n0 of 2 cells done\n2 cells are in no job")


def test_the_cluster_has_a_say_in_the_size_of_an_array(tmp_path: Path, commands: Path) -> None:
    command(commands, "scontrol", "echo 'MaxArraySize            = 50'")
    assert max_array(site(tmp_path)) == 50
    assert max_array(site(tmp_path, ("[mpi]", "[slurm]\narray = 2000\n[mpi]"))) == 50
    assert max_array(site(tmp_path, ("[mpi]", "[slurm]\narray = 20\n[mpi]"))) == 20


@pytest.mark.parametrize(
    ("mpi", "code", "said"),
    [
        # In C code that keeps the interpreter's lock, as MPI_Init does where PMI has lost a rank.
        ("import ctypes; ctypes.PyDLL(None).pause()", -signal.SIGALRM, ""),
        ("raise RuntimeError('cannot load MPI library\\nlibmpi.so.40: no such file')", 1,
         ": cannot load MPI library; libmpi.so.40: no such file.\nInstall"),
    ],
)  # fmt: skip
def test_an_mpi_that_does_not_start_ends_the_rank(
    tmp_path: Path, mpi: str, code: int, said: str
) -> None:
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").touch()
    (tmp_path / "mpi4py" / "MPI.py").write_text(mpi)
    done = subprocess.run(
        [sys.executable, "-c", "import jobs.world as w; w.START_S = 1; w.MpiWorld(2)"],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"},
    )
    assert done.returncode == code
    assert said in done.stderr


def test_partitions_and_what_they_allow(tmp_path: Path, commands: Path) -> None:
    told = ("batch*|4|1:00:00", "long|8|2-00:30:00", "short|2|30:00", "free|1|infinite")
    command(commands, "sinfo", f"printf '%s\\n' {' '.join(f'{line!r}' for line in told)}")
    known = partitions()
    assert [p.limit_min for p in known] == [60, 2910, 30, None]
    assert [p.name for p in known if p.is_default] == ["batch"]

    def limit(partition: str, minutes: int, more: str = "") -> None:
        profile = site(tmp_path, ('partition = "batch"\n', partition + more))
        check_time_limit(profile, "type_a", minutes, known)

    limit('partition = "batch"\n', 60)
    limit('partition = "batch,free"\n', 10_000)
    limit('partition = "elsewhere"\n', 10_000)  # which sbatch refuses
    limit("", 60)
    limit('partition = "short"\n', 31, 'qos = "long"\n')
    for partition in ('partition = "short,batch"\n', ""):
        with pytest.raises(
            UserError, match=r"61 min; its partition allows 60 min[\s\S]*\"60 min\""
        ):
            limit(partition, 61)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", 6),
        ('constraint = "ib"\n', 2),
        ('constraint = "ib&big"\n', 2),
        ('constraint = "ib|big"\n', 0),  # more than a list of features: not known
        ('partition = "long"\n', 4),
        ('partition = "batch,long"\n', 0),
        ('sbatch = {reservation = "bench day"}\n', 0),
    ],
)
def test_nodes_that_jobs_may_go_to(tmp_path: Path, commands: Path, text: str, found: int) -> None:
    told = (
        *("batch*|1|mixed|2|(null)", "batch*|2|idle~|2|big,ib", "batch*|50|idle*|2|ib"),
        *("batch*|50|allocated|1|ib", "batch*|3|planned-|4|big", "batch*|50|drained|2|ib"),
        *("long|4|completing|4|big", "batch*|50|idle|4+|ib"),
    )
    command(commands, "sinfo", f"printf '%s\n' {' '.join(f'{line!r}' for line in told)}")
    profile = site(tmp_path, ('partition = "batch"\n', ""), ('constraint = "type_a"\n', text))
    assert nodes_in_service(profile, "type_a") == found
    command(commands, "sinfo", "exit 1")
    assert not nodes_in_service(profile, "type_a")


@pytest.mark.parametrize("name", ["new\nline", "back\\slash", "per%jcent", "dollar$", "a,b", "a:b"])
def test_folders_that_no_job_could_be_given(name: str) -> None:
    with pytest.raises(UserError, match="cannot be given to a job"):
        check_folders(Container(), [Path("/shared") / name])
    if name in ("a,b", "a:b"):
        check_folders(Container(runtime="none"), [Path("/shared") / name])
    check_folders(Container(), [Path("/shared/it's a run")])
