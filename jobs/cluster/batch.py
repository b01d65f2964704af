"""Lines of the batch script beside the call of srun, which submitit writes."""

import re
import shlex
from pathlib import Path

from jobs.world import START_S

BEGINS = 'echo "$(date +%FT%T) job $SLURM_JOB_ID begins" >&2'
BEGUN = re.compile(r"^\S+ job \d+ begins$", re.MULTILINE)
"""A job that Slurm queued again goes on in the log of before, whose words are not of its end."""
LATE_S = 60
"""That a rank may begin after srun has."""


def check_lines(image: Path | None, sha256: str) -> list[str]:
    """Return lines of a batch script that refuse to go on with another image than the planned."""
    if image is None:
        return []
    name = shlex.quote(str(image))
    return [
        f"if [ ! -r {name} ]; then",
        f"  echo litesweep: there is no image {name} on $(hostname), or it cannot be read. >&2",
        "  exit 66",
        "fi",
        f"if ! echo {shlex.quote(f'{sha256}  {image}')} | sha256sum --check --status; then",
        f"  echo litesweep: the image {name} is not the one that the run was planned with: "
        f"its sha256 is not {sha256}. >&2",
        "  exit 65",
        "fi",
    ]


def srun_again(start_s: int = START_S) -> list[str]:
    """Return lines of a batch script by which srun is called once more if MPI did not start.

    Now and then Slurm's PMI loses a rank, which then ends by its alarm. srun tells of that as 128
    and a signal: the alarm's, or the one that has ended another rank. What a second call finds in
    the journals it does not measure again.
    """
    return [
        "srun() {",
        "  local code took begun=$SECONDS",
        '  command srun "$@" && return',
        "  code=$? took=$((SECONDS - begun))",
        f"  [ $code -gt 128 ] && [ $took -ge {start_s} ] && [ $took -le {start_s + LATE_S} ] "
        "|| return $code",
        "  echo litesweep: MPI did not bring all ranks together. Once more. >&2",
        f"  {BEGINS}",
        '  command srun "$@"',
        "}",
    ]
