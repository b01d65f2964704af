"""A rank of a job whose trials are made up, in a real MPI world, each on a node of its own name.

`mpiexec -n 3 python -m tests.faults.ranks RUN TRIAL_S PATIENCE_S [RANK]`: the last is the rank that
stops when results are gathered.
"""

import os
import signal
import sys
from typing import Any
from unittest.mock import patch

import jobs.worker
import jobs.world
from tests.faults.made_up import as_if_on


def main() -> None:
    """Do what a rank on a cluster does, from its start to its end."""
    run, trial_s, patience_s, *stops = sys.argv[1:]
    rank = os.environ["PMI_RANK"]
    os.environ["SLURM_NTASKS"] = os.environ["PMI_SIZE"]
    jobs.worker.PATIENCE_S = jobs.world.GATHER_S = float(patience_s)
    gather = jobs.world.MpiWorld.gather

    def stopping(world: Any, results: Any) -> Any:
        if rank in stops:
            os.kill(os.getpid(), signal.SIGSTOP)
        return gather(world, results)

    with (
        as_if_on(f"c{rank}", float(trial_s)),
        patch.object(jobs.world.MpiWorld, "gather", stopping),
    ):
        jobs.worker.measure_on_cluster(run, 0, mpi=True)


if __name__ == "__main__":
    main()
