"""A made-up run for the pages that are executed: they say so, and take seconds anywhere."""

from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from suite.results.write import write_results
from tests.rows import a_cluster

RECIPES = {"float32": (1.0, 1), "float16": (1.02, 2), "dynamic": (3.1, 4), "int8": (4.8, 4)}
"""How many times faster and smaller than float32."""
TOP1 = {"float32": 0.912, "float16": 0.912, "dynamic": 0.908, "int8": 0.893}
EXAMPLES = 10_000


def made_up_run(slowest: float = 1.08, created: str = "2026-11-26") -> Path:
    """Write a run of two CPU types with six nodes each and return its folder.

    Parameters
    ----------
    slowest
        How many times longer the last node of each type takes.
    """
    run = a_cluster(
        6,
        models=("resnet50",),
        recipes=RECIPES,
        threads=(1, 2, 4, 8),
        cpu_types=("skylake", "zen3"),
        slowest=slowest,
        name="made-up",
        created=created,
        sweep=f"[axes]\nquantization = {[*RECIPES]}\n",
    )
    artifacts = tuple(
        replace(
            artifact,
            labelled_examples=EXAMPLES,
            labelled_top1=TOP1[artifact.artifact_key.split()[1]],
            reference_top1=TOP1["float32"],
            top1_agreement=1 - 1.5 * (TOP1["float32"] - TOP1[artifact.artifact_key.split()[1]]),
        )
        for artifact in run.artifacts
    )
    folder = Path(mkdtemp(prefix="litesweep-"))
    write_results(folder / "results.h5", replace(run, artifacts=artifacts))
    return folder
