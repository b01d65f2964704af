"""Frequency and temperature: made-up machines, and a real trial on one."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from suite.sensors import Climate, Lookout, Sensors
from suite.topology import elsewhere, granted_cpus, read_cpus
from suite.trial.instruments import Instruments
from tests.machines import XEON, frequency, lay
from tests.test_energy import measured


def test_sensors_of_the_pinned_cpus_and_the_hottest_package(tmp_path: Path) -> None:
    lay(tmp_path, XEON, frequency(1, scaling_cur_freq="3000000"))
    assert Sensors.of([0, 1], tmp_path).read() == Climate(2.8e9, 62.0)
    assert not Sensors.of([0, 1], tmp_path / "nothing")
    assert len(Sensors.of([*range(16)], tmp_path).frequency) == 8
    assert len(Sensors.of([*range(9)], tmp_path).frequency) == 5
    nothing = Sensors.of([0], tmp_path / "nothing").read()
    assert math.isnan(nothing.frequency_hz) and math.isnan(nothing.temperature_degc)


def test_they_are_read_while_the_block_runs_and_summed_up(tmp_path: Path) -> None:
    lay(tmp_path, XEON)
    with Lookout(Sensors.of([0], tmp_path), granted_cpus()[0], every_s=0.001) as lookout:
        for degc in (70, 90, 60):
            seen = len(lookout.seen)
            lay(tmp_path, {"sys/class/hwmon/hwmon2/temp1_input": f"{degc}000"})
            while len(lookout.seen) < seen + 3:
                pass
    assert lookout.during == Climate(2.6e9, 90.0)
    count = len(lookout.seen)
    assert not lookout._thread.is_alive()
    assert len(lookout.seen) == count


@pytest.mark.parametrize(("files", "cpu"), [(XEON, None), ({}, 0)])
def test_nothing_is_started_where_there_is_nothing_to_see_or_no_place_to_look_from(
    tmp_path: Path, files: Mapping[str, str], cpu: int | None
) -> None:
    lay(tmp_path, files)
    with Lookout(Sensors.of([0], tmp_path), cpu) as lookout:
        assert lookout._thread.ident is None
    assert math.isnan(lookout.during.frequency_hz)


def test_one_looks_from_a_core_that_is_free(tmp_path: Path) -> None:
    # 16 CPUs on 8 cores: siblings are 8 apart.
    cpus = read_cpus(range(16), lay(tmp_path, XEON) / "sys")
    assert elsewhere([0], cpus) not in (None, 0, 8)
    assert elsewhere(range(7), cpus) in (7, 15)
    assert elsewhere(range(8), cpus) is None
    assert elsewhere([0], ()) is None


def test_a_trial_sees_how_fast_and_hot_the_cpus_were(tiny_tflite: Path, tmp_path: Path) -> None:
    lay(tmp_path, XEON, frequency(512))
    cpus = read_cpus(granted_cpus())
    trial = measured(tiny_tflite, Instruments(cpus=cpus, root=tmp_path))
    assert trial.frequency_before_hz == trial.frequency_after_hz == 2.6e9
    assert trial.temperature_before_degc == trial.temperature_after_degc == 62
    seen = elsewhere(granted_cpus()[:1], cpus) is not None
    assert (trial.frequency_during_hz == 2.6e9) == seen
    assert (trial.temperature_during_degc == 62) == seen
    blind = measured(tiny_tflite, Instruments(cpus=(), root=tmp_path))
    assert math.isnan(blind.frequency_during_hz) and blind.frequency_before_hz == 2.6e9
