"""A machine of any number of nodes, simulated, with its Slurm and with faults, in a fake clock."""

import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import jobs.cluster.slurm
import suite.watch
from jobs import worker
from jobs.cluster import partitions, sending, submissions
from jobs.cluster.site import Site
from jobs.cluster.slurm import Request, SlurmError
from jobs.cluster.status import WORDLESS, RunStatus, status
from jobs.plan import Plan
from jobs.progress import Teller
from jobs.run_folder import RunFolder
from jobs.worker import measure_on_cluster
from suite.canonical import digest
from suite.energy import Counters
from suite.journal import Journal
from suite.probe import Probe
from suite.results.rows import NodeRow, TrialFlag
from suite.state import State
from tests.rows import a_node
from tests.scale.growth import Times
from tests.scale.loop import Killed, Loop, Task
from tests.scale.made import CPUS
from tests.scale.ranks import Job, Node, Rank, RankWorld, SimulatedMeter, World

LIVE = ("PENDING", "RUNNING")
JOB_S = 600.0
"""What the least number of rounds of a job takes."""
LOOK_EVERY_S = 900.0
START_UNIX_NS = 1_700_000_000 * 10**9


@dataclass(frozen=True)
class Faults:
    """How often what happens, as a share of the jobs, of the nodes or of the calls."""

    node_dies: float = 0.02
    """A node of a job dies under it, and tears a record; Slurm gives the job other nodes."""
    node_lost: float = 0.01
    """A node cannot be reached, and works on beside the twin of its job."""
    rank_dies: float = 0.01
    """A rank is killed, and its job ends."""
    straggler: float = 0.01
    """A node is so slow that jobs on it meet their time limit."""
    shard_lost: float = 0.01
    """A shard is gone after its job has ended well."""
    refused: float = 0.05
    """Slurm refuses a submission, or does not answer a question."""


FAULTS = Faults()


class Machine:
    """Nodes, a queue, and what goes wrong with them."""

    def __init__(self, nodes: int, faults: Faults, seed: int, trial_s: float) -> None:
        self.loop = Loop()
        self.times = Times()
        self.faults = faults
        self.trial_s = trial_s
        self.random = random.Random(seed)
        self.nodes = [Node(f"n{number:04}") for number in range(nodes)]
        for node in self.nodes:
            node.slowness = 60.0 if self.random.random() < faults.straggler else 1.0
        self.queue: deque[Job] = deque()
        self.jobs: dict[str, Job] = {}
        self.finished: list[str] = []
        """Every trial whose record was written to its end."""
        self.happened: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.unanswered: set[str] = set()
        """What did not answer in the last look."""
        self.reasons: Counter[str] = Counter()

    # What Slurm is asked.

    def send(
        self, folder: RunFolder, site: Site, request: Request, *, calls: Sequence[Any], **_: object
    ) -> list[str]:
        self.asked["sbatch"] += 1
        self._perhaps_refuse("sbatch")
        live = sum(job.state in LIVE for job in self.jobs.values())
        assert not site.slurm.submitted or live + len(calls) <= site.slurm.submitted
        number = self.asked["sbatch"]
        sent = [
            Job(f"{number}_{place}", request.name, call, request.nodes, request.limit_min * 60.0,
                request.exclude)
            for place, call in enumerate(calls)
        ]  # fmt: skip
        self.jobs |= {job.job_id: job for job in sent}
        self.queue.extend(sent)
        self.loop.after(0, self._schedule)
        return [job.job_id for job in sent]

    def ask(self, *command: str) -> str:
        self.asked[command[0]] += 1
        if command[0] == "scontrol":
            return "MaxArraySize = 1001\n"
        self._perhaps_refuse(command[0])
        if command[0] == "sinfo":
            return f"batch*|{sum(node.is_up for node in self.nodes)}|idle|{CPUS}|(null)\n"
        over = command[0] == "sacct"
        shown = (j for j in self.jobs.values() if (j.state in LIVE) != over)
        return "".join(
            f"{j.job_id}|{j.state}\n" if over else f"{j.job_id}|{j.name}|{j.state}|None\n"
            for j in shown
        )

    def _perhaps_refuse(self, command: str) -> None:
        if self.random.random() < self.faults.refused:
            self.happened[f"{command} refused or did not answer"] += 1
            self.unanswered.add(command)
            raise SlurmError(f"{command} fails: Socket timed out.")

    # What Slurm does.

    def _schedule(self) -> None:
        free = [node for node in self.nodes if node.is_up and node.job is None]
        self.random.shuffle(free)
        for _ in range(len(self.queue)):
            job = self.queue[0]
            fitting = [node for node in free if node.name not in job.exclude][: job.nodes]
            if len(fitting) < job.nodes:
                if len(free) < 2 * job.nodes:
                    return
                self.queue.rotate(-1)
                continue
            self.queue.popleft()
            taken = {node.name for node in fitting}
            free = [node for node in free if node.name not in taken]
            self._start(job, fitting)

    def _start(self, job: Job, nodes: list[Node]) -> None:
        job.state, job.start = "RUNNING", job.start + 1
        world = World(len(nodes))
        job.ranks = [Rank(job, node, number, world) for number, node in enumerate(nodes)]
        for rank in job.ranks:
            rank.node.job = job
            body, ends = partial(measure_on_cluster, *job.call), partial(self._ended, rank)
            rank.task = Task(self.loop, body, ends, owner=rank)
        start, faults, draw = job.start, self.faults, self.random.random

        def still() -> bool:
            return job.start == start and job.state == "RUNNING"

        self.loop.after(job.limit_s, lambda: still() and self._times_out(job))
        victim = self.random.choice(job.ranks)
        for share, happens in (
            (faults.node_dies, self._node_dies),
            (faults.node_lost, self._node_is_lost),
            (faults.rank_dies, self._rank_dies),
        ):
            if draw() < share:
                self.loop.after(draw() * JOB_S, lambda happens=happens: still() and happens(victim))

    def _node_dies(self, rank: Rank) -> None:
        self.happened["a node died under its job"] += 1
        self._kill([rank])
        self._down(rank.node)
        self._requeue_after(30.0, rank)

    def _node_is_lost(self, rank: Rank) -> None:
        self.happened["a node was lost, and worked on beside its job's twin"] += 1
        self._down(rank.node)
        self._requeue_after(1.0, rank, works_on=True)
        self.loop.after(JOB_S, lambda: self._kill([rank]))

    def _rank_dies(self, rank: Rank) -> None:
        self.happened["a rank was killed, and its job with it"] += 1
        self._stop(rank.job, "FAILED")
        self._log(rank.job, f"srun: error: {rank.node.name}: task {rank.number}: Killed")

    def _down(self, node: Node) -> None:
        node.is_up = False

        def up() -> None:
            node.is_up = True
            self._schedule()

        self.loop.after(2 * JOB_S, up)

    def _requeue_after(self, seconds: float, rank: Rank, works_on: bool = False) -> None:
        job, start = rank.job, rank.job.start

        def requeue() -> None:
            if job.state == "RUNNING" and job.start == start:
                self._kill([r for r in job.ranks if not (works_on and r is rank)])
                job.ranks, job.state = [], "PENDING"
                self.queue.append(job)

        self.loop.after(seconds, requeue)

    def _stop(self, job: Job, state: str) -> None:
        job.state = state
        self._kill(job.ranks)

    def _times_out(self, job: Job) -> None:
        self.happened["a job met its time limit"] += 1
        self._stop(job, "TIMEOUT")
        self._log(job, f"slurmstepd: error: *** JOB {job.job_id} CANCELLED DUE TO TIME LIMIT ***")

    def _log(self, job: Job, line: str) -> None:
        run, *_ = job.call
        log = RunFolder(Path(run)).logs / "slurm" / f"{job.job_id}_0_log.err"
        log.parent.mkdir(exist_ok=True)
        log.write_text(line + "\n")

    def _kill(self, ranks: Sequence[Rank]) -> None:
        for rank in ranks:
            assert rank.task
            rank.task.kill()

    def _ended(self, rank: Rank, error: BaseException | None) -> None:
        job = rank.job
        if error is not None and not isinstance(error, Killed):
            raise error
        rank.node.job = None
        if rank.aborted and job.state == "RUNNING" and rank in job.ranks:
            self._stop(job, "FAILED")
        elif error is None and rank in job.ranks:
            job.ranks.remove(rank)
            if not job.ranks:
                job.state = "COMPLETED"
                self._perhaps_lose_shard(job)
        self.loop.after(0, self._schedule)

    def _perhaps_lose_shard(self, job: Job) -> None:
        if self.random.random() < self.faults.shard_lost:
            self.happened["a shard was lost"] += 1
            run, index, *_ = job.call
            RunFolder(Path(run)).shard(index).unlink()

    # What a rank sees.

    def here(self) -> Rank:
        """The rank that runs now."""
        assert self.loop.current and isinstance(self.loop.current.owner, Rank)
        return self.loop.current.owner

    def unix_ns(self) -> int:
        """The time, in ns since 1970."""
        return START_UNIX_NS + round(self.loop.now_s * 1e9)

    def node_row(self, **_: object) -> NodeRow:
        """What the node says of itself."""
        name = self.here().node.name
        return a_node(digest(name, 16), host=name)  # type: ignore[no-any-return]

    def state(self, cpus: object) -> State:
        """A node that tells nothing."""
        return State(self.unix_ns(), *[None] * 9, {})  # type: ignore[arg-type]

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Put the machine in the place of Slurm and of the nodes."""
        timed = self.times.around
        which = SimpleNamespace(which=lambda name: name)
        slurm = jobs.cluster.slurm
        fakes: list[tuple[Any, str, Any]] = [
            (slurm, "ask", self.ask),
            (partitions, "ask", self.ask),
            (slurm, "shutil", which),
            (sending, "send", self.send),
            (submissions, "LOOK_EVERY_S", LOOK_EVERY_S),
            (
                submissions,
                "time",
                SimpleNamespace(sleep=self.loop.sleep, monotonic=lambda: self.loop.now_s),
            ),
            (submissions, "status", timed("status, a look", self.look)),
            (worker, "MpiWorld", lambda tasks: RankWorld(self, self.here())),
            (worker, "Meter", partial(SimulatedMeter, self)),
            (worker, "Teller", partial(Teller, clock=lambda: self.loop.now_s)),
            (worker, "describe_node", self.node_row),
            (worker, "find_counters", Counters),
            (worker, "read_cpus", lambda granted: ()),
            (worker, "pin_order", lambda places: tuple(range(CPUS))),
            (worker, "_check_node", lambda *_: TrialFlag(0)),
            (worker, "platform", SimpleNamespace(node=lambda: self.here().node.name)),
            (suite.watch, "run_probe", lambda cpu: Probe(cpu, 10**6, 10**6)),
            (suite.watch, "read_state", self.state),
            # Real, with a stop watch.
            (Plan, "read_slice", staticmethod(timed("its slice read, by a rank", Plan.read_slice))),
            (Journal, "append", timed("a record appended", Journal.append)),
            (worker, "slice_results", timed("journals read, by a rank", worker.slice_results)),
            (worker, "write_shard", timed("a shard written", worker.write_shard)),
            (
                submissions,
                "send_missing",
                timed("sent what is missing", sending.send_missing),
            ),
        ]
        with ExitStack() as stack:
            stack.enter_context(patch.dict("os.environ", {"SLURM_NTASKS": "1"}))
            for owner, name, fake in fakes:
                stack.enter_context(patch.object(owner, name, fake))
            yield

    def look(self, folder: RunFolder) -> RunStatus:
        """Return the status, and note what it says of jobs that have failed."""
        self.unanswered.clear()
        seen = status(folder)
        reasons = [job.reason for job in seen.jobs if job.state == "failed"]
        assert "sacct" in self.unanswered or not {"", WORDLESS} & {*reasons}, "nobody says why"
        self.reasons.update(reasons)
        return seen
