"""The machine's peaks, and how near cells come to them."""

import json
import math
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from analysis import roofline
from suite.errors import InternalError, UserError
from suite.models.tflite_file import describe
from suite.peaks import COLUMNS, INNER, READ_BYTES, ROWS, matrix_product, measure_peaks
from suite.results.rows import Results
from suite.topology import granted_cpus
from tests.conftest import Litesweep, Opened
from tests.rows import a_cell, a_run, an_artifact

ONE_MS = [1_000_000] * 6


def peaks(threads: int = 1, **values: Any) -> dict[str, Any]:
    """Return peaks of 10^12 multiply-adds a second, and of slower reading of 2^28 bytes."""
    row = {
        "threads": threads,
        "float32_macs_per_s": 1e12,
        "int8_macs_per_s": 4e12,
        "read_bytes_per_s": [1e11, 1e11, 1e10],
    }
    return {"read_bytes": [2**18, 2**24, 2**28], "peaks": [row | values]}


def a_model(multiply_adds: float, weight_bytes: float, **axes: Any) -> Results:
    run = a_run((axes, ONE_MS))
    artifact = an_artifact("a0", multiply_adds=multiply_adds, weight_bytes=weight_bytes)
    return replace(run, artifacts=(artifact,))


@pytest.mark.parametrize(
    ("work", "quantization", "bound_ns", "limited_by"),
    [
        ((5e8, 2**20), "float32", 5e5, "compute"),
        ((5e8, 2**20), "float16", 5e5, "compute"),
        ((5e8, 2**20), "int8", 1.25e5, "compute"),
        ((5e8, 2**20), "dynamic", 1.25e5, "compute"),
        ((5e8, 2**20), "mixed", 1.25e5, "compute"),
        ((1e6, 2**24), "float32", 2**24 / 1e11 * 1e9, "memory"),
        ((1e6, 2**28), "float32", 2**28 / 1e10 * 1e9, "memory"),
        ((1e6, 2**30), "float32", 2**30 / 1e10 * 1e9, "memory"),  # no cache beyond the last size
        ((1e6, 2**26), "float32", 2**26 / 10**10.5 * 1e9, "memory"),  # half-way, on logarithms
        ((1e6, 0), "float32", 1e3, "compute"),
    ],
)
def test_the_bound_is_the_longer_of_computing_and_reading(
    work: tuple[float, float], quantization: str, bound_ns: float, limited_by: str, opened: Opened
) -> None:
    results = opened(a_model(*work, quantization=quantization))
    found = roofline(results, peaks()).squeeze()
    assert found["bound_ns"].item() == pytest.approx(bound_ns)
    assert found["limited_by"].item() == limited_by
    assert found["roof_share"].item() == pytest.approx(bound_ns / 1e6)
    assert found["macs_per_s"].item() == pytest.approx(work[0] * 1e3)


def test_the_share_has_the_interval_of_the_latency(opened: Opened) -> None:
    run = a_run(({}, [100_000, 110_000, 90_000, 105_000, 95_000, 101_000]))
    artifact = an_artifact("a0", multiply_adds=5e7, weight_bytes=1)
    results = opened(replace(run, artifacts=(artifact,)))
    found = roofline(results, peaks())
    assert (found["roof_share_low"] < found["roof_share"]).all()
    assert (found["roof_share"] < found["roof_share_high"]).all()
    np.testing.assert_allclose(found["roof_share_low"], 5e4 / results["ci_high_ns"])


@pytest.mark.parametrize(
    ("axes", "values", "given"),
    [
        ({"threads": 2}, {}, peaks(1)),  # not measured at two threads
        ({}, {"multiply_adds": math.nan, "weight_bytes": math.nan}, peaks()),
        ({"runtime": "openvino"}, {}, peaks()),  # has other kernels
        ({"instances": 2}, {}, peaks()),  # share the memory
    ],
)
def test_no_bound_where_something_is_not_known(
    axes: Mapping[str, Any], values: Mapping[str, float], given: Any, opened: Opened
) -> None:
    results = opened(a_model(**{"multiply_adds": 5e8, "weight_bytes": 1e6} | dict(values), **axes))
    found = roofline(results, given).squeeze()
    assert math.isnan(found["bound_ns"])
    assert found["limited_by"].item() == ""


def test_each_cpu_type_has_peaks_of_its_own(opened: Opened, tmp_path: Path) -> None:
    cells = tuple(a_cell(f"c{n}", cpu_type=name) for n, name in enumerate(("skylake", "zen3")))
    run = a_run(*(({"cpu_type": cell.axes["cpu_type"]}, ONE_MS) for cell in cells))
    results = opened(replace(run, artifacts=(an_artifact("a0", multiply_adds=1e9),)))
    file = tmp_path / "peaks.json"
    file.write_text(json.dumps(peaks(float32_macs_per_s=2e12)))
    found = roofline(results, {"skylake": peaks(), "zen3": file}).squeeze()
    assert found["compute_ns"].sel(cpu_type="skylake") == pytest.approx(1e6)
    assert found["compute_ns"].sel(cpu_type="zen3") == pytest.approx(5e5)
    one = roofline(results, {"zen3": file}).squeeze()
    assert math.isnan(one["compute_ns"].sel(cpu_type="skylake"))
    with pytest.raises(UserError, match=r"skylake, zen3\.\nGive them by CPU type"):
        roofline(results, file)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"peaks": []}', json.dumps(peaks(read_bytes_per_s=[1.0])),
     json.dumps(peaks(int8_macs_per_s=0)), json.dumps(peaks(int8_macs_per_s="x"))],
)  # fmt: skip
def test_peaks_that_are_none(content: str, opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "peaks.json").write_text(content)
    with pytest.raises(UserError, match=r"peaks\.json' are not as they should be"):
        roofline(opened(a_model(1, 1)), tmp_path / "peaks.json")
    with pytest.raises(UserError, match="cannot be read"):
        roofline(opened(a_model(1, 1)), tmp_path / "absent.json")


# Measured


@pytest.mark.parametrize("kind", ["FLOAT32", "INT8"])
def test_the_matrix_product_does_what_is_counted(kind: str) -> None:
    found = describe(matrix_product(kind))
    assert found.work.multiply_adds == ROWS * INNER * COLUMNS
    assert found.work.weight_bytes == INNER * COLUMNS * (4 if kind == "FLOAT32" else 1)
    assert found.operators == {"FULLY_CONNECTED": 1}


def test_the_matrix_product_of_floats_is_right() -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=matrix_product("FLOAT32"))
    interpreter.allocate_tensors()
    rows = np.eye(ROWS, INNER, dtype=np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], rows)
    interpreter.invoke()
    product = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    weights = np.random.default_rng(0).integers(-100, 100, (COLUMNS, INNER))
    np.testing.assert_array_equal(product, weights.T[:ROWS])


def test_a_process_that_cannot_measure_says_why() -> None:
    with pytest.raises(InternalError, match="could not be measured: "):
        measure_peaks([1_000_000])


@pytest.mark.parametrize("whom", ["the reader", "the process that measures"])
def test_a_process_that_is_killed_ends_it_with_one_message(whom: str) -> None:
    """Where a reader was killed, the others and all that waited for it once waited for ever."""
    with ThreadPoolExecutor() as pool:
        measured = pool.submit(measure_peaks, granted_cpus()[:2])
        me = psutil.Process()
        depth = 2 if whom == "the reader" else 1
        while len(found := [p for p in me.children(True) if "suite.peaks" in p.cmdline()]) < depth:
            assert not measured.done()
        found[depth - 1].send_signal(signal.SIGKILL)
        with pytest.raises(InternalError, match=r"could not be measured: .* was killed[^\n]*$"):
            measured.result()


def test_the_command_prints_what_roofline_takes(
    litesweep: Litesweep, opened: Opened, tmp_path: Path
) -> None:
    printed = litesweep("peaks", "--json")
    assert printed.returncode == 0, printed.stderr
    said = json.loads(printed.stdout)
    assert said["read_bytes"] == [*READ_BYTES]
    assert said["peaks"][0]["threads"] == 1
    assert said["peaks"][-1]["threads"] == len(granted_cpus())
    for row in said["peaks"]:
        assert row["int8_macs_per_s"] > 1e8  # a million times less than any machine's
        assert row["float32_macs_per_s"] > 1e7
    found = roofline(opened(a_model(1e9, 1e6)), said).squeeze()
    assert found["bound_ns"] > 0
