"""Each fault in its short form; `make faults` has the long one."""

import os
from pathlib import Path

import pytest

from tests.faults import __main__ as faults
from tests.faults.fault import FAULTS, Bench, Fault, Impossible
from tests.faults.model import Run


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.bring_about.__name__)
def test_what_is_promised_holds(fault: Fault) -> None:
    finding = fault.run(short=True)
    assert finding.broken == []
    if finding.impossible:
        assert "CI" not in os.environ, f"under CI it must be possible: {finding.impossible}"
    assert finding.holds


def test_a_broken_promise_is_told() -> None:
    def breaks(bench: Bench) -> None:
        for turn in bench.times(long=9, short=3):
            with bench.trying(f"turn {turn}"):
                assert turn != 1, "odd"

    finding = Fault("a fault", "nothing breaks", breaks).run(short=True)
    assert not finding.holds
    assert finding.line() == "| a fault | nothing breaks | 3 | 2 |"
    [said] = finding.broken
    assert said.startswith("turn 1: AssertionError odd") and "(test_faults.py:" in said


def test_an_error_between_two_tries_leaves_the_other_faults_to_be_tried() -> None:
    def ends_early(bench: Bench) -> None:
        with bench.trying("once"):
            pass
        raise TimeoutError("too late")

    finding = Fault("a", "b", ends_early).run(short=True)
    assert not finding.holds
    assert finding.broken[0].startswith("TimeoutError too late")


def test_a_twin_within_a_job_of_the_model_is_counted_once() -> None:
    run = Run()
    run.plan(copies=1)
    run.job_with_a_twin(index=0, hosts=["c1"], fates={}, at=1, other="c2")
    assert len(run.known) == 8, "the twin has measured nothing"
    run.collect()
    run.teardown()


def test_what_was_not_tried_does_not_hold() -> None:
    assert not Fault("", "", lambda bench: None).run(short=True).holds

    def impossible(bench: Bench) -> None:
        raise Impossible("no root")

    finding = Fault("a", "b", impossible).run(short=True)
    assert finding.holds
    assert finding.line() == "| a | b | 0 | 0 (not here: no root) |"


def test_the_command_ends_by_what_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def breaks(bench: Bench) -> None:
        with bench.trying("it"):
            raise ValueError("lost")

    monkeypatch.setattr(faults, "FAULTS", [Fault("a thief", "nothing goes", breaks)])
    monkeypatch.setattr("sys.argv", ["faults", "--short"])
    with pytest.raises(SystemExit) as end:
        faults.main()
    assert end.value.code == 1
    said = capsys.readouterr()
    assert "| a thief | nothing goes | 1 | 0 |" in said.out
    assert "ValueError lost" in said.err
