"""What the parent of a trial and its process say to each other: JSON on a pipe each way."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

from suite.runtimes.names import LITERT, XNNPACK

SAMPLE_BYTES = 8
"""A sample on the pipe: an unsigned 64-bit little-endian integer, ns."""


@dataclass(frozen=True)
class TrialRequest:
    """What to measure, and how; everything the process is told."""

    artifact_path: str
    threads: int
    cpus: tuple[int, ...]
    """CPUs to be pinned to, before anything else happens."""
    seed: int
    """Of the inputs."""
    warmup_cap_ns: int = 2_000_000_000
    """No window of warm-up is begun after this, once the first two have been compared."""
    sampling_ns: int = 500_000_000
    """Samples are taken for at least this long."""
    max_samples: int = 10_000
    """Most samples of a trial, warm-up included."""
    runtime: str = LITERT
    delegate: str = XNNPACK
    """What LiteRT may hand operators to."""
    memory_bytes: int | None = None
    """Memory of its own that the process may take."""
    shared: bool = False
    """Whether other instances of the trial have the same CPUs."""
    energy_paths: Sequence[str] = ()
    """The files of the node's energy counters."""


@dataclass(frozen=True)
class TrialAnswer:
    """What the process found; the samples follow it on the pipe. Fields as in `TrialRow`."""

    import_ns: int
    load_ns: int
    first_invocation_ns: int
    warmup_count: int
    steady: bool
    inner_loops: int
    sampling_wall_ns: int
    sampling_cpu_ns: int
    threads_seen: int
    cpus: tuple[int, ...]
    voluntary_switches: int
    involuntary_switches: int
    minor_faults: int
    major_faults: int
    run_delay_ns: float
    waited_ns: float
    """For how long all threads together were ready and waited for a CPU; NaN where unknown."""
    peak_rss_bytes: int
    steady_rss_bytes: int
    load_rss_bytes: int
    weights_rss_bytes: float
    arena_bytes: float
    energy_begin_uj: Sequence[int]
    """What the energy counters said when the samples after the warm-up began, -1 for no answer."""
    energy_end_uj: Sequence[int]
    clock_resolution_ns: float
    clock_overhead_ns: float
    computes_in: str
    output_digest: str
    output_finite: bool
    operators_run: int
    operators_delegated: int
    samples: int


@dataclass(frozen=True)
class InstanceRequest:
    """What one of several processes is told first."""

    trial: TrialRequest
    number: int
    instances: int
    board_fd: int
    queue_fd: int

    def to_json(self) -> bytes:
        """Write it as a line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        """Read what `to_json` wrote."""
        said = json.loads(line)
        return cls(**{**said, "trial": TrialRequest(**said["trial"])})
