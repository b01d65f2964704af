"""What a result holds, row by row: the schema of the HDF5 files, of shards and merged alike.

Each dataclass is one dimension of the file, each of its fields one variable along it. A field says
how it is stored and in what unit; nothing else in the project does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from hashlib import sha256
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

SCHEMA_VERSION = "1.2"
READABLE = ("1.1", SCHEMA_VERSION)
"""Versions that can be read: what an earlier one has not is at its default, or has no rows."""

FILL_INDEX = -1
"""Stands for 'none' in index variables."""

LOCAL = "local"
"""The value of the axis `cpu_type` that stands for one machine, whichever it is."""


class TrialFlag(IntFlag):
    """Reasons not to trust a trial; a bit keeps its meaning for ever."""

    FAILED = 1 << 0  # crashed, timed out, or could not run the model
    NO_STEADY_STATE = 1 << 1
    AFFINITY_MISMATCH = 1 << 2  # ran on other CPUs than it was to be pinned to
    THREADS_NOT_USED = 1 << 3
    CLOCK_COARSE = 1 << 4  # a sample is less than 1000 times the clock's overhead or resolution
    OUTPUT_NOT_FINITE = 1 << 5
    CPU_TYPE_MISMATCH = 1 << 6  # ran on another microarchitecture than the one it was sent to
    QUOTA_THROTTLED = 1 << 7  # the cgroup held the process back
    DELEGATE_MISSING = 1 << 8  # XNNPACK took none of the operators
    NOISY_NODE = 1 << 9  # others used the CPUs that it was pinned to
    ARTIFACT_CHANGED = 1 << 10  # the file was not the one that was built
    OVERLOADED = 1 << 11  # a server's invocations came faster than the instances could serve them


class CellFlag(IntFlag):
    """Reasons not to trust a cell beside those of its trials, whose bits it leaves free."""

    MISSING = 1 << 16  # no trial yet
    FAILED_TRIALS = 1 << 17
    OUTPUT_DIFFERS = 1 << 18
    FEW_TRIALS = 1 << 19
    UNRESOLVED = 1 << 20
    SINGLE_NODE = 1 << 21
    DRIFTING = 1 << 22
    REPLICATE_COPIED = 1 << 23
    RECIPE_NOT_APPLIED = 1 << 24


@dataclass(frozen=True)
class Column:
    """One variable along the row's dimension.

    `units` follow UDUNITS; "" means that a unit makes no sense (text, an index), "1" stands for a
    ratio or a count.
    """

    dtype: str
    """numpy's name of the type, or "str"."""
    long_name: str
    units: str = ""
    flags: type[IntFlag] | None = None
    """What the bits of the value mean."""


@dataclass(frozen=True)
class IndexOf:
    """The id of a row of another dimension; stored as that row's number.

    The variable has the field's name with "index" for its last word: `cell_id`, `cell_index`.
    """

    dimension: str


@dataclass(frozen=True)
class Expanded:
    """A mapping whose every key becomes a variable of its own: text or 64-bit integers."""


@dataclass(frozen=True)
class Ragged:
    """An array of its own length in each row; the rows lie end to end along `sample`.

    CF conventions 1.11, 9.3.3 (contiguous ragged array): `row_size` holds the lengths.
    """

    row_size: str
    dtype: str
    long_name: str
    units: str


@dataclass(frozen=True)
class CellRow:
    """A cell of the sweep; the axes' values are variables of their own, named as the axes are."""

    cell_id: Annotated[str, Column("str", "hash of the cell's canonical form")]
    axes: Annotated[Mapping[str, str | int], Expanded()]
    artifact_key: Annotated[str, IndexOf("artifact")]
    """Empty where the artifact could not be built; stored as index -1."""
    build_error: Annotated[
        str, Column("str", "why the cell's artifact could not be built, empty if it was")
    ]


@dataclass(frozen=True)
class ArtifactRow:
    """A built file: a .tflite, or what another runtime reads."""

    artifact_key: Annotated[str, Column("str", "hash of all that made the artifact")]
    artifact_sha256: Annotated[str, Column("str", "SHA-256 of the file")]
    artifact_bytes: Annotated[int, Column("i8", "size of the file", "byte")]
    artifact_compressed_bytes: Annotated[
        int, Column("i8", "size of the file under gzip -6", "byte")
    ]
    recipe: Annotated[str, Column("str", "quantization recipe")]
    source: Annotated[str, Column("str", "where the model came from")]
    source_digest: Annotated[str, Column("str", "identity of the model's source")]
    weights: Annotated[str, Column("str", "where the weights came from")]
    converter: Annotated[str, Column("str", "packages that made the file, with versions")]
    operators: Annotated[
        str, Column("str", "operators of the graph and how often each occurs, JSON")
    ]
    error_rel_l2: Annotated[
        float, Column("f8", "relative L2 error against the float reference", "1")
    ]
    error_max_abs: Annotated[
        float, Column("f8", "largest absolute error against the float reference", "1")
    ]
    error_cosine: Annotated[float, Column("f8", "cosine similarity with the float reference", "1")]
    top1_agreement: Annotated[
        float, Column("f8", "share of examples with the reference's top-1", "1")
    ]
    reference: Annotated[str, Column("str", "what the errors are against, empty for nothing")]
    labelled_top1: Annotated[
        float, Column("f8", "share of labelled test examples whose top-1 is the label", "1")
    ] = float("nan")
    reference_top1: Annotated[float, Column("f8", "the same of the float reference", "1")] = float(
        "nan"
    )
    labelled_examples: Annotated[
        int, Column("i8", "labelled test examples, 0 without labels", "1")
    ] = 0
    encoded_bytes: Annotated[
        int, Column("i8", "size of the optimised weights, Huffman coded, 0 without", "byte")
    ] = 0
    holds: Annotated[
        str,
        Column("str", "quantization that a .tflite holds, empty without weights"),
    ] = ""
    multiply_adds: Annotated[
        float, Column("f8", "multiplications, each with its addition, of an invocation", "1")
    ] = float("nan")
    weight_bytes: Annotated[
        float, Column("f8", "constants that an invocation reads, as the file holds them", "byte")
    ] = float("nan")
    activation_bytes: Annotated[
        float, Column("f8", "what operators read of one another and write, unfused", "byte")
    ] = float("nan")


@dataclass(frozen=True)
class NodeRow:
    """A machine that measured."""

    node_id: Annotated[str, Column("str", "hash of the node's description")]
    host: Annotated[str, Column("str", "host name")]
    cpu_vendor: Annotated[str, Column("str", "vendor")]
    cpu_family: Annotated[int, Column("i4", "CPU family, -1 if unknown")]
    cpu_model: Annotated[int, Column("i4", "CPU model number, -1 if unknown")]
    cpu_stepping: Annotated[int, Column("i4", "CPU stepping, -1 if unknown")]
    cpu_microcode: Annotated[str, Column("str", "microcode version")]
    cpu_name: Annotated[str, Column("str", "model name as the CPU gives it")]
    microarchitecture: Annotated[str, Column("str", "archspec's name of the microarchitecture")]
    cpu_features: Annotated[str, Column("str", "feature flags, separated by blanks")]
    sockets: Annotated[int, Column("i4", "sockets", "1")]
    cores: Annotated[int, Column("i4", "physical cores", "1")]
    cpus: Annotated[int, Column("i4", "logical CPUs", "1")]
    cpus_granted: Annotated[
        str, Column("str", "logical CPUs granted to the job, as a list of ranges")
    ]
    threads_per_core: Annotated[int, Column("i4", "hardware threads of a core", "1")]
    numa_nodes: Annotated[int, Column("i4", "NUMA nodes", "1")]
    memory_bytes: Annotated[int, Column("i8", "installed memory", "byte")]
    kernel: Annotated[str, Column("str", "operating system's kernel")]
    governor: Annotated[
        str, Column("str", "frequency governor, empty where the machine offers none")
    ]


@dataclass(frozen=True)
class TrialRow:
    """One fresh process that measured one cell on one node."""

    trial_id: Annotated[str, Column("str", "hash of run, cell, node, round and attempt")]
    cell_id: Annotated[str, IndexOf("cell")]
    node_id: Annotated[str, IndexOf("node")]
    round: Annotated[int, Column("i4", "pass over the job's cells in which the trial ran, from 0")]
    order: Annotated[int, Column("i4", "place of the trial in its round, from 0")]
    attempt: Annotated[int, Column("i4", "0, or how often the trial was tried before")]
    status: Annotated[
        Literal["ok", "crashed", "timed_out", "failed"],
        Column("str", "ok, crashed (by a signal), timed_out, or failed (the process said why)"),
    ]
    start_unix_ns: Annotated[
        int, Column("i8", "start of the process", "nanoseconds since 1970-01-01")
    ]
    error: Annotated[str, Column("str", "what went wrong, empty if nothing did")] = ""
    exit_signal: Annotated[int, Column("i4", "signal that ended the process, 0 for none")] = 0
    process_wall_ns: Annotated[int, Column("i8", "duration of the whole process", "ns")] = 0
    import_ns: Annotated[int, Column("i8", "importing the runtime", "ns")] = 0
    load_ns: Annotated[int, Column("i8", "opening the model and allocating its tensors", "ns")] = 0
    first_invocation_ns: Annotated[
        int, Column("i8", "first invocation, not among the samples", "ns")
    ] = 0
    warmup_count: Annotated[
        int, Column("i4", "samples at the row's start that are warm-up", "1")
    ] = 0
    inner_loops: Annotated[int, Column("i4", "invocations in each sample", "1")] = 1
    sampling_wall_ns: Annotated[
        int, Column("i8", "wall time of the samples after the warm-up", "ns")
    ] = 0
    sampling_cpu_ns: Annotated[int, Column("i8", "CPU time of all threads over the same", "ns")] = 0
    effective_parallelism: Annotated[
        float, Column("f8", "CPU time over wall time of the same", "1")
    ] = float("nan")
    threads_seen: Annotated[int, Column("i4", "threads that ran while sampling", "1")] = 0
    cpus_pinned: Annotated[
        str, Column("str", "CPUs that the process could run on, as a list of ranges")
    ] = ""
    voluntary_switches: Annotated[
        int, Column("i8", "voluntary context switches while sampling", "1")
    ] = 0
    involuntary_switches: Annotated[
        int, Column("i8", "involuntary context switches while sampling", "1")
    ] = 0
    minor_faults: Annotated[
        int, Column("i8", "page faults served from memory while sampling", "1")
    ] = 0
    major_faults: Annotated[
        int, Column("i8", "page faults served from a disk while sampling", "1")
    ] = 0
    run_delay_ns: Annotated[
        float,
        Column("f8", "longest that any thread was ready and waited for a CPU while sampling", "ns"),
    ] = float("nan")
    steal_ns: Annotated[
        float, Column("f8", "time that the hypervisor took from the pinned CPUs", "ns")
    ] = float("nan")
    throttle_count: Annotated[
        float, Column("f8", "how often the quota of a cgroup held the process back", "1")
    ] = float("nan")
    throttled_ns: Annotated[float, Column("f8", "for how long it did, summed over CPUs", "ns")] = (
        float("nan")
    )
    peak_rss_bytes: Annotated[int, Column("i8", "peak resident memory of the process", "byte")] = 0
    clock_resolution_ns: Annotated[float, Column("f8", "smallest step of the clock seen", "ns")] = (
        float("nan")
    )
    clock_overhead_ns: Annotated[
        float, Column("f8", "median cost of one reading of the clock", "ns")
    ] = float("nan")
    steady_rss_bytes: Annotated[
        float, Column("f8", "resident memory of the process when the last sample was taken", "byte")
    ] = float("nan")
    load_rss_bytes: Annotated[
        float, Column("f8", "of that, what opening the model and its tensors added", "byte")
    ] = float("nan")
    weights_rss_bytes: Annotated[
        float, Column("f8", "of that, what is mapped from the artifact's file", "byte")
    ] = float("nan")
    arena_bytes: Annotated[
        float, Column("f8", "memory that the runtime has for activations", "byte")
    ] = float("nan")
    window_ns: Annotated[
        float, Column("f8", "time in which all instances were at work and steady", "ns")
    ] = float("nan")
    throughput_per_s: Annotated[
        float,
        Column("f8", "examples a second, of all instances in that time; a batch has many", "s-1"),
    ] = float("nan")
    offered_per_s: Annotated[
        float, Column("f8", "rate at which a server's invocations came", "s-1")
    ] = float("nan")
    counted_ns: Annotated[
        float,
        Column(
            "f8",
            "time for each invocation, of all instances, where the rate counts and no latency",
            "ns",
        ),
    ] = float("nan")
    package_energy_j: Annotated[
        float, Column("f8", "energy of the CPU packages over the samples after the warm-up", "J")
    ] = float("nan")
    dram_energy_j: Annotated[float, Column("f8", "energy of the memory over the same", "J")] = (
        float("nan")
    )
    energy_absent: Annotated[
        str, Column("str", "what of these is not known, and why; empty where nothing is absent")
    ] = ""
    idle_package_w: Annotated[
        float, Column("f8", "power of the CPU packages before the job, when idle", "W")
    ] = float("nan")
    idle_dram_w: Annotated[float, Column("f8", "power of the memory, likewise", "W")] = float("nan")
    frequency_before_hz: Annotated[
        float, Column("f8", "mean frequency of the pinned CPUs before the process", "Hz")
    ] = float("nan")
    frequency_during_hz: Annotated[
        float, Column("f8", "median over time of the same, seen from another CPU", "Hz")
    ] = float("nan")
    frequency_after_hz: Annotated[
        float, Column("f8", "mean frequency of the pinned CPUs after the process", "Hz")
    ] = float("nan")
    temperature_before_degc: Annotated[
        float, Column("f8", "highest temperature of any package before the process", "degC")
    ] = float("nan")
    temperature_during_degc: Annotated[
        float, Column("f8", "highest over time of the same, seen from another CPU", "degC")
    ] = float("nan")
    temperature_after_degc: Annotated[
        float, Column("f8", "highest temperature of any package after the process", "degC")
    ] = float("nan")
    computes_in: Annotated[
        str, Column("str", "precision that the runtime computes in, as it says itself")
    ] = ""
    output_digest: Annotated[str, Column("str", "SHA-256 of the outputs for the seeded inputs")] = (
        ""
    )
    operators_run: Annotated[int, Column("i4", "operators of the graph", "1")] = 0
    operators_delegated: Annotated[int, Column("i4", "of these, those that XNNPACK took", "1")] = 0
    validity: Annotated[
        int, Column("u4", "reasons not to trust the trial, as bits; 0 is valid", flags=TrialFlag)
    ] = 0
    latency_ns: Annotated[npt.NDArray[np.uint64], Ragged("row_size", "u8", "latency", "ns")] = (
        field(default_factory=lambda: np.empty(0, dtype="<u8"), compare=False)
    )
    """Samples in order of execution, warm-up included; each is the time of one invocation, on
    average over `inner_loops`."""

    @property
    def median_ns(self) -> float:
        """Median of the samples after the warm-up, in ns; NaN if there are none."""
        return median_of(self.latency_ns[self.warmup_count :])

    @property
    def samples_sha256(self) -> bytes:
        """Digest of the samples, by which copies are found."""
        return sha256(np.ascontiguousarray(self.latency_ns).data).digest()

    @property
    def figure_ns(self) -> float:
        """What the trial says of its cell: the median latency, or where a rate counts its inverse.

        Of the scenarios `offline` and `server@20ms` that is the time for each invocation, all
        instances together; less is better either way. NaN if there is none.
        """
        return self.counted_ns if self.counts_rate else self.median_ns

    @property
    def counts_rate(self) -> bool:
        """Whether a rate is what counts."""
        return 0 < self.counted_ns < np.inf


@dataclass(frozen=True)
class InstanceRow:
    """One of several processes that a trial consists of.

    The trial's samples are those of its instances: first the warm-up of each in turn, then what
    each has taken in the common window, or what it has served.
    """

    instance_id: Annotated[str, Column("str", "hash of the trial and the instance's number")]
    instance_trial_id: Annotated[str, IndexOf("trial")]
    instance_number: Annotated[int, Column("i4", "number of the instance in its trial, from 0")]
    instance_cpus: Annotated[str, Column("str", "CPUs that it could run on, as a list of ranges")]
    instance_warmup: Annotated[int, Column("i8", "samples of its warm-up", "1")]
    instance_samples: Annotated[int, Column("i8", "samples after it", "1")]
    instance_median_ns: Annotated[float, Column("f8", "median of these", "ns")]
    instance_parallelism: Annotated[
        float, Column("f8", "CPU time over wall time of the common window", "1")
    ]
    instance_peak_rss_bytes: Annotated[
        int, Column("i8", "peak resident memory of the process", "byte")
    ]


@dataclass(frozen=True)
class OperatorRow:
    """What one operator of a cell's graph takes, from a pass of its own.

    A cell that could not be profiled has one row, which says why.
    """

    operator_id: Annotated[str, Column("str", "hash of run, cell, node and place in the graph")]
    operator_cell_id: Annotated[str, IndexOf("cell")]
    operator_node_id: Annotated[str, IndexOf("node")]
    operator_place: Annotated[int, Column("i4", "place in the order of execution, from 0")]
    operator_type: Annotated[str, Column("str", "what it computes, as CONV_2D")]
    operator_delegate: Annotated[
        str, Column("str", "what has run it, as xnnpack; empty for the runtime's own kernels")
    ]
    operator_ns: Annotated[
        float, Column("f8", "mean of the middle half of its durations, profiled", "ns")
    ]
    operator_runs: Annotated[int, Column("i8", "invocations that were profiled", "1")]
    operator_error: Annotated[
        str, Column("str", "why the cell could not be profiled, empty if it was")
    ] = ""


@dataclass(frozen=True)
class StateRow:
    """The state of a node between trials, as far as it tells; counters run since it was booted."""

    state_id: Annotated[str, Column("str", "hash of run, job, node, round and time")]
    state_node_id: Annotated[str, IndexOf("node")]
    state_job: Annotated[int, Column("i4", "number of the job's slice in the run's plan, from 0")]
    state_round: Annotated[
        int, Column("i4", "round that it precedes; a job's last follows its last round")
    ]
    state_unix_ns: Annotated[
        int, Column("i8", "when it was looked at", "nanoseconds since 1970-01-01")
    ]
    state_probe_ns: Annotated[
        float, Column("f8", "duration of a fixed piece of work, median of its repetitions", "ns")
    ]
    state_probe_least_ns: Annotated[float, Column("f8", "the least of the same", "ns")]
    state_load: Annotated[float, Column("f8", "load average of the last minute", "1")]
    state_steal_ns: Annotated[
        float, Column("f8", "time that the hypervisor has taken from the granted CPUs", "ns")
    ]
    state_throttle_count: Annotated[
        float, Column("f8", "how often a quota has held back our cgroups", "1")
    ]
    state_throttled_ns: Annotated[
        float, Column("f8", "for how long it has, summed over CPUs", "ns")
    ]
    state_frequency_hz: Annotated[
        float, Column("f8", "frequency of the CPU that was probed, just after", "Hz")
    ]
    state_temperature_degc: Annotated[
        float, Column("f8", "highest temperature of any CPU package", "degC")
    ]
    state_governor: Annotated[
        str, Column("str", "frequency governors of the granted CPUs, empty where there are none")
    ]
    state_turbo: Annotated[str, Column("str", "on or off, empty where the machine does not say")]


@dataclass(frozen=True)
class Results:
    """The content of one file."""

    cells: tuple[CellRow, ...]
    artifacts: tuple[ArtifactRow, ...]
    nodes: tuple[NodeRow, ...]
    trials: tuple[TrialRow, ...]
    provenance: Mapping[str, str]
    """Among them `sweep` (the TOML verbatim), `sweep_hash`, `run_id`, package versions."""
    states: tuple[StateRow, ...] = ()
    instances: tuple[InstanceRow, ...] = ()
    operators: tuple[OperatorRow, ...] = ()


def median_of(samples: npt.NDArray[np.uint64]) -> float:
    """Return the median of one trial's samples, NaN of none.

    What `np.median` returns, in a third of its time: a run has millions of trials.
    """
    if not len(samples):
        return float("nan")
    middle = len(samples) // 2
    if len(samples) % 2:
        return float(np.partition(samples, middle)[middle])
    low, high = np.partition(samples, (middle - 1, middle))[middle - 1 : middle + 1].tolist()
    return (float(low) + float(high)) / 2
