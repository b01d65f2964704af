"""What reads each kind of file, all the way to what a user sees."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import analysis
from jobs.cluster.site import Site
from jobs.cluster.status import status
from jobs.collect import collect
from suite.artifacts.store import ArtifactStore
from suite.data.labelled import read_labelled
from suite.models.tflite_file import read_tflite
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest
from tests.fuzz import seeds


@dataclass(frozen=True)
class Target:
    """A kind of file, and what becomes of one."""

    seeds: Callable[[Path], list[bytes]]
    """Makes files as they should be; it is given a folder to work in."""
    read: Callable[[Path], object]
    """Reads the file `path`, in whose folder it may work."""
    mend: Callable[[bytes], bytes] = bytes
    """Makes what was altered hold against checks that anybody can recompute."""


def in_a_run(name: str) -> Callable[[Path], object]:
    """Return what shows a run, with a file put into its folder."""

    def read(path: Path) -> object:
        folder = seeds.run_folder(path.parent / "run")
        shutil.rmtree(folder.path)
        seeds.run_folder(folder.path)
        (folder.path / name).write_bytes(path.read_bytes())
        stands = json.dumps(status(folder).to_json())
        collect(folder)
        return stands, shown(folder.path)

    return read


def shown(path: Path) -> object:
    """Open results and write what `show` prints."""
    results = analysis.open_results(path)
    return json.dumps(analysis.to_json(results)), analysis.to_csv(results)


def artifact(path: Path) -> object:
    folder = path.parent / "store" / "ab" / "abc"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").touch()
    (folder / "artifact.json").write_bytes(path.read_bytes())
    return ArtifactStore(path.parent / "store").find("abc")


def answer(path: Path) -> object:
    """Take a file for what the process of a trial says."""
    name = TrialName("run", "c0", "n0", 0, 0)
    row = run_trial(name, TrialRequest("m.tflite", 1, (0,), 0), 10, ("cat", str(path)))
    return row.validity and row.error


JOURNAL = "journals/job-00000/host.journal"
TARGETS = {
    "journal": Target(lambda f: [seeds.journal(f / "seed")], in_a_run(JOURNAL)),
    "journal with right CRCs": Target(
        lambda f: [seeds.journal(f / "seed")], in_a_run(JOURNAL), seeds.right_crcs
    ),
    "results": Target(lambda f: [seeds.results_file(f / "seed")], shown),
    "results without a seal": Target(
        lambda f: [seeds.results_file(f / "seed")], shown, seeds.unsealed
    ),
    "shard": Target(lambda f: [seeds.results_file(f / "seed")], in_a_run("shards/job-00000.h5")),
    "tflite": Target(lambda f: [seeds.tflite()], read_tflite),
    "data": Target(lambda f: [seeds.npy(), seeds.npz()], read_labelled),
    "other tools": Target(
        lambda f: [text.encode() for text in seeds.OTHERS.values()], analysis.read_others
    ),
    "plan": Target(
        lambda f: [seeds.run_folder(f / "seed").plan_file.read_bytes()], in_a_run("plan.json")
    ),
    "run": Target(lambda f: [seeds.IDENTITY], in_a_run("run.json")),
    "sent": Target(lambda f: [seeds.SENT], in_a_run("sent.jsonl")),
    "site": Target(lambda f: [seeds.SITE], Site.read),
    "artifact": Target(lambda f: [seeds.ARTIFACT], artifact),
    "answer": Target(lambda f: [seeds.ANSWER], answer),
    "progress": Target(lambda f: [seeds.PROGRESS], in_a_run("logs/job-00000/host.json")),
}
