"""Two at once: twins of a job that Slurm has queued again, `resume`s, users of one store."""

import json
import os
import random
import shutil
import time
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import patch

from rich.console import Console

import jobs.worker
from jobs.cluster.sent import read_sent
from jobs.cluster.site import Container, CpuType, Mpi, Site
from jobs.cluster.submissions import resume
from jobs.collect import write_shard
from jobs.run_folder import BusyError, RunFolder
from suite.artifacts.store import ArtifactStore, describe
from suite.results.rows import LOCAL, Results
from tests.faults.fault import Bench, Impossible, fault
from tests.faults.made_up import CONTEXT, a_run, collected, job, recorded, start, start_job
from tests.rows import an_artifact


@fault(
    "a job and its twin on another node, both at work at once and both finishing",
    "every finished trial of both is in results.h5, once; the run is done",
)
def two_nodes(bench: Bench) -> None:
    chance = random.Random(6)
    for turn in bench.times(long=100, short=3):
        with bench.trying(f"twins {turn}"):
            folder = a_run(bench.folder() / "run", trials=4)
            started = []
            for host in ("c1", "c2"):
                started.append(start_job(folder, 0, host, trial_s=0.002))
                time.sleep(chance.random() * 0.1)
            for process, outcome in started:
                assert not (said := outcome.recv()).mistake + said.fault, said
                process.join()
            assert collected(folder) == recorded(folder)
            assert 8 <= len(recorded(folder)) <= 16


@fault(
    "a twin that records trials between another's reading of its journal and the shard's writing",
    "as above",
)
def between(bench: Bench) -> None:
    for turn in bench.times(long=40, short=2):
        with bench.trying(f"turn {turn}"):
            folder = a_run(bench.folder() / "run", trials=4)

            def late(folder: RunFolder, index: int, results: Results) -> None:
                # It had begun before there was anything to find.
                with patch.multiple(jobs.worker, write_shard=write_shard, left_by=nothing):
                    job(folder, 0, "c2")
                if turn % 2:  # noqa: B023  (else the twin's shard stays)
                    folder.shard(0).unlink()
                write_shard(folder, index, results)

            with patch.object(jobs.worker, "write_shard", late):
                job(folder, 0, "c1")
            assert collected(folder) == recorded(folder)
            assert len(recorded(folder)) == 16


def nothing(*_: object, **__: object) -> tuple[Results, ...]:
    """Find nothing that was left."""
    return ()


@fault(
    "a job and its twin on the same node",
    "one of them measures; the other ends and says why; every trial is there once",
)
def one_node(bench: Bench) -> None:
    for turn in bench.times(long=60, short=2):
        with bench.trying(f"twins {turn}"):
            folder = a_run(bench.folder() / "run", trials=4)
            started = [start_job(folder, 0, "c1", trial_s=0.03) for _ in range(2)]
            said = [outcome.recv() for _, outcome in started]
            for process, _ in started:
                process.join()
            assert not any(each.fault for each in said), said
            mistakes = [each.mistake for each in said if each.mistake]
            assert len(mistakes) <= 1
            assert all("being written by another process" in mistake for mistake in mistakes)
            assert collected(folder) == recorded(folder)
            assert len(recorded(folder)) == 8


@fault(
    "a job that is begun again when its shard is there and its journals were cleaned away",
    "nothing is measured again; the shard stays as it was",
)
def after_the_end(bench: Bench) -> None:
    for host in ("c1", "c2"):
        with bench.trying(host):
            folder = a_run(bench.folder() / "run")
            job(folder)
            whole = collected(folder)
            shutil.rmtree(folder.path / "journals")
            assert not job(folder, 0, host).mistake
            assert collected(folder) == whole


SBATCH = """#!/bin/sh
echo "$1" >> {folder}/sbatch.calls
sleep 0.05
echo Submitted batch job $(wc -l < {folder}/sbatch.calls)
"""


def resume_there(path: Path, commands: Path, said: Connection) -> None:
    """Resume a run in a process of its own."""
    os.environ["PATH"] = f"{commands}:{os.environ['PATH']}"
    try:
        resume(path, console=Console(quiet=True))
    except BusyError as error:
        said.send(str(error))
    except Exception as error:
        said.send(f"unexpected: {error!r}")
    else:
        said.send("")


@fault(
    "two `resume`s of a run at once",
    "each slice is submitted once; the second is told that another is at it, or finds it done",
)
def two_resumes(bench: Bench) -> None:
    site = Site(
        cpu_types={LOCAL: CpuType(cpus=1)},
        container=Container(runtime="none"),
        mpi=Mpi(type="none"),
    )
    for turn in bench.times(long=40, short=2):
        with bench.trying(f"resumes {turn}"):
            home = bench.folder()
            folder = a_run(home / "run", slices=3)
            folder.site_file.write_text(json.dumps(site.dump()))
            names = {
                "sbatch": SBATCH.format(folder=home),
                "scontrol": "#!/bin/sh\necho MaxArraySize = 2\n",
                # What was submitted waits: as many jobs as there were calls, by the name in each.
                "squeue": f"#!/bin/sh\nfor script in $(cat {home}/sbatch.calls 2>/dev/null); do\n"
                "  n=$((n + 1))\n"
                "  name=$(sed -n 's/^#SBATCH --job-name=//p' $script)\n"
                "  if grep -q -- --array $script; then\n"
                '    for i in 0 1; do echo "${n}_$i|$name|PENDING|Priority"; done\n'
                '  else echo "$n|$name|PENDING|Priority"; fi\ndone\n',
                **dict.fromkeys(("srun", "sacct", "sinfo"), "#!/bin/sh\n"),
            }
            (home / "bin").mkdir()
            for name, script in names.items():
                (home / "bin" / name).write_text(script)
                (home / "bin" / name).chmod(0o755)
            receivers = []
            for _ in range(2):
                receiver, sender = CONTEXT.Pipe(duplex=False)
                receivers.append((start(resume_there, folder.path, home / "bin", sender), receiver))
                sender.close()
            said = [receiver.recv() for _, receiver in receivers]
            for process, _ in receivers:
                process.join()
            assert all(not each or "by another process" in each for each in said), said
            assert not all(said), said
            slices = [index for sent in read_sent(folder) for index in sent.slices]
            assert sorted(slices) == [0, 1, 2], slices
            assert all(sent.job_ids for sent in read_sent(folder))


def build_there(root: Path, user: int, turns: int, said: Connection) -> None:
    """Build and find artifacts in a store that is shared, as another user if there can be one."""
    if user:
        os.setgroups([])
        os.setgid(54321)
        os.setuid(user)
    os.umask(0o002)
    store = ArtifactStore(root)
    built = 0
    try:
        for turn in range(turns):
            key = f"{turn:032x}"
            if not store.find(key):
                with store.building(key) as scratch:
                    if not store.find(key):
                        built += 1
                        (scratch / "model.tflite").write_bytes(key.encode() * 500)
                        describe(scratch / "model.tflite", an_artifact(key), 1)
            found = store.find(key)
            assert found and found.path.read_bytes() == key.encode() * 500
        said.send(built)
    except Exception as error:
        said.send(repr(error))


@fault(
    "two users, of one group, who build the same artifacts in one store at once",
    "each artifact is built once, is whole for both, and neither is stopped by what is the other's",
)
def two_users(bench: Bench) -> None:
    turns = 40 if bench.short else 600
    home = bench.folder()
    users = (61001, 61002) if os.geteuid() == 0 else (0, 0)
    root = home / "store"
    root.mkdir()
    if users[0]:
        for folder in (bench.root, home):
            folder.chmod(0o755)
        os.chown(root, -1, 54321)
        root.chmod(0o2775)
    receivers = []
    for user in users:
        receiver, sender = CONTEXT.Pipe(duplex=False)
        receivers.append((start(build_there, root, user, turns, sender), receiver))
        sender.close()
    said = [receiver.recv() for _, receiver in receivers]
    for process, _ in receivers:
        process.join()
    with bench.trying("both"):
        assert all(isinstance(each, int) for each in said), said
    for turn in range(turns):
        with bench.trying(f"artifact {turn}"):
            found = ArtifactStore(root).find(f"{turn:032x}")
            assert found and len(found.path.read_bytes()) == 32 * 500
    with bench.trying("each once"):
        assert sum(said) == turns, said
    if not users[0]:
        raise Impossible("one user, in two processes: only root can be another one")
