"""Simulated nodes and jobs, how the ranks of a job meet, and trials that only take their time."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from jobs.plan import Plan
from suite.canonical import digest
from suite.cells import Cell
from suite.journal import Journal, _encode
from suite.results.merge import merge
from suite.results.rows import Results, TrialRow
from suite.trial.launch import TrialName
from tests.scale.loop import Killed, Task

if TYPE_CHECKING:
    from tests.scale.machine import Machine

SAMPLES = 20


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
