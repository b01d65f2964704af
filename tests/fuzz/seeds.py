"""Files as they should be, made by code: what is altered from there."""

import hashlib
import io
import json
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import flatbuffers
import h5py
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from jobs.plan import Plan, PlannedArtifact, PlannedCell, Slice
from jobs.run_folder import RunFolder
from suite.cells import AXES, Cell
from suite.journal import _CRC, _SIZES, MAGIC, Journal
from suite.results.layout import content_digest, fixed_length
from suite.results.rows import Results
from suite.results.seal import MARK, SIZE
from suite.results.write import write_results
from suite.sweep import Measure
from suite.trial.protocol import TrialAnswer
from tests.rows import a_node, a_state, a_trial, an_artifact, an_instance, an_operator

CELL = Cell("m", "float32", 1, "local", "c0")
SWEEP = 'name = "s"\n[axes]\nmodel = ["m"]\n[models.m]\nsource = "m.tflite"\n'
PROVENANCE = {"run_id": "run", "name": "s", "sweep": SWEEP, "packages": "{}", "precision": "0.02"}


def plan() -> Plan:
    """Return the plan of a run of one cell."""
    return Plan(
        provenance=PROVENANCE,
        measure=Measure(),
        axes=AXES,
        cells=(PlannedCell(CELL, "a0", "", 1.0),),
        artifacts={"a0": PlannedArtifact(Path("/store/a0/a0/model.tflite"), an_artifact())},
        slices={0: Slice(("c0",), 60.0)},
    )


def run_folder(path: Path) -> RunFolder:
    """Make the folder of a run that was submitted, and has measured nothing yet."""
    folder = RunFolder(path)
    for part in (folder.path / "journals/job-00000", folder.shard(0).parent, folder.job_logs(0)):
        part.mkdir(parents=True, exist_ok=True)
    plan().write(folder.plan_file)
    folder.identity_file.write_bytes(IDENTITY)
    folder.site_file.write_bytes(SITE)
    folder.sent_file.write_bytes(SENT)
    return folder


IDENTITY = json.dumps(PROVENANCE).encode()
SITE = json.dumps(
    {
        "folder": "/home",
        "site": {"cpu_types": {"local": {"cpus": 1}}, "container": {"runtime": "none"}},
    }
).encode()
SENT = b"""{"name": "litesweep-run-0", "at": "2026-01-01T00:00:00", "slices": [0]}
{"name": "litesweep-run-0", "job_ids": ["12"]}
{"name": "litesweep-run-0", "cancelled": ["12"]}"""
PROGRESS = (
    b'{"cells": 1, "cells_done": 1, "trials": 3, "now": "m", "seconds_left": 2, "finished": "1"}'
)


def results() -> Results:
    """Return what a run of that plan has measured."""
    return replace(plan().results(), **_measured())


def _measured() -> dict[str, Any]:
    trials = tuple(a_trial(f"t{n:04}", np.arange(40) + n, round=n) for n in range(3))
    return {
        "nodes": (a_node(),),
        "trials": trials,
        "states": (a_state(),),
        "instances": (an_instance(),),
        "operators": (an_operator(),),
    }


def results_file(path: Path) -> bytes:
    """Return a file of those results."""
    write_results(path, results())
    return path.read_bytes()


def journal(path: Path) -> bytes:
    """Return a journal of those results."""
    path.unlink(missing_ok=True)
    with Journal(path, "run") as journal:
        for name in ("nodes", "states", "instances", "operators", "trials"):
            journal.append(*getattr(results(), name))
    return path.read_bytes()


def record(text: bytes, samples: bytes = b"") -> bytes:
    """Return a record of a journal whose sizes and CRC are right, whatever it says."""
    sizes = _SIZES.pack(MAGIC, len(text), len(samples))
    return (
        sizes + _CRC.pack(zlib.crc32(samples, zlib.crc32(text, zlib.crc32(sizes)))) + text + samples
    )


def records(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return the text and the samples of each record of a journal that is whole."""
    found, place = [], 0
    while place < len(content):
        _, text, samples = _SIZES.unpack_from(content, place)
        place += _SIZES.size + _CRC.size
        found.append((content[place : place + text], content[place + text :][:samples]))
        place += text + samples
    return found


def right_crcs(content: bytes) -> bytes:
    """Return a journal with the CRC put right of each record that its sizes give a place to."""
    mended, place = bytearray(content), content.find(MAGIC)
    head = _SIZES.size + _CRC.size
    while 0 <= place <= len(content) - head:
        _, text, samples = _SIZES.unpack_from(content, place)
        end = place + head + text + samples
        if end <= len(content):
            crc = zlib.crc32(mended[place + head : end], zlib.crc32(mended[place:][: _SIZES.size]))
            _CRC.pack_into(mended, place + _SIZES.size, crc)
        place = content.find(MAGIC, max(place + 1, end if end <= len(content) else 0))
    return bytes(mended)


def unsealed(content: bytes) -> bytes:
    """Return a file of results without its seal."""
    return content[:-SIZE] if content[-SIZE:].startswith(MARK) else content


def sealed(content: bytes) -> bytes:
    """Return a file of results with the seal of what it holds now."""
    image = unsealed(content)
    return image + MARK + hashlib.sha256(image).hexdigest().encode() + b"\n"


def right_digest(file: h5py.File) -> None:
    """Put the digest of its content into a file of results, as far as it can be taken."""
    arrays = {
        name: data[()]
        for name in file
        if isinstance(data := file[name], h5py.Dataset)
        and not data.is_scale
        and data.nbytes < 2**26
    }
    axes = file.attrs["axes"].decode().split()
    told = {key: value[()].decode() for key, value in file["provenance"].items()}
    digest = fixed_length([content_digest(arrays, axes, told)]).reshape(())
    file.attrs.modify("content_digest", digest)


def tflite() -> bytes:
    """Return a small model: a dense layer of quantized weights, and what a converter adds to it."""
    weights = np.arange(8, dtype=np.int8)
    buffers = [schema.BufferT(), schema.BufferT(), schema.BufferT()]
    buffers[1].data = weights.view(np.uint8)
    buffers[2].data = np.frombuffer(b"1.0.0", np.uint8)

    def tensor(name: str, shape: list[int], kind: int, buffer: int) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, np.array(shape), kind, buffer
        made.shapeSignature = np.array([-1, *shape[1:]])
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = np.ones(shape[0], np.float32)
        made.quantization.zeroPoint = np.zeros(shape[0], np.int64)
        return made

    graph = schema.SubGraphT()
    graph.name, graph.inputs, graph.outputs = "main", np.array([0]), np.array([2])
    floats, ints = schema.TensorType.FLOAT32, schema.TensorType.INT8
    graph.tensors = [
        tensor("in", [1, 4], floats, 0),
        tensor("weights", [2, 4], ints, 1),
        tensor("out", [1, 2], floats, 0),
    ]
    layer = schema.OperatorT()
    layer.opcodeIndex, layer.inputs, layer.outputs = 0, np.array([0, 1, -1]), np.array([2])
    custom = schema.OperatorT()
    custom.opcodeIndex, custom.inputs, custom.outputs = 1, np.array([2]), np.array([2])
    custom.customOptions = np.arange(9, dtype=np.uint8)
    graph.operators = [layer, custom]
    codes = [schema.OperatorCodeT(), schema.OperatorCodeT()]
    codes[0].builtinCode = codes[0].deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    codes[1].builtinCode, codes[1].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM, 32
    codes[1].customCode = "MyOperator"
    metadata = schema.MetadataT()
    metadata.name, metadata.buffer = "min_runtime_version", 2
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.inputs, signature.outputs = "serving_default", [], []
    model = schema.ModelT()
    model.version, model.description = 3, "a seed"
    model.subgraphs, model.buffers, model.operatorCodes = [graph], buffers, codes
    model.metadata, model.signatureDefs = [metadata], [signature]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def npy() -> bytes:
    """Return an array of examples."""
    file = io.BytesIO()
    np.save(file, np.arange(12, dtype=np.float32).reshape(3, 4))
    return file.getvalue()


def npz() -> bytes:
    """Return labelled data."""
    file = io.BytesIO()
    x, y = np.arange(12, dtype=np.float32).reshape(3, 4), np.arange(3)
    np.savez(file, x_train=x, y_train=y, x_test=x, y_test=y)
    return file.getvalue()


OTHERS = {
    "litert": json.dumps(
        {
            **{"model": "/m/mobilenet.tflite", "num_threads": 2},
            "latency": {"avg_ms": 4.2, "median_ms": 4.1, "min_ms": 4.0, "num_runs": 50},
        }
    ),
    "pyperf": json.dumps(
        {
            **{"version": "1.0", "metadata": {"loops": 1, "hostname": "h"}},
            "benchmarks": [
                {
                    "metadata": {"name": "b", "unit": "second", "perf_version": "2.9"},
                    "runs": [{"values": [0.1, 0.11]}, {"values": [0.12]}, {"warmups": [[1, 0.2]]}],
                }
            ],
        }
    ),
    "loadgen": "".join(
        f':::MLLOG {{"key": "{key}", "value": {value}}}\n'
        for key, value in {
            "loadgen_version": '"5.1"',
            "effective_scenario": '"SingleStream"',
            "result_validity": '"VALID"',
            "result_50.00_percentile_latency_ns": 100,
            "result_mean_latency_ns": 110,
            "result_min_latency_ns": 90,
            "result_query_count": 1000,
            "early_stopping_latency_ss": 120,
            "result_qps_without_loadgen_overhead": 9000.5,
        }.items()
    ),
    "benchmark_model": (
        "Num threads: [4]\nGraph: [/m/mobilenet.tflite]\n"
        "count=50 first=33000 curr=33010 min=32687 max=35000 avg=33070 std=300 median=33050\n"
        "Inference timings in us: Init: 30000, First inference: 34000, Warmup (avg): 33500, "
        "Inference (avg): 33070\n"
    ),
}
ARTIFACT = json.dumps(
    {"row": asdict(an_artifact("abc")), "rough_latency_ns": 5, "file": "model.tflite"}
).encode()
ANSWER = (
    json.dumps(
        {
            **dict.fromkeys(TrialAnswer.__dataclass_fields__, 1),
            **{"cpus": [0], "energy_begin_uj": [], "energy_end_uj": [], "output_digest": "d"},
            **{"computes_in": "float32", "steady": True, "output_finite": True},
        }
    ).encode()
    + b"\n"
    + np.arange(40, dtype="<u8").tobytes()
)
