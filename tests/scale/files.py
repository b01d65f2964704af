"""What the shared file system is asked for, by a run on a simulated machine without faults."""

from collections import Counter
from collections.abc import Iterator, Mapping

from tests.faults.disk import disk
from tests.scale.growth import Table, markdown
from tests.scale.machine import Faults
from tests.scale.made import on_ram
from tests.scale.simulation import simulate

NONE = Faults(0, 0, 0, 0, 0, 0)
NODES, JOBS = 10, 5
CELLS = (10, 40)
"""Of a job: what more of them take is what their trials take."""
TRIALS_S = (1.3, 5.0, 15.0)


def asked() -> Iterator[Table]:
    """Yield how often what is asked for, by what a trial takes."""
    found = {trial_s: _for_a_trial(trial_s) for trial_s in TRIALS_S}
    shortest, *_ = found.values()
    one, ten = (_beside(nodes, shortest) for nodes in (1, NODES))
    found_of = {f"for each trial of {trial_s:g} s": each for trial_s, each in found.items()}
    node = {name: (ten[name] - one[name]) / (NODES - 1) for name in ten}
    found_of["beside, for each node of a job"] = node
    found_of["for each job"] = {name: one[name] - node[name] for name in one}
    rows = [[what, *(f"{value:.2f}" for value in each.values())] for what, each in found_of.items()]
    yield markdown(("what is asked for", *shortest), rows)


def _for_a_trial(trial_s: float) -> dict[str, float]:
    (few, trials_of_few), (many, trials_of_many) = (
        _counted(NODES, cells, trial_s) for cells in CELLS
    )
    return {name: (many[name] - few[name]) / (trials_of_many - trials_of_few) for name in many}


def _beside(nodes: int, for_a_trial: Mapping[str, float]) -> dict[str, float]:
    """Return what a job of so many nodes asks for beside its trials."""
    found, trials = _counted(nodes, CELLS[0], TRIALS_S[0])
    return {name: (count - for_a_trial[name] * trials) / JOBS for name, count in found.items()}


def _counted(nodes: int, cells: int, trial_s: float) -> tuple[dict[str, int], int]:
    """Count what jobs on so many nodes, and what becomes of them, ask for, and their trials."""
    with on_ram() as folder, disk(folder) as layer:
        machine = simulate(
            *(folder, nodes),
            per_node=JOBS,
            job_nodes=nodes,
            job_cells=cells,
            faults=NONE,
            trial_s=trial_s,
        )
        calls = Counter(layer.names)
        renames = calls["rename"] + calls["replace"]
        found = {"fsyncs": calls["fsync"], "new files": layer.new_files, "renames": renames}
        return found, len(machine.finished)
