"""The document of optimisations: written from made-up runs of the sweeps that it is made of."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suite import Sweep
from suite.cells import axes_of, expand
from suite.results.write import write_results
from tests.conftest import REPOSITORY
from tests.rows import a_cell, a_node, a_trial, an_artifact, some_results

EXAMPLES = REPOSITORY / "jobs" / "examples"


def made_up_run(folder: Path, example: str, **artifact: Any) -> None:
    """Write a run of an example's cells in which everything takes a millisecond."""
    sweep = Sweep.load(EXAMPLES / f"{example}.toml")
    cells = expand(sweep, lambda name: "float32")
    axes = axes_of(cells)
    optimized = {c.cell_id: 1000 * (c.optimization != "none") for c in cells}
    rows = some_results(
        cells=tuple(
            a_cell(c.cell_id, axes=c.place(axes), artifact_key=f"a{c.cell_id}") for c in cells
        ),
        artifacts=tuple(
            an_artifact(
                f"a{c.cell_id}",
                **{"artifact_bytes": 2000, "artifact_compressed_bytes": 1500} | artifact,
                encoded_bytes=optimized[c.cell_id],
            )
            for c in cells
        ),
        nodes=(replace(a_node(), cpu_name="A CPU"),),
        trials=tuple(
            a_trial(
                f"{c.cell_id}-{n}",
                np.full(5, 10**6),
                cell_id=c.cell_id,
                round=n,
                energy_absent="no counters here",
            )
            for c in cells
            for n in range(6)
        ),
        provenance={
            **{"run_id": "run", "sweep": sweep.text, "created": "2026-01-02"},
            "packages": '{"litesweep": "1"}',
        },
    )
    folder.mkdir()
    write_results(folder / "results.h5", rows)


@pytest.mark.tensorflow
def test_the_document_is_written_from_its_two_sweeps(tmp_path: Path) -> None:
    labels = {"labelled_top1": 0.9, "reference_top1": 0.95, "labelled_examples": 2500}
    made_up_run(tmp_path / "mnist", "optimizations", **labels)
    made_up_run(tmp_path / "resnet50", "optimizations-resnet50", labelled_top1=float("nan"))
    script = REPOSITORY / "docs" / "optimizations.py"
    arguments = [tmp_path / "mnist", tmp_path / "resnet50", tmp_path]
    subprocess.run([sys.executable, script, *arguments], check=True, cwd=REPOSITORY)

    text = (tmp_path / "optimizations.md").read_text()
    small, large = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    head, _, *rows = (line.strip("| ").split(" | ") for line in small.splitlines())
    assert len(rows) == (9 + 2) * 4
    first = dict(zip(head, rows[0], strict=True))
    assert first["top-1 %"] == "90.00"
    assert "nan" not in text and "None" not in text
    assert "`14 px`" in text
    assert "`fine-tune@2`" in small and "fine-tune" not in large
    assert len(large.splitlines()) == 2 + (6 + 2) * 4
    assert "no counters here" in text
    for name in ("mnist", "resnet50"):
        assert (tmp_path / f"optimizations-{name}.svg").read_text().startswith("<?xml")
