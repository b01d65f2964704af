"""Lies that several trials tell together."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from suite.results.rows import TrialRow
from suite.verdict import has_trend, judge
from tests.liars.lies import measured, takes
from tests.rows import a_cell, a_trial

ROUNDS = 8
PRECISION = 0.02


def verdict(trials: Sequence[TrialRow], **axes: str) -> tuple[str, ...]:
    return judge(a_cell(**axes), trials, PRECISION).reasons


@pytest.fixture(scope="module")
def honest(tiny_tflite: Path) -> list[TrialRow]:
    """Trials of a cell whose latency is the same in every round."""
    return [measured(tiny_tflite, takes("3_000_000"), turn=turn) for turn in range(ROUNDS)]


def test_a_drifting_node(tiny_tflite: Path, honest: list[TrialRow]) -> None:
    drifting = [
        measured(tiny_tflite, takes(f"20_000_000 * {1.25**turn}"), turn=turn)
        for turn in range(ROUNDS)
    ]
    assert "drifting" in verdict(drifting)
    assert "drifting" not in verdict(honest)


def test_a_replicate_that_is_a_copy_of_another(honest: list[TrialRow]) -> None:
    copied = [*honest[:-1], replace(honest[2], trial_id="copy", round=ROUNDS)]
    assert "replicate_copied" in verdict(copied)
    assert "replicate_copied" not in verdict(honest)


def test_samples_that_are_all_alike_are_no_copies() -> None:
    quantized = [a_trial(f"t{n}", [1_000_000] * 50, round=n) for n in range(6)]
    assert "replicate_copied" not in verdict(quantized)


def test_a_cell_measured_on_one_node_only(honest: list[TrialRow]) -> None:
    assert "single_node" in verdict(honest, cpu_type="skylake")
    assert "single_node" not in verdict(honest, cpu_type="local")
    two = [replace(trial, node_id=f"n{n % 2}") for n, trial in enumerate(honest)]
    assert "single_node" not in verdict(two, cpu_type="skylake")


@pytest.mark.parametrize("trials", [6, 10, 30])
def test_a_trend_is_seldom_found_in_noise(trials: int) -> None:
    rng = np.random.default_rng(trials)
    runs = np.exp(rng.normal(0, 0.03, (2000, trials)))
    found = np.mean([has_trend(run.tolist(), PRECISION) for run in runs])
    assert found < 0.015
    drift = np.exp(np.linspace(0, 0.4, trials))
    assert np.mean([has_trend((run * drift).tolist(), PRECISION) for run in runs]) > 0.5
