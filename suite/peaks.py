"""What a machine can do at best: multiply-adds by the runtime's own matrix product, and reading.

Measured in a process of its own, pinned before it starts any thread: `python -m suite.peaks` is
that process. A machine's data sheet says more than any code reaches; these are the ceilings that
LiteRT's kernels reach on a product of large matrices, so that a model's distance from them is the
model's.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np

from suite.errors import InternalError
from suite.process import die_with_parent, signal_name

ROWS, INNER, COLUMNS = 256, 512, 512
"""Of the matrix product: weights that fit into caches and are made use of by every row. It is over
in a few ms, so that one repetition among many is left alone even on a busy machine."""
READ_BYTES = tuple(2**exponent for exponent in range(18, 29))
"""Sizes that are read again and again: from what a core's own cache holds to what none does."""
LEAST_S = 0.15
"""Time for each of the figures."""
LEAST_REPETITIONS = 5
TIMEOUT_S = 120.0
_barrier: Any = None
"""At which the processes that read wait for each other."""


@dataclass(frozen=True)
class Peaks:
    """What so many threads of one machine reach; each the best of many repetitions.

    What disturbs a repetition can only make it slower, so the best is the machine's own.
    """

    threads: int
    float32_macs_per_s: float
    """Multiply-adds of float32 numbers."""
    int8_macs_per_s: float
    """Multiply-adds of 8-bit integers."""
    read_bytes_per_s: tuple[float, ...]
    """Reading as many bytes as `READ_BYTES` says, again and again."""


def measure_peaks(cpus: Sequence[int]) -> Peaks:
    """Measure what a thread on each of `cpus` reaches together; takes about three seconds.

    Raises
    ------
    InternalError
        If the process that measures fails.
    """
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    failed = "The machine's peaks could not be measured"
    try:
        said = subprocess.run(
            [sys.executable, "-m", "suite.peaks", *map(str, cpus)],
            env={**os.environ, **one_thread},
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise InternalError(f"{failed} in {TIMEOUT_S:.0f} s.") from None
    if said.returncode < 0:
        by = signal_name(-said.returncode)
        raise InternalError(f"{failed}: the process that measures was killed by {by}.")
    if said.returncode:
        lines = said.stderr.strip().splitlines() or [f"exit code {said.returncode}"]
        raise InternalError(f"{failed}: {lines[-1]}")
    found = json.loads(said.stdout)
    return Peaks(**found | {"read_bytes_per_s": tuple(found["read_bytes_per_s"])})


def main() -> None:
    """Measure on the CPUs that the arguments name, and print what was found as JSON."""
    die_with_parent()
    cpus = [int(cpu) for cpu in sys.argv[1:]]
    os.sched_setaffinity(0, cpus)
    reading = _read_bytes_per_s(cpus)  # first: it forks, which LiteRT's threads would not survive
    found = {
        "threads": len(cpus),
        "float32_macs_per_s": _macs_per_s("FLOAT32", len(cpus)),
        "int8_macs_per_s": _macs_per_s("INT8", len(cpus)),
        "read_bytes_per_s": reading,
    }
    print(json.dumps(found))


def _macs_per_s(kind: str, threads: int) -> float:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=matrix_product(kind), num_threads=threads)
    interpreter.allocate_tensors()
    return ROWS * INNER * COLUMNS / _least_s(interpreter.invoke)


def _read_bytes_per_s(cpus: Sequence[int]) -> list[float]:
    """Return how fast all CPUs read together, each its share of the sizes."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(cpus))
    with ProcessPoolExecutor(len(cpus), context, _begin, (barrier,)) as readers:
        try:
            rates = np.array([*readers.map(_read, cpus)])
        except BrokenProcessPool:
            sys.exit("a process that reads was killed")
    return [float(rate) for rate in rates.sum(axis=0)]


def _begin(barrier: Any) -> None:
    die_with_parent()
    global _barrier  # noqa: PLW0603  (a barrier reaches a process by being inherited alone)
    _barrier = barrier


def _read(cpu: int) -> list[float]:
    """Read together with the other processes, one on each CPU."""
    os.sched_setaffinity(0, {cpu})
    rates = []
    for size in READ_BYTES:
        vector = np.ones(size // _barrier.parties // 4, np.float32)
        _barrier.wait()
        # The product of a vector with itself, by numpy's BLAS, reads it once.
        rates.append(vector.nbytes / _least_s(lambda: vector @ vector))  # noqa: B023
    return rates


def _least_s(work: Callable[[], object]) -> float:
    work()
    taken: list[float] = []
    begin = time.perf_counter()
    while len(taken) < LEAST_REPETITIONS or time.perf_counter() - begin < LEAST_S:
        before = time.perf_counter()
        work()
        taken.append(time.perf_counter() - before)
    return min(taken)


def matrix_product(kind: str) -> bytes:
    """Return a .tflite file of one dense layer, `ROWS` × `INNER` by `INNER` × `COLUMNS`.

    Parameters
    ----------
    kind
        Of all tensors: "FLOAT32" or "INT8".
    """
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    def tensor(name: str, shape: list[int], buffer: int) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name.encode(), shape, buffer
        made.type = getattr(schema.TensorType, kind)
        if kind == "INT8":
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [0.05], [0]
        return made

    weights = np.random.default_rng(0).integers(-100, 100, (COLUMNS, INNER))
    constant = schema.BufferT()
    constant.data = weights.astype(kind.lower()).view(np.uint8).ravel()
    dense = schema.OperatorT()
    dense.inputs, dense.outputs = [0, 1, -1], [2]
    dense.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    dense.builtinOptions = schema.FullyConnectedOptionsT()
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("rows", [ROWS, INNER], 0),
        tensor("weights", [COLUMNS, INNER], 1),
        tensor("product", [ROWS, COLUMNS], 0),
    ]
    graph.inputs, graph.outputs, graph.operators = [0], [2], [dense]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 4 if kind == "INT8" else 1
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT(), constant]
    builder = Builder(weights.nbytes)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    main()
