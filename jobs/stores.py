"""A run and the stores that its artifacts are in: what it tells them."""

from collections.abc import Iterable
from pathlib import Path

from jobs.plan import Plan
from jobs.run_folder import RunFolder
from suite.artifacts.needs import Need, record_need
from suite.artifacts.request import ArtifactRequest
from suite.artifacts.store import ArtifactStore, store_of


def tell_store(
    folder: RunFolder, store: ArtifactStore, requests: Iterable[ArtifactRequest]
) -> None:
    """Tell a store that the run needs what is about to be built there, or found."""
    keys = frozenset(key for request in requests for key in request.needs)
    record_need(store, Need(folder.identity()["run_id"], folder.path, keys))


def tell_stores(folder: RunFolder, plan: Plan) -> None:
    """Tell each store that artifacts of the plan are in where the run is, and what it needs."""
    keys: dict[Path, set[str]] = {}
    for key, artifact in plan.artifacts.items():
        keys.setdefault(store_of(artifact.path), set()).add(key)
    for root, needed in keys.items():
        if root.is_dir():
            record_need(ArtifactStore(root), Need(plan.run_id, folder.path, frozenset(needed)))
