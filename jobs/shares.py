"""Who measures what: a slice's cells over the nodes that a job was given.

Pure functions of what the slice's journals hold, so that a job that takes up after a dead one, on
whatever nodes, does what is still missing and no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.plan import Plan
from suite.cells import Cell
from suite.results.rows import Results, TrialRow
from suite.rounds import unfinished


@dataclass(frozen=True)
class Standing:
    """How far a slice has come."""

    wanted: Mapping[str, int]
    """By `cell_id`: on how many more nodes it must be measured; finished cells are not there."""
    finished_on: Mapping[str, frozenset[str]]
    """By `cell_id`: the hosts that have finished it."""
    begun_on: Mapping[str, frozenset[str]]
    """By `cell_id`: the hosts that have trials of it, and have not finished it."""

    @property
    def hosts_with_all(self) -> frozenset[str]:
        """The hosts that have nothing left to add."""
        finished = [self.finished_on.get(cell_id, frozenset()) for cell_id in self.wanted]
        return frozenset.intersection(*finished) if finished else frozenset()

    def finished_by(self, host: str) -> set[str]:
        """Return the `cell_id`s of the cells that a host has finished."""
        return {cell_id for cell_id, hosts in self.finished_on.items() if host in hosts}


def standing(plan: Plan, index: int, results: Results) -> Standing:
    """Tell how far the slice number `index` has come, by what its nodes have measured so far."""
    slice_ = plan.slices[index]
    cells = [planned.cell for planned in plan.slice_cells(index)]
    measure = plan.measure.model_copy(update={"budget": slice_.budget_s})
    finished: dict[str, set[str]] = {cell.cell_id: set() for cell in cells}
    begun: dict[str, set[str]] = {cell.cell_id: set() for cell in cells}
    hosts = {node.node_id: node.host for node in results.nodes}
    by_node: dict[str, list[TrialRow]] = {}
    for trial in results.trials:
        by_node.setdefault(trial.node_id, []).append(trial)
    for node_id, trials in by_node.items():
        host, taken = hosts[node_id], {trial.cell_id for trial in trials}
        mine = [cell for cell in cells if cell.cell_id in taken]
        left = {cell.cell_id for cell in unfinished(mine, measure, trials)}
        for cell_id in taken & finished.keys():
            (begun if cell_id in left else finished)[cell_id].add(host)
    wanted = {cell_id: slice_.copies - len(hosts) for cell_id, hosts in finished.items()}
    return Standing(
        wanted={cell_id: nodes for cell_id, nodes in wanted.items() if nodes > 0},
        finished_on={cell_id: frozenset(hosts) for cell_id, hosts in finished.items()},
        begun_on={cell_id: frozenset(hosts) for cell_id, hosts in begun.items()},
    )


def nodes_wanted(plan: Plan, index: int, state: Standing) -> int:
    """Return how many nodes a job needs to finish the slice; 0 where nothing is missing."""
    slice_ = plan.slices[index]
    if slice_.copies > 1:
        return max(state.wanted.values(), default=0)
    return min(slice_.nodes, len(state.wanted))


def share_out(
    cells: Sequence[Cell],
    seconds: Mapping[str, float],
    state: Standing,
    hosts: Sequence[str],
) -> dict[str, tuple[str, ...]]:
    """Return the `cell_id`s that each host measures.

    A cell goes to hosts that have not finished it: first to those that have begun it, then to the
    least loaded (longest cell first: Graham's LPT rule). Where a job has fewer such hosts than a
    cell wants, it goes to those that there are.
    """
    load = dict.fromkeys(hosts, 0.0)
    shares: dict[str, list[str]] = {host: [] for host in hosts}
    place = {host: number for number, host in enumerate(hosts)}
    waiting = [cell.cell_id for cell in cells if cell.cell_id in state.wanted]
    for cell_id in sorted(waiting, key=lambda cell_id: -seconds[cell_id]):
        free = [host for host in hosts if host not in state.finished_on.get(cell_id, ())]
        begun = state.begun_on.get(cell_id, frozenset())
        free.sort(key=lambda host: (host not in begun, load[host], place[host]))
        for host in free[: state.wanted[cell_id]]:
            shares[host].append(cell_id)
            load[host] += seconds[cell_id]
    return {host: tuple(cell_ids) for host, cell_ids in shares.items()}
