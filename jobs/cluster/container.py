"""The container's command line: how a Python inside an image is started on a node."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from jobs.cluster.site import Container
from suite.errors import UserError

NOT_FOR_SLURM = "\\%$"
"""Slurm takes these in the name of a log for something else."""
NOT_FOR_BINDS = ',:"'
"""These divide what is to be bound into a container."""


def check_folders(container: Container, folders: Iterable[Path]) -> None:
    """Refuse folders whose names would not reach the nodes as they are.

    Raises
    ------
    UserError
        If there is one.
    """
    forbidden = NOT_FOR_SLURM + (NOT_FOR_BINDS if container.runtime != "none" else "")
    for folder in map(str, folders):
        wrong = [c for c in folder if c in forbidden or not c.isprintable()]
        if wrong:
            raise UserError(
                f"The folder {folder!r} cannot be given to a job: it has {wrong[0]!r} in its name.",
                "Choose another one (--out for the run, --store for the artifacts).",
            )


NO_MORE: Mapping[str, tuple[str, ...]] = {
    "apptainer": ("--sharens", "--no-mount", "home,cwd", "--pwd", "/"),
    "singularity": ("--no-home", "--pwd", "/"),
}
"""Of the host the container sees what is bound, /tmp and devices. Not the user's home: packages
that lie there would take the place of the image's, and a stranger's model finds nothing to read."""


def python_command(
    container: Container,
    image: Path | None,
    writes: Iterable[Path] = (),
    reads: Iterable[Path] = (),
    stage: str | None = None,
) -> str:
    """Return the shell words that start Python on a node, in the container if there is one.

    Parameters
    ----------
    writes, reads
        The folders that the job writes to, and that it only reads: bound at the same path. (A
        folder that is not there would not be missed before a job waits in vain for its first file.)
    stage
        A folder of the node's own, bound too where it is there; it may begin with a variable.
    """
    if image is None:
        return shlex.quote(container.python)
    # --sharens: the ranks on one node must see each other's shared memory, or MPICH's messages
    # fail. Never --cleanenv or --containall: they take the variables away by which MPI finds
    # its ranks.
    words = [container.runtime, "-q", "exec", *NO_MORE[container.runtime]]
    bound = {folder: f"{folder}:{folder}:ro" for folder in reads}
    bound |= {folder: str(folder) for folder in writes}
    for folder in sorted(bound):  # what is within another folder comes after it
        words += ["--bind", bound[folder]]
    for bind in container.binds:
        words += ["--bind", bind]
    inner = [*container.arguments, str(image), container.python]
    if not stage:
        return shlex.join([*words, *inner])
    # By a shell on the node: the variable may say something else there, the folder be missing.
    bind = '${stage:+--bind "$stage"}'
    name = stage.partition("/")[0].removeprefix("$")
    place = f"${{{name}:+{stage}}}" if name else stage
    find = f'stage="{place}"; [ -d "$stage" ] || stage='
    script = f'{find}; exec {shlex.join(words)} {bind} {shlex.join(inner)} "$@"'
    return shlex.join(["sh", "-c", script, "sh"])
