"""Whatever happens to a run, in any order, against a model that knows what was finished.

The model is no more than a table of the trials that a journal has acknowledged. The run is real:
jobs, journals, shards, collecting, cleaning, and what `resume` asks for.
"""

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import jobs.worker
from jobs.clean import clean
from jobs.cluster.sending import request_for
from jobs.cluster.site import Container, CpuType, Mpi, Site
from jobs.collect import has_shard, left_by, slice_results, write_shard
from jobs.plan import Plan
from jobs.run_folder import RunFolder
from jobs.shares import standing
from suite.errors import UserError
from suite.journal import Journal, _encode
from suite.results.merge import merge
from suite.results.rows import LOCAL, Results, TrialRow
from suite.trial.launch import TrialName
from tests.faults.clocks import YEAR_NS
from tests.faults.fault import Bench, fault
from tests.faults.made_up import (
    RUN_ID,
    Trials,
    a_run,
    as_if_on,
    collected,
    made_up,
    recorded,
    spelled,
)

HOSTS = ("c1", "c2", "c3")
SLICES = 2
TRIALS = 2
SITE = Site(
    cpu_types={LOCAL: CpuType(cpus=1)}, container=Container(runtime="none"), mpi=Mpi(type="none")
)


APPEND = Journal.append
"""The real one, also while a job and its twin, within it, have theirs in its place."""


class Killed(BaseException):
    """What a rank does not survive."""


class Together:
    """Ranks that take turns: rank 0 is the last, and gathers what the others have left."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.hosts = hosts
        self.size = len(hosts)
        self.rank = 0
        self.decided: list[Any] = []
        self.gathered: list[Results] = []
        self.is_broken = False

    def share(self, value: Any) -> list[Any]:
        return [*self.hosts]

    def from_first(self, make: Callable[[], Any]) -> Any:
        if not self.decided:
            self.decided.append(make())
        return self.decided[0]

    def wait(self, look: Callable[[], None]) -> None:
        if self.is_broken:  # one of them never comes
            raise Killed

    def gather(self, results: Results) -> Results | None:
        self.gathered.append(results)
        return None if self.rank else merge(self.gathered)


fates = st.dictionaries(st.sampled_from(HOSTS), st.integers(0, 5), max_size=2)
"""By host, the trial before which its rank is killed."""
places = st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2, unique=True)
numbers = st.integers(0, SLICES - 1)


class Run(RuleBasedStateMachine):
    """A run, and what of it is finished."""

    examples = 0

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.known: Trials = {}
        type(self).examples += 1

    @initialize(copies=st.sampled_from([1, 2]))
    def plan(self, copies: int) -> None:
        self.folder = a_run(self.home / "run", slices=SLICES, trials=TRIALS, copies=copies, nodes=2)

    # What happens

    @rule(index=numbers, hosts=places, fates=fates, torn=st.integers(0, 400))
    def job(self, index: int, hosts: list[str], fates: dict[str, int], torn: int) -> None:
        self.do_job(index, hosts, fates, torn=torn)

    @rule(
        index=numbers, hosts=places, fates=fates, at=st.integers(0, 5), other=st.sampled_from(HOSTS)
    )
    def job_with_a_twin(
        self, index: int, hosts: list[str], fates: dict[str, int], at: int, other: str
    ) -> None:
        """In the middle of a job, or between its reading of journals and its shard."""

        def twin() -> None:
            if other not in hosts:
                self.do_job(index, [other], fates)

        self.do_job(index, hosts, fates, at=at, meanwhile=twin)

    @precondition(lambda self: self.whole_journals())
    @rule(index=numbers)
    def lose_shard(self, index: int) -> None:
        self.folder.shard(index).unlink(missing_ok=True)

    @precondition(lambda self: self.whole_journals())
    @rule(index=numbers)
    def copy_shard(self, index: int) -> None:
        if all(has_shard(self.folder, n) for n in range(SLICES)):
            shutil.copy(self.folder.shard(index), self.folder.shard(1 - index))

    @rule(seed=st.integers(0, 2**32))
    def clocks_jump(self, seed: int) -> None:
        chance = random.Random(seed)
        for path in self.folder.path.rglob("*"):
            at = chance.randrange(1, 100 * YEAR_NS)
            os.utime(path, ns=(at, at))

    @rule()
    def clean(self) -> None:
        found = clean([self.folder.path], None).leftovers
        clean([self.folder.path], None, {each.path for each in found})

    @rule()
    def collect(self) -> None:
        assert collected(self.folder) == self.known

    @rule(fates=fates)
    def resume(self, fates: dict[str, int]) -> None:
        plan = Plan.read(self.folder.plan_file)
        for index in range(SLICES):
            if has_shard(self.folder, index):
                continue
            request = request_for(self.folder, plan, index, SITE)
            if request is None:
                assert has_shard(self.folder, index)
                continue
            free = [host for host in HOSTS if host not in request.exclude]
            self.do_job(index, free[: request.nodes], fates)

    # What must hold

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.ends()
        shutil.rmtree(self.home)

    def ends(self) -> None:
        """Left alone, it ends, with all that was planned and all that was finished."""
        for _ in range(4):
            self.resume({})
        plan = Plan.read(self.folder.plan_file)
        assert collected(self.folder) == self.known
        for index in range(SLICES):
            assert has_shard(self.folder, index)
            nothing = slice_results(self.folder, plan, index, [])
            left = jobs.worker._merged(nothing, left_by(self.folder, plan, index))
            assert not standing(plan, index, left).wanted

    # How it is done

    def whole_journals(self) -> bool:
        """Whether the journals hold everything, so that shards may go."""
        return recorded(self.folder) == self.known

    def do_job(
        self,
        index: int,
        hosts: list[str],
        fates: dict[str, int],
        *,
        torn: int = 0,
        at: int = -1,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Do a job, as far as fate lets it; do something else before a trial, or the shard."""
        world = Together(hosts)
        plan = Plan.read(self.folder.plan_file)
        trials = [0]

        def acknowledged(journal: Journal, *rows: Any) -> None:
            APPEND(journal, *rows)
            mine = spelled(tuple(row for row in rows if isinstance(row, TrialRow)))
            assert not mine.keys() & self.known.keys(), "a finished trial was measured again"
            self.known |= mine

        def written(folder: RunFolder, index: int, results: Results) -> None:
            if 0 <= trials[0] <= at:
                meanwhile()
            write_shard(folder, index, results)

        for rank in reversed(range(world.size)):
            host, world.rank = hosts[rank], rank
            taken = [0]

            def measured(*arguments: Any, **options: Any) -> TrialRow:
                if taken[0] == fates.get(host, -1):  # noqa: B023
                    raise Killed
                if trials[0] == at:
                    meanwhile()
                taken[0] += 1  # noqa: B023
                trials[0] += 1
                return made_up(*arguments, **options)

            with (
                as_if_on(host),
                patch("jobs.meter.run_trial", measured),
                patch.object(Journal, "append", acknowledged),
                patch.object(jobs.worker, "write_shard", written),
            ):
                try:
                    jobs.worker._measure(self.folder, plan, index, world)
                except Killed:
                    world.is_broken = True
                except UserError as error:  # of cells that want two nodes, and had one
                    assert plan.slices[index].copies > len(hosts), error
                    assert "still to be measured on another node" in str(error)
            if world.is_broken:
                self.tear(index, host, torn)

    def tear(self, index: int, host: str, size: int) -> None:
        """Leave a part of a record behind, as a writer does that is killed in the middle."""
        path = self.folder.journal(index, host)
        if path.exists():
            record = _encode(made_up(TrialName(RUN_ID, "cell", "node", 0, 0)), RUN_ID)
            with path.open("ab") as file:
                file.write(record[: min(size, len(record) - 1)])


@fault(
    "any of these in any order, drawn by hypothesis: jobs, twins, kills, torn records, shards lost "
    "and copied, clocks, cleaning, collecting, resuming",
    "no finished trial is ever lost or measured again, none is counted twice, and every run ends",
)
def any_order(bench: Bench) -> None:
    Run.examples = 0
    with bench.trying("hypothesis"):
        run_state_machine_as_test(
            Run,
            settings=settings(
                max_examples=4 if bench.short else 80,
                stateful_step_count=6 if bench.short else 20,
                deadline=None,
                database=None,
                derandomize=bench.short,
                report_multiple_bugs=False,  # the one that is told of is whole
                suppress_health_check=list(HealthCheck),
            ),
        )
    bench.tried = Run.examples
