"""Trying a site file's claims, one by one, against the live cluster."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from jobs.cluster.container import python_command
from jobs.cluster.images import image_sha256
from jobs.cluster.site import Site, find_site
from jobs.cluster.slurm import ask, srun_arguments
from suite.errors import UserError

TRY_TIMEOUT_S = 180

PROBE = """
import json, os, platform
said = {"host": platform.node(), "cpus": len(os.sched_getaffinity(0)), "world": 1, "rank": 0}
import jobs.worker, archspec.cpu
from importlib.metadata import version
said["litesweep"] = version("litesweep")
said["microarchitecture"] = archspec.cpu.host().name
if MPI:
    from mpi4py import MPI as mpi
    said["world"], said["rank"] = mpi.COMM_WORLD.Get_size(), mpi.COMM_WORLD.Get_rank()
print("PROBE " + json.dumps(said), flush=True)
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
    except UserError as error:
        yield Finding("Slurm", False, str(error))
        return
    yield _accounting()
    yield from _mpi(site)
    for name in site.cpu_types:
        yield from _cpu_type(site, name)


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
    said = subprocess.run(["srun", "--mpi=list"], capture_output=True, text=True, check=False)
    known = re.findall(r"^\s+(\w+)\s*$|(pmix\w*)", said.stdout + said.stderr, re.MULTILINE)
    names = sorted({a or b for a, b in known})
    holds = any(name.startswith(site.mpi.type) for name in names)
    text = "srun has it" if holds else f"srun does not have it, but: {', '.join(names)}"
    yield Finding(f"[mpi] type = {site.mpi.type!r}", holds, text)


def _cpu_type(site: Site, name: str) -> Iterator[Finding]:
    cpu_type, where = site.cpu_types[name], f"[cpu_types.{name}]"
    if cpu_type.partition:
        known = ask("sinfo", "-h", "-o", "%R").split()
        holds = cpu_type.partition in known
        text = "is there" if holds else f"is not: there are {', '.join(known)}"
        yield Finding(f"{where} partition = {cpu_type.partition!r}", holds, text)
        if not holds:
            return
    image = site.image(name)
    if image:
        try:
            yield Finding(f"{where} image", True, f"{image}, sha256 {image_sha256(image)}")
        except UserError as error:
            yield Finding(f"{where} image", False, str(error))
            return
    yield from _probe(site, name, image)


def _probe(site: Site, name: str, image: Path | None) -> Iterator[Finding]:
    """Run a probe on nodes of this type, as the jobs will run."""
    cpu_type, where = site.cpu_types[name], f"[cpu_types.{name}]"
    mpi = site.mpi.type in ("pmi2", "pmix")
    nodes = 2 if mpi and cpu_type.nodes > 1 else 1
    asked = {
        "partition": cpu_type.partition,
        "constraint": cpu_type.constraint,
        "account": cpu_type.account,
        "qos": cpu_type.qos,
        **{key: str(value) for key, value in cpu_type.sbatch.items() if value is not True},
    }
    command = [
        *("srun", "--immediate=120", "--time=2", f"--nodes={nodes}", "--ntasks-per-node=1"),
        *(f"--{key}={value}" for key, value in asked.items() if value),
        *srun_arguments(site, cpu_type.cpus),
    ]
    python = python_command(site.container, image, [])
    probe = shlex.quote(PROBE.replace("MPI:", f"{mpi}:"))
    lines = ["unset PYTHONPATH PYTHONHOME", *site.slurm.setup, f"exec {python} -c {probe}"]
    try:
        said = subprocess.run(
            [*command, "bash", "-c", "\n".join(lines)],
            capture_output=True,
            text=True,
            timeout=TRY_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield Finding(f"{where} nodes", False, f"no answer within {TRY_TIMEOUT_S} s")
        return
    answers = [json.loads(a) for a in re.findall(r"^PROBE (.*)$", said.stdout, re.MULTILINE)]
    if said.returncode or len(answers) < nodes:
        words = [line for line in said.stderr.strip().splitlines() if line.strip()]
        telling = [w for w in words if re.search(r"FATAL|Error|error: (?!.*task)", w)] or words
        yield Finding(f"{where} {nodes} nodes", False, " ".join(telling[:2]) or "no answer")
        return
    hosts = ", ".join(sorted(a["host"] for a in answers))
    yield Finding(f"{where} {nodes} nodes", True, f"{hosts}, litesweep {answers[0]['litesweep']}")
    cpus = min(a["cpus"] for a in answers)
    yield Finding(f"{where} cpus = {cpu_type.cpus}", cpus >= cpu_type.cpus, f"{cpus} are granted")
    if mpi:
        world = max(a["world"] for a in answers)
        yield Finding(f"{where} MPI", world == nodes, f"a world of {world} for {nodes} tasks")
    if cpu_type.expect:
        from jobs.worker import is_microarchitecture

        found = sorted({a["microarchitecture"] for a in answers})
        holds = all(is_microarchitecture(name, cpu_type.expect) for name in found)
        yield Finding(f"{where} expect = {cpu_type.expect!r}", holds, f"is {', '.join(found)}")


def print_finding(finding: Finding, console: Console) -> None:
    """Print a finding on a line of its own."""
    mark = "[green]ok[/green]   " if finding.holds else "[red]wrong[/red]"
    console.print(mark, end=" ")
    console.print(f"{finding.claim}: {finding.said}", markup=False, highlight=False, soft_wrap=True)
