"""Lies that a single trial tells."""

from pathlib import Path

import pytest

from suite.results.rows import TrialFlag
from suite.scenarios import parse
from suite.topology import granted_cpus
from suite.trial.launch import TrialName
from suite.trial.loads import Load, run_load_trial
from suite.trial.protocol import TrialRequest
from tests.liars.lies import COARSE_CLOCK, NO_DELEGATE, TRUTH, measured, takes, with_nan

STEADY = takes("5_000_000")
NEVER_STEADY = takes("5_000_000 * 1.15 ** calls")


@pytest.mark.parametrize(
    ("lie", "flag"),
    [
        (TRUTH, TrialFlag.CLOCK_COARSE),
        (COARSE_CLOCK, TrialFlag.CLOCK_COARSE),
        (TRUTH, TrialFlag.DELEGATE_MISSING),
        (NO_DELEGATE, TrialFlag.DELEGATE_MISSING),
        (STEADY, TrialFlag.NO_STEADY_STATE),
        (NEVER_STEADY, TrialFlag.NO_STEADY_STATE),
    ],
    ids=["fine clock", "coarse clock", "delegate", "no delegate", "steady", "never steady"],
)
def test_a_lie_is_seen_and_a_truth_let_pass(tiny_tflite: Path, lie: str, flag: TrialFlag) -> None:
    trial = measured(tiny_tflite, lie, cap_ns=300_000_000)
    assert (flag in TrialFlag(trial.validity)) is (lie not in (TRUTH, STEADY))


def test_an_artifact_that_yields_nan(tiny_tflite: Path, tmp_path: Path) -> None:
    liar = measured(with_nan(tiny_tflite, tmp_path / "nan.tflite"))
    assert TrialFlag.OUTPUT_NOT_FINITE in TrialFlag(liar.validity)
    assert TrialFlag.OUTPUT_NOT_FINITE not in TrialFlag(measured(tiny_tflite).validity)


def test_how_much_is_delegated(tiny_tflite: Path) -> None:
    trial, plain = measured(tiny_tflite), measured(tiny_tflite, NO_DELEGATE)
    assert 0 < trial.operators_delegated <= trial.operators_run
    assert (plain.operators_run, plain.operators_delegated) == (trial.operators_run, 0)


@pytest.mark.parametrize(("rate", "expected"), [("200/s", False), ("900000/s", True)])
def test_queries_that_come_faster_than_they_are_served(
    tiny_tflite: Path, rate: str, expected: bool
) -> None:
    load = Load(parse(f"server@{rate}"), (granted_cpus()[:1],), 1, shared=False)
    name = TrialName("run", "cell", "node", 0, 0)
    trial, _ = run_load_trial(name, TrialRequest(str(tiny_tflite), 1, (), 0), load, 60)
    assert (TrialFlag.OVERLOADED in TrialFlag(trial.validity)) is expected
