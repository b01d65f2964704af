"""Trying a site file's claims, one by one, against the live cluster."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from jobs.cluster.container import python_command
from jobs.cluster.images import checked_image
from jobs.cluster.partitions import Partition, check_time_limit, partitions
from jobs.cluster.site import CpuType, Site, find_site
from jobs.cluster.slurm import as_the_site_says, ask, srun_arguments
from suite.errors import UserError

TRY_TIMEOUT_S = 180
WAIT_S = 120
"""For nodes to be free."""

MEASURES = """
import json, os, platform
said = {"host": platform.node(), "cpus": len(os.sched_getaffinity(0)), "world": 1, "rank": 0}
import jobs.worker, archspec.cpu
from importlib.metadata import version
said["litesweep"] = version("litesweep")
said["microarchitecture"] = archspec.cpu.host().name
if STAGE:
    from jobs.staging import free_bytes
    try:
        said["stage"] = f"{free_bytes(STAGE) / 1e9:.3g} GB are free"
    except OSError as error:
        said["wrong"] = error.strerror
if MPI:
    from mpi4py import MPI as mpi
    said["world"], said["rank"] = mpi.COMM_WORLD.Get_size(), mpi.COMM_WORLD.Get_rank()
print("PROBE " + json.dumps(said), flush=True)
"""

BUILDS = """
import json
import jobs.cluster.builds
from importlib.metadata import version
print("PROBE " + json.dumps({"tensorflow": version("tensorflow")}), flush=True)
"""


@dataclass(frozen=True)
class Finding:
    """A claim, and whether it holds."""

    claim: str
    holds: bool
    said: str
    """What was found, or what is wrong."""


def check_site(given: str | None) -> Iterator[Finding]:
    """Try the claims of a site file; each finding comes as soon as it is made.

    Raises
    ------
    UserError
        If there is no such file, or it is no profile.
    """
    path = find_site(given, Path.cwd())
    site = Site.load(path)
    yield Finding(f"{path}", True, f"{len(site.cpu_types)} CPU types")
    try:
        yield Finding("Slurm", True, ask("sinfo", "--version").strip())
        ask("squeue", "-h", "-o", "%i", "-t", "running")
        known = partitions()
    except UserError as error:
        yield Finding("Slurm", False, str(error))
        return
    yield _accounting()
    yield from _mpi(site)
    for name in site.cpu_types:
        yield from _cpu_type(site, name, known)
    if site.build:
        yield from _build(site, site.build.cpu_type)


def _accounting() -> Finding:
    try:
        ask("sacct", "-n", "-X", "-o", "JobID")
    except UserError as error:
        return Finding(
            "sacct", False, f"{error.what} (jobs' ends are then told by their logs alone)"
        )
    return Finding("sacct", True, "answers")


def _mpi(site: Site) -> Iterator[Finding]:
    if site.mpi.type not in ("pmi2", "pmix"):
        return
    said = _run("srun", "--mpi=list")
    known = re.findall(r"^\s+(\w+)\s*$|(pmix\w*)", said.stdout + said.stderr, re.MULTILINE)
    names = sorted({a or b for a, b in known})
    holds = any(name.startswith(site.mpi.type) for name in names)
    text = "srun has it" if holds else f"srun does not have it, but: {', '.join(names)}"
    yield Finding(f"[mpi] type = {site.mpi.type!r}", holds, text)


def _cpu_type(site: Site, name: str, known: Sequence[Partition]) -> Iterator[Finding]:
    cpu_type, where = site.cpu_types[name], f"[cpu_types.{name}]"
    if cpu_type.partition:
        names = [partition.name for partition in known]
        holds = set(cpu_type.partition.split(",")) <= {*names}
        text = "is there" if holds else f"is not: there are {', '.join(names)}"
        yield Finding(f"{where} partition = {cpu_type.partition!r}", holds, text)
        if not holds:
            return
    if cpu_type.time_limit:
        minutes = max(1, int(cpu_type.time_limit // 60))
        try:
            check_time_limit(site, name, minutes, known)
            yield Finding(f"{where} time_limit", True, f"{minutes} min are allowed")
        except UserError as error:
            yield Finding(f"{where} time_limit", False, error.what)
    image = site.image(name)
    if image:
        finding = _image(f"{where} image", image, site)
        yield finding
        if not finding.holds:
            return
    job = _whole_job(site, name)
    yield job
    if job.holds:
        yield from _probe(site, name, image)


def _image(claim: str, image: Path, site: Site) -> Finding:
    try:
        return Finding(claim, True, f"{image}, sha256 {checked_image(image, site)}")
    except UserError as error:
        return Finding(claim, False, str(error))


def _whole_job(site: Site, name: str) -> Finding:
    """Say whether Slurm would take a job of all the nodes that one is to have."""
    cpu_type = site.cpu_types[name]
    asked = {"nodes": cpu_type.nodes, "cpus": cpu_type.cpus, **_asked(cpu_type)}
    words = [f"{key} = {value!r}" for key, value in asked.items() if value is not None]
    claim = f"[cpu_types.{name}] {', '.join(words)}"
    options = {**asked, "cpus": None, "cpus-per-task": cpu_type.cpus}
    if cpu_type.exclusive:
        options["exclusive"] = True
    said = _run("sbatch", "--test-only", "--ntasks-per-node=1", *_flags(options), "--wrap=true")
    return Finding(claim, not said.returncode, _telling(said) if said.returncode else "can be had")


def _probe(site: Site, name: str, image: Path | None) -> Iterator[Finding]:
    """Run a probe on nodes of this type, as the jobs will run."""
    cpu_type, where = site.cpu_types[name], f"[cpu_types.{name}]"
    mpi = site.mpi.type != "none"
    nodes = 2 if mpi and cpu_type.nodes > 1 else 1
    python = python_command(site.container, image, stage=site.slurm.stage)
    said = _on_nodes(site, name, python, MEASURES, nodes=nodes, mpi=mpi)
    answers = _answers(said)
    if said.returncode or len(answers) < nodes:
        yield Finding(f"{where} {nodes} nodes", False, _telling(said))
        return
    hosts = ", ".join(sorted(a["host"] for a in answers))
    yield Finding(f"{where} {nodes} nodes", True, f"{hosts}, litesweep {answers[0]['litesweep']}")
    if missing := re.findall(r".*command not found.*", said.stderr):
        yield Finding("[slurm] setup", False, missing[0])
    cpus = min(a["cpus"] for a in answers)
    yield Finding(f"{where} cpus = {cpu_type.cpus}", cpus >= cpu_type.cpus, f"{cpus} are granted")
    if mpi:
        world = max(a["world"] for a in answers)
        yield Finding(f"{where} MPI", world == nodes, f"a world of {world} for {nodes} tasks")
    if site.slurm.stage:
        wrong = [f"{a['host']}: {a['wrong']}" for a in answers if "wrong" in a]
        text = wrong[0] if wrong else answers[0]["stage"]
        yield Finding(f"[slurm] stage = {site.slurm.stage!r}", not wrong, text)
    if cpu_type.expect:
        from jobs.worker import is_microarchitecture

        found = sorted({a["microarchitecture"] for a in answers})
        holds = all(is_microarchitecture(name, cpu_type.expect) for name in found)
        yield Finding(f"{where} expect = {cpu_type.expect!r}", holds, f"is {', '.join(found)}")


def _build(site: Site, name: str) -> Iterator[Finding]:
    """Try whether the image that builds artifacts has TensorFlow, on a node."""
    image = site.build_image
    if image is None:
        return
    finding = _image("[build] image", image, site)
    yield finding
    if not finding.holds:
        return
    python = python_command(site.container, image)
    said = _on_nodes(site, name, python, BUILDS, nodes=1, mpi=False)
    answers = _answers(said)
    text = f"tensorflow {answers[0]['tensorflow']}" if answers else _telling(said)
    yield Finding(f"[build] on a node of {name}", bool(answers), text)


def _on_nodes(
    site: Site, name: str, python: str, probe: str, *, nodes: int, mpi: bool
) -> "subprocess.CompletedProcess[str]":
    """Run a probe on nodes of a CPU type, one rank each."""
    cpu_type = site.cpu_types[name]
    options = {"immediate": WAIT_S, "time": 2, "nodes": nodes, "cpus-per-task": cpu_type.cpus}
    common = ["--ntasks-per-node=1", *_flags({**options, **_asked(cpu_type)})]
    by_mpirun = site.mpi.type == "mpirun" and mpi
    if by_mpirun:  # as the batch script does, but from here: salloc's command runs where we are
        command = ["salloc", "--quiet", *common]
        python = f"{site.mpi.mpirun.replace('{ranks}', str(nodes))} {python}"
    else:
        command = ["srun", *common, *srun_arguments(site, cpu_type.cpus)]
    probe = shlex.quote(probe.replace("MPI:", f"{mpi}:").replace("STAGE", repr(site.slurm.stage)))
    lines = ["unset PYTHONPATH PYTHONHOME", *site.slurm.setup, f"exec {python} -c {probe}"]
    return _run(*command, "bash", "-c", "\n".join(lines))


def _asked(cpu_type: CpuType) -> dict[str, Any]:
    return {
        "partition": cpu_type.partition,
        "constraint": cpu_type.constraint,
        "account": cpu_type.account,
        "qos": cpu_type.qos,
        # A probe that is held back would not answer.
        **{key: value for key, value in cpu_type.sbatch.items() if key != "hold"},
    }


def _flags(options: Mapping[str, Any]) -> list[str]:
    said = {key: value for key, value in options.items() if value not in (None, False)}
    return [f"--{key}" if value is True else f"--{key}={value}" for key, value in said.items()]


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        with as_the_site_says():
            return subprocess.run(
                command, capture_output=True, text=True, timeout=TRY_TIMEOUT_S, check=False
            )
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"There is no {command[0]!r} here.")
    except subprocess.TimeoutExpired:
        text = f"{command[0]} does not answer within {TRY_TIMEOUT_S} s."
        return subprocess.CompletedProcess(command, 124, "", text)


def _answers(said: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    return [json.loads(a) for a in re.findall(r"^PROBE (.*)$", said.stdout, re.MULTILINE)]


def _telling(said: "subprocess.CompletedProcess[str]") -> str:
    """Return the lines that say what is wrong."""
    # What is indented is a traceback's; its last line, which is not, names the error.
    words = [line for line in said.stderr.splitlines() if line.strip() and not line[0].isspace()]
    telling = [w for w in words if re.search(r"FATAL|Error|error: (?!.*task)|failure:", w)] or words
    return " ".join(telling[:2]) or "no answer"


def print_finding(finding: Finding, console: Console) -> None:
    """Print a finding on a line of its own."""
    mark = "[green]ok[/green]   " if finding.holds else "[red]wrong[/red]"
    console.print(mark, end=" ")
    console.print(f"{finding.claim}: {finding.said}", markup=False, highlight=False, soft_wrap=True)
