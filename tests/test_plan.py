"""Before anything is measured: the preview, the projection, the plan's file."""

import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from jobs import preview
from jobs.display import Display, duration
from jobs.grid import lay_out
from jobs.plan import Plan, PlannedArtifact, PlannedCell
from jobs.projection import measure_seconds, trial_seconds
from jobs.provenance import provenance
from jobs.runs import make_plan, one_slice
from suite import Cell, Measure, Sweep
from suite.artifacts.build import BuildFailure
from suite.artifacts.store import Artifact
from suite.cells import AXES
from suite.errors import UserError
from tests.conftest import REPOSITORY, Litesweep
from tests.rows import an_artifact

EXAMPLES = REPOSITORY / "jobs" / "examples"
DEMO = EXAMPLES / "resnet50-demo.toml"


def cell(quantization: str = "float32", threads: int = 1) -> Cell:
    return Cell("m", quantization, threads, "local", f"{quantization}-{threads}")


def built(latency_ms: float) -> Artifact:
    row = an_artifact(artifact_bytes=100_000_000, error_cosine=float("nan"))
    return Artifact(Path("m.tflite"), row, rough_latency_ns=round(latency_ms * 1e6))


def test_the_preview_of_the_demo(tmp_path: Path) -> None:
    seen = preview(Sweep.load(DEMO), tmp_path)
    assert len(seen["cells"]) == 9
    assert set(seen["cells"][0]) == {*AXES, "cell_id"}
    assert [a["quantization"] for a in seen["artifacts"]] == [
        *("float32", "dynamic", "float16", "int8", "int16x8")
    ]
    assert not any(artifact["built"] for artifact in seen["artifacts"])
    assert 60 < seen["projected_seconds"] < 600
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "example", sorted(path.stem for path in EXAMPLES.glob("*.toml") if path.stem != "site")
)
def test_every_example_can_be_planned(example: str, tmp_path: Path) -> None:
    grid = lay_out(Sweep.load(EXAMPLES / f"{example}.toml"))
    assert not [request.refusal for request in grid.requests.values() if request.refusal]
    if {cell.cpu_type for cell in grid.cells} == {"local"}:
        seen = preview(grid.sweep, tmp_path)
        assert len(seen["cells"]) == len(grid.cells)
        assert 0 < seen["projected_measure_seconds"] <= grid.sweep.measure.budget * 2


def test_the_preview_on_the_command_line(
    litesweep: Litesweep, tmp_path: Path, tiny_tflite: Path
) -> None:
    shutil.copy(tiny_tflite, tmp_path / "m.tflite")
    (tmp_path / "s.toml").write_text(
        'name = "s"\naxes.model = ["m"]\nmodels.m.source = "m.tflite"\n'
    )
    seen = json.loads(litesweep("plan", "s.toml", "--json").stdout)
    assert {"cells", "artifacts", "projected_seconds"} <= seen.keys()
    said = litesweep("plan", "s.toml").stdout
    for word in ("m", "float32", seen["cells"][0]["cell_id"], "Projected", "1 artifact"):
        assert word in said


def test_what_nobody_can_make_is_said_before_it_is_tried(
    litesweep: Litesweep, tmp_path: Path, tiny_tflite: Path
) -> None:
    shutil.copy(tiny_tflite, tmp_path / "m.tflite")
    (tmp_path / "s.toml").write_text(
        'name = "s"\naxes.model = ["m"]\naxes.optimization = ["none", "prune@0.5"]\n'
        'models.m.source = "m.tflite"\n'
    )
    store = ("--store", "store")
    said = " ".join(litesweep("plan", "s.toml", *store).stdout.split())
    assert "2 artifacts, 1 of them to build: m float32: to build" in said
    assert "m prune@0.5 float32: m.tflite cannot be optimised (prune@0.5): that needs" in said
    plain, pruned = json.loads(litesweep("plan", "s.toml", *store, "--json").stdout)["artifacts"]
    assert plain["refusal"] == ""
    assert "cannot be optimised" in pruned["refusal"]


def test_slow_recipes_are_budgeted_for() -> None:
    assert trial_seconds(cell("int16x8"), None) > 5 * trial_seconds(cell("float32"), None)
    assert trial_seconds(cell("float32", 2), built(60)) < trial_seconds(cell("float32"), built(60))
    assert trial_seconds(cell("int16x8", 2), built(60)) == trial_seconds(cell("int16x8"), built(60))
    assert trial_seconds(cell(), built(1)) < trial_seconds(cell(), built(1000))


def test_the_budget_bounds_the_projection_but_for_the_first_round() -> None:
    assert measure_seconds([1.0] * 10, Measure()) == 60
    assert measure_seconds([1.0] * 10, Measure(budget=30)) == 30
    assert measure_seconds([1.0] * 10, Measure(budget=5)) == 10


def test_a_plan_reads_as_it_was_written(tmp_path: Path, tiny_tflite: Path) -> None:
    shutil.copy(tiny_tflite, tmp_path / "m.tflite")
    (tmp_path / "s.toml").write_text(
        'name = "s"\naxes.model = ["m"]\naxes.quantization = ["float32", "uint8"]\n'
        'models.m.source = "m.tflite"\n'
    )
    sweep = Sweep.load(tmp_path / "s.toml")
    grid = lay_out(sweep)
    good, bad = (grid.requests[cell.cell_id].key for cell in grid.cells)
    artifact = replace(built(60), row=replace(built(60).row, artifact_key=good))
    made = make_plan(
        grid,
        {good: artifact, bad: BuildFailure("it cannot be had")},
        {"run_id": "r", **provenance(sweep)},
        lambda cells: one_slice(cells, sweep),
    )
    assert [s.cell_ids for s in made.slices.values()] == [(grid.cells[0].cell_id,)]
    assert made.cells[1] == PlannedCell(grid.cells[1], "", "it cannot be had", 0.0)

    made.write(tmp_path / "plan.json")
    read = Plan.read(tmp_path / "plan.json")
    assert repr(read) == repr(made)  # NaN is no equal of itself
    assert isinstance(read.artifacts[good], PlannedArtifact)

    (tmp_path / "plan.json").write_text('{"slices": [["c"]]}')
    with pytest.raises(UserError, match="is damaged, or of another release"):
        Plan.read(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.2, "3 s"), (89, "89 s"), (120, "2 min"), (3 * 3600, "3.0 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(Console()).phase("measuring") as phase:
        for step in range(100):
            phase.draw(step / 100, f"trial {step} [red]of[/red] many")
    # A line now and then, not one each, and the text as it is.
    assert capsys.readouterr().out == "measuring: 0%, trial 0 [red]of[/red] many\n"


def test_nor_is_it_markup_where_there_is_one() -> None:
    """What a build writes, and what Slurm gives for a reason, is shown there."""
    console = Console(file=StringIO(), force_terminal=True, width=80)
    with Display(console).phase("building") as phase:
        phase.draw(0.5, "Setting up [/usr/bin]")
    assert "Setting up [/usr/bin]" in console.file.getvalue()  # type: ignore[attr-defined]
