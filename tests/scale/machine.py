"""A machine of any number of nodes, simulated: whole runs on it, with faults, in a fake clock.

Real are the plan, what is sent and when, status and resume, each rank from its first look at the
plan to its last word, rounds, journals, the gathering of ranks, shards and collecting. Not real are
Slurm, the trial's process, what a node says of itself, and MPI. Journals are on a RAM disk, where
an fsync costs nothing.
"""

import random
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass, field, replace
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn
from unittest.mock import patch

import numpy as np

import jobs.cluster.slurm
import suite.watch
from jobs import worker
from jobs.cluster import submissions
from jobs.cluster.packing import Mode
from jobs.cluster.site import Site
from jobs.cluster.slurm import Request
from jobs.cluster.status import WORDLESS, RunStatus, status
from jobs.cluster.submissions import collect_run, resume, wait
from jobs.collect import slice_results
from jobs.plan import Plan
from jobs.run_folder import RunFolder
from jobs.shares import standing
from jobs.worker import measure_on_cluster
from suite.canonical import digest
from suite.cells import Cell
from suite.energy import Counters
from suite.errors import UserError
from suite.journal import Journal, _encode
from suite.probe import Probe
from suite.results.merge import merge
from suite.results.read import read_results
from suite.results.rows import NodeRow, Results, TrialFlag, TrialRow
from suite.state import State
from suite.trial.launch import TrialName
from tests.rows import a_node
from tests.scale.growth import Table, Times, by_size, cpu_s_of_all, markdown
from tests.scale.loop import Killed, Loop, Task
from tests.scale.made import CPUS, MEASURE, a_run, a_site, on_ram
from tests.scale.submitting import QUIET

SAMPLES = 20
JOB_S = 600.0
"""What the least number of rounds of a job takes."""
LOOK_EVERY_S = 900.0
MOST_GOES = 40
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


CALM = Faults(0, 0, 0, 0, 0, 0)
FAULTS = Faults()


@dataclass
class Node:
    """A node of the machine."""

    name: str
    slowness: float = 1.0
    is_up: bool = True
    job: "Job | None" = None


@dataclass
class Job:
    """A job that Slurm has, or has had."""

    job_id: str
    name: str
    call: tuple[Any, ...]
    nodes: int
    limit_s: float
    exclude: tuple[str, ...]
    state: str = "PENDING"
    start: int = 0
    """How often it was started."""
    ranks: "list[Rank]" = field(default_factory=list)


@dataclass
class Rank:
    """A rank of a job, from a start of it to its end."""

    job: Job
    node: Node
    number: int
    world: "World"
    task: Task | None = None
    turn: int = 0
    """How often it has met the others."""
    aborted: bool = False


@dataclass
class World:
    """Where the ranks of a start meet."""

    size: int
    met: dict[int, dict[int, Any]] = field(default_factory=dict)
    waiting: list[Rank] = field(default_factory=list)


class RankWorld:
    """`jobs.world.World` among simulated ranks."""

    def __init__(self, machine: "Machine", rank: Rank) -> None:
        self._machine = machine
        self._rank = rank
        self.rank, self.size = rank.number, rank.world.size

    def share(self, value: Any) -> list[Any]:
        rank, world = self._rank, self._rank.world
        met = world.met.setdefault(rank.turn, {})
        met[rank.number] = value
        if len(met) == world.size:
            for other in world.waiting:
                assert other.task
                other.task.wake()
            world.waiting.clear()
            world.met.pop(rank.turn - 1, None)
        else:
            assert rank.task
            world.waiting.append(rank)
            rank.task.sleep(None)
        rank.turn += 1
        return [met[number] for number in range(world.size)]

    def from_first(self, make: Callable[[], Any]) -> Any:
        return self.share(make() if self.rank == 0 else None)[0]

    def wait(self, look: Callable[[], None]) -> None:
        look()
        self.share(None)

    def gather(self, results: Results) -> Results | None:
        everything = self.share(results)
        if self.rank:
            return None
        with self._machine.times.of("gathered by rank 0"):
            return merge(everything)

    def abort(self) -> NoReturn:
        self._rank.aborted = True
        raise Killed


class SimulatedMeter:
    """`jobs.meter.Meter` of trials that only take their time."""

    def __init__(self, machine: "Machine", plan: Plan, *_: object, **options: Any) -> None:
        self._machine = machine
        self._plan = plan
        self._journal: Journal = options["journal"]
        self._watch = options["watch"]

    def measure(self, cell: Cell, number: int, order: int, sampling_ns: int) -> TrialRow:
        machine, rank = self._machine, self._machine.here()
        self._watch.before(number)
        name = TrialName(self._plan.run_id, cell.cell_id, self._watch.node_id, number, order)
        draw = np.random.default_rng(int(digest([cell.cell_id, name.node_id, number], 16), 16))
        wall_s = machine.trial_s * draw.uniform(0.5, 1.5) * rank.node.slowness
        median_ns = 1e6 * cell.batch / cell.threads * draw.lognormal(0, 0.02)
        trial = replace(
            name.row(machine.unix_ns()),
            process_wall_ns=round(wall_s * 1e9),
            warmup_count=2,
            latency_ns=(median_ns * draw.lognormal(0, 0.03, SAMPLES)).astype("<u8"),
        )
        try:
            machine.loop.sleep(wall_s)
        except Killed:  # while it wrote, perhaps
            record = _encode(trial, self._plan.run_id)
            self._journal._file.write(record[: draw.integers(len(record))])
            raise
        self._journal.append(trial)
        machine.finished.append(trial.trial_id)
        return trial


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
        live = sum(job.state in ("PENDING", "RUNNING") for job in self.jobs.values())
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
        over = command[0] == "sacct"
        shown = (j for j in self.jobs.values() if (j.state in ("PENDING", "RUNNING")) != over)
        return "".join(
            f"{j.job_id}|{j.state}\n" if over else f"{j.job_id}|{j.name}|{j.state}|None\n"
            for j in shown
        )

    def _perhaps_refuse(self, command: str) -> None:
        if self.random.random() < self.faults.refused:
            self.happened[f"{command} refused or did not answer"] += 1
            self.unanswered.add(command)
            raise UserError(f"{command} fails: Socket timed out.")

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
            (slurm, "shutil", which),
            (submissions, "send", self.send),
            (submissions, "LOOK_EVERY_S", LOOK_EVERY_S),
            (
                submissions,
                "time",
                SimpleNamespace(sleep=self.loop.sleep, monotonic=lambda: self.loop.now_s),
            ),
            (submissions, "status", timed("status, a look", self.look)),
            (worker, "MpiWorld", lambda tasks: RankWorld(self, self.here())),
            (worker, "Meter", partial(SimulatedMeter, self)),
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
                "_send_missing",
                timed("sent what is missing", submissions._send_missing),
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


def go_on_until_done(run: RunFolder, machine: Machine) -> None:
    """Do what a user does: submit, wait, look, resume, until all is there."""
    for _ in range(MOST_GOES):
        try:
            resume(run.path, console=QUIET)
            seen = wait(run.path, console=QUIET)
        except UserError:  # Slurm refuses: later, then
            machine.loop.sleep(LOOK_EVERY_S)
            continue
        if seen.count("done") == len(seen.jobs):
            return
    raise AssertionError(f"not done after {MOST_GOES} goes")


def simulate(
    folder: Path,
    nodes: int,
    *,
    per_node: int = 100,
    job_nodes: int = 10,
    job_cells: int = 2,
    mode: Mode = "replicate",
    faults: Faults = FAULTS,
    submitted: int | None = None,
    seed: int = 0,
) -> Machine:
    """Take a run from its plan to its results on a machine; check that nothing is lost or twice.

    Parameters
    ----------
    per_node
        Jobs that each node takes part in.
    job_nodes, job_cells
        Of a job.
    submitted
        Most jobs that wait or run at a time.
    """
    each = job_cells if mode == "replicate" else job_cells / job_nodes
    machine = Machine(nodes, faults, seed, trial_s=JOB_S / MEASURE.min_trials / each)
    cells = nodes * per_node // job_nodes * job_cells
    with machine.times.of("planned"):
        run = a_run(folder, cells, a_site(job_nodes, submitted), per_job=job_cells, mode=mode)

    def over(error: BaseException | None) -> None:
        if error:
            raise error

    with machine.standing_in(), redirect_stderr(StringIO()):
        Task(machine.loop, partial(go_on_until_done, run, machine), over)
        machine.loop.run()
    with machine.times.of("collected"):
        path = collect_run(run.path)
    found = [trial.trial_id for trial in read_results(path).trials]
    assert len({*found}) == len(found), "a trial is there twice"
    assert {*found} == {*machine.finished}, "a finished trial is lost"
    assert len({*machine.finished}) == len(machine.finished), "a trial was taken again"
    plan = Plan.read(run.plan_file)
    for index in plan.slices:
        assert not standing(plan, index, slice_results(run, plan, index)).wanted
    return machine


def growing(
    nodes: Sequence[int] = (10, 100, 1000), cells: Sequence[int] = (2, 10, 50)
) -> Iterator[Table]:
    """Yield what each step takes by nodes, each of which takes part in 100 jobs, and by cells."""
    machines = [_simulated(count) for count in nodes]
    yield by_size("CPU seconds, by nodes", nodes, [m.times.seconds for m in machines])
    calls = [{**m.times.calls, **m.asked, "trials": len(m.finished)} for m in machines]
    yield by_size("how often, by nodes", nodes, calls, "{:,.0f}")
    machine = machines[-1]
    told = [[what, f"{count:,}"] for what, count in sorted(machine.happened.items())]
    yield markdown(("fault", f"{nodes[-1]:,} nodes"), told)
    said = Counter(re.sub(r"n\d+", "n…", re.sub(r"rank \d+|Rank \d+", "rank …", reason))
                   for reason in machine.reasons.elements())  # fmt: skip
    yield markdown(("what status said", "looks × jobs"), [[k, f"{v:,}"] for k, v in said.items()])
    by_cells = [_simulated(nodes[0], job_cells=count).times.seconds for count in cells]
    yield by_size("CPU seconds, by cells of a job", cells, by_cells)


def _simulated(nodes: int, **options: Any) -> Machine:
    with on_ram() as folder:
        begin = cpu_s_of_all()
        machine = simulate(folder, nodes, **options)
        machine.times.seconds["all"] = cpu_s_of_all() - begin
        return machine
