"""What a job does on its node: measure a slice, trial by trial, into its journal and shard."""

import errno
import hashlib
import json
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from jobs.collect import holds_all, journal_results
from jobs.plan import Plan
from jobs.run_folder import RunFolder
from suite.cells import Cell
from suite.errors import UserError
from suite.journal import Journal, read_journal
from suite.node import describe_node
from suite.results.rows import TrialRow
from suite.results.write import write_results
from suite.rounds import Progress, run_rounds
from suite.topology import granted_cpus, pin_order, read_cpus
from suite.trial.launch import TrialName, run_trial
from suite.trial.protocol import TrialRequest


@dataclass(frozen=True)
class Outcome:
    """How a job ended. It is returned, not raised: an executor may open a debugger on a raise."""

    mistake: str = ""
    """Of the user, or of the machine he chose: a message to act on."""
    fault: str = ""
    """Of ours: a traceback."""


def measure_slice(run_path: str, index: int) -> Outcome:
    """Measure the slice number `index` of the run in the folder `run_path`; raise nothing."""
    try:
        _measure_slice(RunFolder(Path(run_path)), index)
    except UserError as error:
        return Outcome(mistake=str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            return Outcome(mistake=f"{run_path} cannot be written: {error.strerror}.")
        return Outcome(fault=traceback.format_exc())
    except Exception:
        return Outcome(fault=traceback.format_exc())
    return Outcome()


def _measure_slice(folder: RunFolder, index: int) -> None:
    plan = Plan.read(folder.plan_file)
    planned = plan.slice_cells(index)
    artifacts = {cell.cell.cell_id: plan.artifacts[cell.artifact_key] for cell in planned}
    for artifact in {artifact.path: artifact for artifact in artifacts.values()}.values():
        _check_sha256(artifact.path, artifact.row.artifact_sha256)
    node = describe_node()
    cpus = pin_order(read_cpus(granted_cpus()))

    with Journal(folder.journal(index), plan.run_id) as journal:
        content = read_journal(folder.journal(index))
        if node not in content.nodes:
            journal.append(node)

        def measure(cell: Cell, number: int, order: int) -> TrialRow:
            name = TrialName(plan.run_id, cell.cell_id, node.node_id, number, order)
            request = TrialRequest(
                artifact_path=str(artifacts[cell.cell_id].path),
                threads=cell.threads,
                cpus=cpus[: cell.threads],
                seed=plan.measure.seed,
            )
            trial = run_trial(name, request, plan.measure.trial_timeout)
            journal.append(trial)
            return trial

        run_rounds(
            cells=[cell.cell for cell in planned],
            measure=plan.measure,
            recorded=[trial for trial in content.trials if trial.node_id == node.node_id],
            run_trial=measure,
            report=lambda progress: _tell(folder, progress),
            prior_s={cell.cell.cell_id: cell.trial_seconds for cell in planned},
        )
    if not holds_all(folder.shard(index), folder.journal(index)):
        write_results(folder.shard(index), journal_results(folder, plan, index))


def _check_sha256(path: Path, expected: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        found = "absent"
    if found != expected:
        raise UserError(
            f"The artifact {path} is not the one that was built ({found}, not {expected}).",
            "Delete its folder from the artifact store and run again: it will be built anew.",
        )


def _tell(folder: RunFolder, progress: Progress) -> None:
    # Without fsync: it is for eyes, and the disk's work would fall into the next trial.
    temporary = folder.progress_file.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(progress)))
    temporary.replace(folder.progress_file)
