"""Merging: ten thousand shards of a hundred million samples into one file, beside plain copies.

Samples are drawn anew from the distributions of real trials, so that they compress as real ones do.
"""

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from suite.results import seal
from suite.results.merge_files import PROCESSES, TOGETHER, merge_files
from suite.results.rows import Results
from suite.results.write import CHUNK_BYTES, write_results
from tests.conftest import REPOSITORY
from tests.rows import a_cell, a_node, a_state, a_trial, an_artifact
from tests.scale.growth import markdown

SIZES = (100, 1_000, 10_000)
"""Shards."""
ROUNDS = 5
MOST_COPIED = 1_000
"""Shards of which all variables are copied: a minute. For more, the time is multiplied."""
CELLS = 2
WRITTEN = 200
"""Shards that the release's own code writes: at a twentieth of a second each, ten thousand take
long. The others have their samples, which no chunk of the merged file has twice."""
SAMPLES = 1000
"""Of a trial; so a shard has ten thousand."""
RUNS = REPOSITORY / "runs"
LEAST = 50
CHUNK = CHUNK_BYTES // 8
FILTERS = {"chunks": (CHUNK,), "shuffle": True, "compression": "gzip", "compression_opts": 1}
FILTERED: dict[str, dict[str, Any]] = {
    "shuffle, gzip 1": FILTERS,
    "shuffle, gzip 9": {**FILTERS, "compression_opts": 9},
    "gzip 9": {**FILTERS, "compression_opts": 9, "shuffle": False},
    "scale-offset": {"scaleoffset": 0, "chunks": (1 << 10,)},
}


def quantiles(run: Path) -> list[Any]:
    """Return the sorted steady samples of each trial of a real run: its distribution."""
    with h5py.File(run) as file:  # whichever release has written it
        samples = np.split(file["latency_ns"][:], np.cumsum(file["row_size"][:]))[:-1]
        kept = [each[cut:] for each, cut in zip(samples, file["warmup_count"], strict=True)]
    return [np.sort(latency).astype(float) for latency in kept if len(latency) >= LEAST]


def entropy_bytes(sorted_ns: Any) -> float:
    """Return the entropy of a sample that `draw` draws: no code that knows no more takes less."""
    values, counts = np.unique(sorted_ns, return_counts=True)
    gaps = np.diff(values)
    within = 1 / gaps  # of a gap's weight, which each nanosecond in it has
    at = counts - 1 + np.append(within, 0)  # ties, and the first nanosecond of the gap behind
    weights = np.r_[at[at > 0], within] / (len(sorted_ns) - 1)
    times = np.r_[np.ones(np.count_nonzero(at)), gaps - 1]
    return float(-(times * weights * np.log2(weights)).sum()) / 8


def draw(sorted_ns: Any, random: np.random.Generator) -> Any:
    """Draw samples from a trial's distribution, evenly between neighbouring ones."""
    at = random.uniform(0, len(sorted_ns) - 1, SAMPLES)
    return np.interp(at, np.arange(len(sorted_ns)), sorted_ns).astype("u8")


def filtered(name: str, known: Sequence[Any]) -> list[str]:
    """Return what a sample of a run takes under each set of filters, beside its entropy."""
    random = np.random.default_rng(0)
    trials = [known[n] for n in random.integers(len(known), size=2 * CHUNK // SAMPLES)]
    samples = np.concatenate([draw(trial, random) for trial in trials])
    sizes = [np.mean([entropy_bytes(trial) for trial in trials])]
    for filters in FILTERED.values():
        with h5py.File(name, "w", driver="core", backing_store=False) as file:
            data = file.create_dataset(
                "latency_ns", data=samples, **{"chunks": (CHUNK,), **filters}
            )
            file.flush()
            sizes.append(data.id.get_storage_size() / len(samples))
    return [name, *(f"{size:.2f}" for size in sizes)]


def shard(number: int, known: Sequence[Any]) -> Results:
    """Make the results of a job: two cells on one node, which another job measures on its own."""
    random = np.random.default_rng(number)
    job, pair = names(number)
    real = [known[(number // 2 * CELLS + n) % len(known)] for n in range(CELLS)]
    cells = [f"{pair}-{n}" for n in range(CELLS)]
    trials = [
        a_trial(
            f"{job}-{turn}-{n}",
            draw(real[n], random),
            cell_id=cells[n],
            node_id=job,
            round=turn,
            order=n,
            warmup_count=int(random.integers(3, 50)),
            start_unix_ns=1_700_000_000_000_000_000 + int(random.integers(1 << 40)),
            process_wall_ns=int(random.integers(1 << 30)),
            load_ns=int(random.integers(1 << 22)),
            sampling_wall_ns=int(random.integers(1 << 30)),
            sampling_cpu_ns=int(random.integers(1 << 30)),
            peak_rss_bytes=int(random.integers(1 << 15)) * 4096,
            effective_parallelism=float(random.uniform(0.9, 1)),
            run_delay_ns=float(random.integers(1 << 20)),
            steady_rss_bytes=float(random.integers(1 << 15)) * 4096,
            cpus_pinned=str(n),
            output_digest=cells[n],
        )
        for turn in range(ROUNDS)
        for n in range(CELLS)
    ]
    return Results(
        cells=tuple(a_cell(cell, model=cell, artifact_key=cell) for cell in cells),
        artifacts=tuple(an_artifact(cell, artifact_sha256=cell) for cell in cells),
        nodes=(a_node(job, host=job),),
        trials=tuple(trials),
        states=tuple(
            a_state(
                f"{job}-{turn}",
                state_node_id=job,
                state_round=turn,
                state_unix_ns=turn,
                state_probe_ns=random.normal(1e6, 1e4),
            )
            for turn in range(ROUNDS + 1)
        ),
        provenance={
            "run_id": "run",
            "sweep": "name = 'scale'\n" * 40,
            "precision": "0.02",
            "job_slurm": f"{number:05} on {job}, milan",
        },
    )


def names(number: int) -> tuple[str, str]:
    """Return what a job and its pair of jobs are called, as nothing else is."""
    return f"job{number:013d}", f"pair{number // 2:012d}"


def write_shard(folder: Path, known: Sequence[Any], number: int) -> Path:
    """Write the shard; from the number `WRITTEN` on, one that differs from another in its ids."""
    path = folder / f"job-{number:05d}.h5"
    if number < WRITTEN:
        write_results(path, shard(number, known))
        return path
    like = number % WRITTEN
    content = (folder / f"job-{like:05d}.h5").read_bytes()[: -seal.SIZE]
    for theirs, ours in zip(names(like), names(number), strict=True):
        content = content.replace(theirs.encode(), ours.encode())
    with path.open("w+b") as file:
        file.write(content)
        seal.seal(file)
    return path


def merged(shards: Sequence[Path], path: Path) -> None:
    """What is measured."""
    merge_files(path, shards)


def samples_copied(shards: Sequence[Path], path: Path) -> None:
    """Copy the samples of the shards, and nothing else of them, by whole chunks of the new file."""
    with h5py.File(path, "w") as file:
        out = file.create_dataset("latency_ns", (0,), "u8", maxshape=(None,), **FILTERS)
        kept = np.empty(0, "u8")
        for shard_path in shards:
            with h5py.File(shard_path) as shard_file:
                kept = np.append(kept, shard_file["latency_ns"][:])
            if len(kept) >= CHUNK:
                append(out, kept[:CHUNK])
                kept = kept[CHUNK:]
        append(out, kept)


def append(out: Any, values: Any) -> None:
    """Put `values` behind what is in a data set."""
    out.resize(len(out) + len(values), 0)
    out[len(out) - len(values) :] = values


def all_copied(shards: Sequence[Path], path: Path) -> None:
    """Copy all variables of the shards, one below the other."""
    samples_copied(shards, path)
    pieces: dict[str, list[Any]] = {}
    for shard_path in shards:
        with h5py.File(shard_path) as shard_file:
            for name, item in shard_file.items():
                if isinstance(item, h5py.Dataset) and name != "latency_ns" and not item.is_scale:
                    pieces.setdefault(name, []).append(item[()])
    with h5py.File(path, "r+") as file:
        for name, arrays in pieces.items():
            values = np.concatenate(arrays)
            size = min(len(values), CHUNK_BYTES // values.itemsize)
            filters = {**FILTERS, "chunks": (size,)} if size else {}
            file.create_dataset(name, data=values, **filters)


def file_copied(merged_file: Path, path: Path) -> None:
    """Copy the merged file, data set by data set and chunk by chunk."""
    with h5py.File(merged_file) as source, h5py.File(path, "w") as file:
        for name, item in source.items():
            if not isinstance(item, h5py.Dataset) or item.is_scale:
                continue
            step = item.chunks[0] if item.chunks else max(1, len(item))
            filters = {**FILTERS, "chunks": item.chunks} if item.chunks else {}
            out = file.create_dataset(name, item.shape, item.dtype, **filters)
            for start in range(0, len(item), step):
                out[start : start + step] = item[start : start + step]


def apart(work: Callable[..., None], *arguments: Any) -> dict[str, float]:
    """Run `work` in a process of its own; return its time and the most memory that it had."""
    script = (
        "import json, os, pickle, resource, sys, time\n"
        "work, arguments = pickle.load(sys.stdin.buffer)\n"
        "begin = time.perf_counter()\n"
        "work(*arguments)\n"
        "seconds = time.perf_counter() - begin\n"
        "own, others = (resource.getrusage(whose).ru_maxrss * 1024 for whose in (0, -1))\n"
        "print(json.dumps(dict(s=seconds, cpu_s=sum(os.times()[:4]), own=own, others=others)))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps((work, arguments)),
        stdout=subprocess.PIPE,
        check=True,
        cwd=REPOSITORY,
    )
    said: dict[str, float] = json.loads(ended.stdout)
    return said


def bytes_a_sample(path: Path) -> tuple[float, float]:
    """Return what a sample takes: its own chunks, and the file as a whole."""
    with h5py.File(path) as file:
        latency = file["latency_ns"]
        return latency.id.get_storage_size() / len(latency), path.stat().st_size / len(latency)


def measured(shards: Sequence[Path], folder: Path) -> list[str]:
    """Merge and copy; return the row of a table."""
    out, copy = folder / "results.h5", folder / "copy.h5"
    load = os.getloadavg()[0]
    took = apart(merged, shards, out)
    copies = [
        apart(samples_copied, shards, copy),
        apart(all_copied, shards[:MOST_COPIED], copy),
        apart(file_copied, out, copy),
    ]
    times = max(1, len(shards) / MOST_COPIED)
    copies[1] = {key: value * times for key, value in copies[1].items()}
    own, whole = bytes_a_sample(out)
    with h5py.File(out) as file:
        count = len(file["latency_ns"])
    processes = min(PROCESSES, len(os.sched_getaffinity(0))) if len(shards) >= TOGETHER else 0
    return [
        f"{len(shards):,}",
        f"{count:,}",
        f"{took['s']:.1f} s",
        *(f"{each['s'] / took['s']:.2f} ({each['cpu_s'] / took['cpu_s']:.2f})" for each in copies),
        f"{(took['own'] + processes * took['others']) / 2**20:.0f} MiB",
        f"{own:.2f}",
        f"{whole:.2f}",
        f"{load:.1f}",
    ]


HEAD = [
    *("shards", "samples", "merge", "to copying the samples alone", "to copying all variables"),
    *("to copying the result", "peak memory, at most", "bytes a sample", "with all else", "load"),
]


def merging(sizes: Sequence[int] = SIZES) -> Iterator[list[str]]:
    """Yield the tables of docs/scale.md.

    The samples are those of the runs in `runs/`: `make demo` or `make optimizations` leaves one.
    """
    every = {path.parent.name: quantiles(path) for path in sorted(RUNS.glob("*/results.h5"))}
    runs = {name: of_trials for name, of_trials in every.items() if of_trials}
    yield markdown(["real run", "entropy", *FILTERED], [filtered(*run) for run in runs.items()])
    known = [trial for trials in runs.values() for trial in trials]
    np.random.default_rng(0).shuffle(known)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = [write_shard(folder, known, number) for number in range(max(sizes))]
        yield markdown(HEAD, [measured(shards[:size], folder) for size in sizes])
