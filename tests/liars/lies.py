"""Lies to plant: code that runs in the timed process before it measures, and files that deceive."""

import sys
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from suite.results.rows import TrialRow
from suite.topology import granted_cpus
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest

TRUTH = ""

COARSE_CLOCK = """
import time
fine = time.perf_counter_ns
time.perf_counter_ns = lambda: fine() // 2_000_000 * 2_000_000
"""

NO_DELEGATE = """
from ai_edge_litert import interpreter
plain = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
real = interpreter.Interpreter
def deaf(**asked):
    return real(**{**asked, "experimental_op_resolver_type": plain})
interpreter.Interpreter = deaf
"""

TAKES = """
from time import perf_counter_ns
from ai_edge_litert.interpreter import Interpreter
really_invoke, calls = Interpreter.invoke, 0
def invoke(self):
    global calls
    end = perf_counter_ns() + {ns}
    calls += 1
    really_invoke(self)
    while perf_counter_ns() < end:
        pass
Interpreter.invoke = invoke
"""


def takes(ns: str) -> str:
    """Return a lie by which an invocation takes at least `ns`, an expression of `calls` so far."""
    return TAKES.format(ns=ns)


def measured(model: Path, lie: str = TRUTH, *, turn: int = 0, cap_ns: int = 10**9) -> TrialRow:
    """Measure one short trial in a process that runs `lie` first."""
    request = TrialRequest(
        artifact_path=str(model),
        threads=1,
        cpus=granted_cpus()[:1],
        seed=0,
        warmup_cap_ns=cap_ns,
        sampling_ns=50_000_000,
    )
    code = f"{lie}\nfrom suite.trial import worker\nworker.main()"
    name = TrialName("run", "cell", "node", turn, 0)
    trial = run_trial(name, request, 120, [sys.executable, "-c", code])
    assert trial.status == "ok", trial.error
    return trial


def with_nan(model: Path, to: Path) -> Path:
    """Write a copy of a .tflite file whose weights hold a NaN."""
    tree = schema.ModelT.InitFromPackedBuf(model.read_bytes(), 0)
    bias = min((b for b in tree.buffers if b.data is not None and len(b.data) >= 32), key=_size)
    values = np.array(bias.data, np.uint8).view(np.float32)
    values[:] = np.nan
    bias.data = values.view(np.uint8)
    builder = flatbuffers.Builder(1024)
    builder.Finish(tree.Pack(builder), b"TFL3")
    to.write_bytes(builder.Output())
    return to


def _size(buffer: schema.BufferT) -> int:
    return len(buffer.data)
