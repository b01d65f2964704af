"""Every kind of cell in one job: instances, load, another runtime, no delegate, and a profile."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import analysis
from suite.results.read import read_results
from tests.cluster.case import Case

KINDS = """profile = true
[[include]]
instances = 2
[[include]]
instances = 2
scenario = ["offline", "server@500/s"]
[[include]]
delegate = "none"
[[include]]
runtime = "onnxruntime"
"""
AXES = ("instances", "scenario", "runtime", "delegate")
OF_SHARED_CPUS = {
    *("few_trials", "unresolved", "drifting"),
    *("noisy_node", "no_steady_state", "clock_coarse"),
}
"""What may be said of a few trials that share two CPUs with another node's."""


@pytest.mark.tensorflow
def test_every_kind_of_cell_without_a_container(
    clean_queue: None, tiny_tflite: Path, tmp_path: Path
) -> None:
    case = Case(tmp_path, Path("none"), tiny_tflite)
    container = 'runtime = "apptainer"\nimage = "none"'
    case.site((container, f'runtime = "none"\npython = "{sys.executable}"'))
    case.sweep(trials=2)
    sweep = case.folder / "sweep.toml"
    sweep.write_text(sweep.read_text().replace("threads = [1, 2]", "threads = [1]") + KINDS)
    case.submit("--wait")

    results = read_results(case.run / "results.h5")
    assert [trial.error for trial in results.trials if trial.error] == []
    assert (len(results.nodes), len(results.trials)) == (2, 6 * 2 * 2)
    assert len(results.instances) == 3 * 2 * (2 * 2)
    shown = json.loads(case.do("show", case.run, "--json").stdout)
    cells = {tuple(record[axis] for axis in AXES): record for record in shown}

    def cell(**place: Any) -> dict[str, Any]:
        plain = {"instances": 1, "scenario": "single-stream", "runtime": "litert"}
        return cells[tuple(({**plain, "delegate": "xnnpack"} | place).values())]

    assert len(cells) == 6
    for record in shown:
        assert record["throughput_per_s"] > 0
        assert not set(record["verdict"]) - OF_SHARED_CPUS
    assert cell()["operators_delegated"] > 0
    assert cell(delegate="none")["operators_delegated"] == 0
    assert cell(runtime="onnxruntime")["computes_in"] == "float32"
    assert cell(instances=2, scenario="offline")["figure"] == "throughput"
    assert cell(instances=2, scenario="server@500/s")["offered_per_s"] == 500
    assert analysis.instances(case.run)["cpus"].nunique() == 2

    operators = analysis.operators(case.run)
    assert operators.attrs["unprofiled"] == []
    assert operators["node"].nunique() == 2
    assert set(operators["runtime"]) == {"litert"}
    by = operators.groupby("delegate")["run_by"].unique()
    assert {delegate: set(run_by) for delegate, run_by in by.items()} == {
        "xnnpack": {"xnnpack"},
        "none": {"litert"},
    }
