"""The documents: links lead somewhere, and references name everything that there is."""

import re
from pathlib import Path

import pytest

from analysis.others.measurement import LACKS
from jobs.cluster.site import Build, Container, CpuType, Mpi, Slurm
from suite.models.spec import FineTune, ModelSpec, Preprocess
from suite.optimizations.names import OPTIMIZATIONS
from suite.quantizations import RECIPES
from suite.results.normal import KINDS
from suite.results.rows import CellFlag, Column, TrialFlag
from suite.sweep import Axes, Measure, Sweep
from tests.conftest import REPOSITORY

DOCUMENTS = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("*/*.md"), *REPOSITORY.glob("tests/*/*.md")]
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if not target.startswith("https://"):
            assert (document.parent / target).exists(), target


def test_every_key_of_a_sweep_is_documented() -> None:
    text = (REPOSITORY / "docs" / "sweep.md").read_text()
    for table in (Sweep, Axes, ModelSpec, Preprocess, FineTune, Measure):
        for key in table.model_fields:
            assert f"`{key}`" in text or f"[{key}" in text, key
    for name in (*RECIPES, *OPTIMIZATIONS):
        assert f"`{name}" in text


def test_every_key_of_a_site_is_documented() -> None:
    text = (REPOSITORY / "docs" / "cluster.md").read_text()
    example = (REPOSITORY / "jobs" / "examples" / "site.toml").read_text()
    for table in (CpuType, Container, Mpi, Slurm, Build):
        for key in table.model_fields:
            assert f"`{key}`" in text, key
    for table in (CpuType, Container, Mpi, Slurm):
        for key in table.model_fields:
            assert f"{key} = " in example, key


def test_every_variable_of_a_result_is_documented() -> None:
    text = (REPOSITORY / "docs" / "results.md").read_text()
    for columns in KINDS.values():
        for name, kind in columns.items():
            if isinstance(kind, Column):
                assert f"| `{name}` | {'text' if kind.dtype == 'str' else kind.dtype} |" in text, (
                    name
                )
                assert kind.long_name in text, name
    for flag in (*TrialFlag, *CellFlag):
        assert f"`{str(flag.name).lower()}`" in text


def test_every_lack_of_others_is_documented() -> None:
    text = (REPOSITORY / "docs" / "others.md").read_text()
    for name, words in LACKS.items():
        assert f"| `{name}` | {words} |" in text
