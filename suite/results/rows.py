"""What a result holds, row by row: the schema of the HDF5 files, of shards and merged alike.

Each dataclass is one dimension of the file, each of its fields one variable along it. A field says
how it is stored and in what unit; nothing else in the project does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

SCHEMA_VERSION = "1.0"

FILL_INDEX = -1
"""Stands for 'none' in index variables."""


class TrialFlag(IntFlag):
    """Reasons not to trust a trial; a bit keeps its meaning for ever."""

    FAILED = 1 << 0  # crashed, timed out, or could not run the model
    NO_STEADY_STATE = 1 << 1
    AFFINITY_MISMATCH = 1 << 2  # ran on other CPUs than it was to be pinned to
    THREADS_NOT_USED = 1 << 3
    CLOCK_COARSE = 1 << 4  # a sample is less than 1000 times the clock's overhead or resolution
    OUTPUT_NOT_FINITE = 1 << 5

    def reasons(self) -> list[str]:
        """Return the names of the flags that are set, in lower case."""
        return [str(flag.name).lower() for flag in TrialFlag if flag in self]


def column(dtype: str, long_name: str, units: str = "", **attributes: str) -> Any:
    """Declare a variable: its numpy type (`"str"` for text), what it is, and its unit.

    `units` follow UDUNITS; "" means that a unit makes no sense (text, an index), "1" a ratio or
    a count.
    """
    return field(metadata={"dtype": dtype, "long_name": long_name, "units": units, **attributes})


@dataclass(frozen=True)
class CellRow:
    """A cell of the sweep; the axes' values are variables of their own, named as the axes are."""

    cell_id: str = column("str", "hash of the cell's canonical form")
    axes: Mapping[str, str | int] = field(metadata={"expand": True})
    artifact_index: int = column("i4", "the cell's artifact, -1 for none", instance="artifact")
    build_error: str = column("str", "why the cell's artifact could not be built, empty if it was")


@dataclass(frozen=True)
class ArtifactRow:
    """A built .tflite file."""

    artifact_key: str = column("str", "hash of all that made the artifact")
    artifact_sha256: str = column("str", "SHA-256 of the .tflite file")
    artifact_bytes: int = column("i8", "size of the .tflite file", "byte")
    artifact_compressed_bytes: int = column("i8", "size of the file under gzip -6", "byte")
    recipe: str = column("str", "quantization recipe")
    source: str = column("str", "where the model came from")
    source_digest: str = column("str", "identity of the model's source")
    weights: str = column("str", "where the weights came from")
    converter: str = column("str", "packages that made the file, with versions")
    operators: str = column("str", "operators of the graph and how often each occurs, JSON")
    error_rel_l2: float = column("f8", "relative L2 error against the float reference", "1")
    error_max_abs: float = column("f8", "largest absolute error against the float reference", "1")
    error_cosine: float = column("f8", "cosine similarity with the float reference", "1")
    top1_agreement: float = column("f8", "share of examples with the reference's top-1", "1")
    reference: str = column("str", "what the errors are against, empty for nothing")


@dataclass(frozen=True)
class NodeRow:
    """A machine that measured."""

    node_id: str = column("str", "hash of the node's description")
    host: str = column("str", "host name")
    cpu_vendor: str = column("str", "vendor")
    cpu_family: int = column("i4", "CPU family, -1 if unknown")
    cpu_model: int = column("i4", "CPU model number, -1 if unknown")
    cpu_stepping: int = column("i4", "CPU stepping, -1 if unknown")
    cpu_microcode: str = column("str", "microcode version")
    cpu_name: str = column("str", "model name as the CPU gives it")
    microarchitecture: str = column("str", "archspec's name of the microarchitecture")
    cpu_features: str = column("str", "feature flags, separated by blanks")
    sockets: int = column("i4", "sockets", "1")
    cores: int = column("i4", "physical cores", "1")
    cpus: int = column("i4", "logical CPUs", "1")
    cpus_granted: str = column("str", "logical CPUs granted to the job, as a list of ranges")
    threads_per_core: int = column("i4", "hardware threads of a core", "1")
    numa_nodes: int = column("i4", "NUMA nodes", "1")
    memory_bytes: int = column("i8", "installed memory", "byte")
    kernel: str = column("str", "operating system's kernel")
    governor: str = column("str", "frequency governor, empty where the machine offers none")


@dataclass(frozen=True)
class TrialRow:
    """One fresh process that measured one cell on one node."""

    trial_id: str = column("str", "hash of run, cell, node, round and attempt")
    cell_id: str = field(metadata={"index_of": "cell"})
    node_id: str = field(metadata={"index_of": "node"})
    round: int = column("i4", "pass over the job's cells in which the trial ran, from 0")
    order: int = column("i4", "place of the trial in its round, from 0")
    attempt: int = column("i4", "0, or how often the trial was tried before")
    status: Literal["ok", "crashed", "timed_out", "failed"] = column(
        "str",
        "ok, crashed (by a signal), timed_out, or failed (an error that the process reported)",
    )
    error: str = column("str", "what went wrong, empty if nothing did")
    exit_signal: int = column("i4", "signal that ended the process, 0 for none")
    start_unix_ns: int = column("i8", "start of the process", "nanoseconds since 1970-01-01")
    process_wall_ns: int = column("i8", "duration of the whole process", "ns")
    import_ns: int = column("i8", "importing the runtime", "ns")
    load_ns: int = column("i8", "opening the model and allocating its tensors", "ns")
    first_invocation_ns: int = column("i8", "first invocation, not among the samples", "ns")
    warmup_count: int = column("i4", "samples at the row's start that are warm-up", "1")
    inner_loops: int = column("i4", "invocations in each sample", "1")
    sampling_wall_ns: int = column("i8", "wall time of the samples after the warm-up", "ns")
    sampling_cpu_ns: int = column("i8", "CPU time of all threads over the same", "ns")
    effective_parallelism: float = column("f8", "CPU time over wall time of the same", "1")
    threads_seen: int = column("i4", "threads that ran while sampling", "1")
    cpus_pinned: str = column("str", "CPUs that the process could run on, as a list of ranges")
    voluntary_switches: int = column("i8", "voluntary context switches while sampling", "1")
    involuntary_switches: int = column("i8", "involuntary context switches while sampling", "1")
    minor_faults: int = column("i8", "page faults served from memory while sampling", "1")
    major_faults: int = column("i8", "page faults served from a disk while sampling", "1")
    peak_rss_bytes: int = column("i8", "peak resident memory of the process", "byte")
    clock_resolution_ns: float = column("f8", "smallest step of the clock seen", "ns")
    clock_overhead_ns: float = column("f8", "median cost of one reading of the clock", "ns")
    output_digest: str = column("str", "SHA-256 of the outputs for the seeded inputs")
    validity: int = column("u4", "reasons not to trust the trial, as bits; 0 is valid")
    latency_ns: npt.NDArray[np.uint64] = field(metadata={"ragged": "row_size"}, compare=False)
    """Samples in order of execution, warm-up included; each is the time of one invocation on
    average over `inner_loops`. One variable along `sample` in the file."""


@dataclass(frozen=True)
class Results:
    """The content of one file."""

    cells: tuple[CellRow, ...]
    artifacts: tuple[ArtifactRow, ...]
    nodes: tuple[NodeRow, ...]
    trials: tuple[TrialRow, ...]
    provenance: Mapping[str, str]
    """Among them `sweep` (the TOML verbatim), `sweep_hash`, `run_id`, package versions."""
