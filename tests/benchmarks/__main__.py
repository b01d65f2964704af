"""Run all benchmarks: `make bench`, or `python -m tests.benchmarks [--json FILE]`."""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from jobs.grid import lay_out
from suite.artifacts.build import build_artifacts
from suite.artifacts.store import Artifact, ArtifactStore
from suite.sweep import Sweep
from tests.benchmarks.a_a import a_a
from tests.benchmarks.agreement import agreement
from tests.benchmarks.cost import cost
from tests.benchmarks.load import load
from tests.benchmarks.on_cluster import IMAGE, on_cluster
from tests.benchmarks.paired import Finding
from tests.benchmarks.runtimes import runtimes
from tests.benchmarks.sweep_overhead import sweep_overhead
from tests.benchmarks.trial_cost import trial_cost

ARTIFACTS = Path(__file__).with_name("bench.toml")
LOADED = Path(__file__).with_name("load.toml")
COMPARED = Path(__file__).with_name("a_a.toml")
RUNTIMES = Path(__file__).parents[2] / "jobs" / "examples" / "runtimes.toml"
SWEEP = Path(__file__).parents[2] / "jobs" / "examples" / "resnet50-demo.toml"
PARTS = ("harness", "cost", "comparison", "load", "runtimes", "cluster")


def artifacts(sweep: Path) -> dict[str, Artifact]:
    """Build the artifacts of a sweep, or find them in the store."""
    requests = {request.key: request for request in lay_out(Sweep.load(sweep)).requests.values()}
    with tempfile.TemporaryDirectory() as logs:
        built = build_artifacts(
            list(requests.values()), ArtifactStore.at(None), lambda event: None, Path(logs)
        )
    return {
        requests[key].name: artifact
        for key, artifact in built.items()
        if isinstance(artifact, Artifact)
    }


def findings(only: str) -> Iterator[Finding]:
    """Yield what each benchmark finds."""
    built = artifacts(ARTIFACTS) if only in ("", "harness", "cluster") else {}
    if only in ("", "harness"):
        yield from trial_cost(built)
        yield from agreement(built)
        artifacts(SWEEP)
        yield from sweep_overhead(SWEEP)
    if only in ("", "cost"):
        yield from cost({k: v for k, v in artifacts(SWEEP).items() if k.startswith("resnet50")})
    if only in ("", "comparison"):
        (compared,) = artifacts(COMPARED).values()
        yield from a_a(compared)
    if only in ("", "runtimes"):
        yield from runtimes(artifacts(RUNTIMES))
    if only in ("", "load"):
        yield from load(artifacts(LOADED))
    if only in ("", "cluster"):
        if IMAGE.exists() and shutil.which("apptainer"):
            yield from on_cluster(built)
        else:
            print(f"No Apptainer or no {IMAGE}: nothing of the cluster (tests/cluster/README.md).")


def main() -> None:
    """Print the table as it grows and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, default="")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"))
    arguments = parser.parse_args()
    found = []
    for finding in findings(arguments.only):
        found.append(finding)
        print(f"{finding.what}: {finding.ratio:.3f} ({finding.low:.3f} to {finding.high:.3f})")
    print("\n| ratio of | | 95 % interval | wanted | pairs |\n|---|---:|---|---|---:|")
    for f in found:
        bounds = f"{f.low:.3f} to {f.high:.3f}"
        print(f"| {f.what} | {f.ratio:.3f} | {bounds} | {f.wanted} | {f.pairs} |")
    arguments.json.write_text(json.dumps([asdict(f) for f in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
