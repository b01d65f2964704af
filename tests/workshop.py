"""Requests for artifacts, and a place to build them, for tests."""

from pathlib import Path

from suite import ModelSpec
from suite.artifacts.build import (
    BuildFailure,
    Built,
    build_artifacts,
)
from suite.artifacts.request import ArtifactRequest
from suite.artifacts.store import Artifact, ArtifactStore
from suite.models.source import resolve_source


def request(
    folder: Path,
    source: str,
    quantization: str,
    optimization: str = "none",
    *,
    resolution: int = 0,
    batch: int = 1,
    **spec: object,
) -> ArtifactRequest:
    declared = ModelSpec(source=source, **spec)  # type: ignore[arg-type]
    found = resolve_source("m", declared, folder)
    return ArtifactRequest("m", declared, found, quantization, optimization, resolution, batch)


class Workshop:
    """Builds in one store, and keeps no count of anything else."""

    def __init__(self, root: Path, logs: Path) -> None:
        self.store = ArtifactStore(root)
        self.logs = logs

    def build(self, *requests: ArtifactRequest) -> list[Built]:
        built = build_artifacts(requests, self.store, lambda event: None, self.logs)
        return [built[request.key] for request in requests]

    def artifact(self, request: ArtifactRequest) -> Artifact:
        [built] = self.build(request)
        assert isinstance(built, Artifact), built
        return built

    def failure(self, request: ArtifactRequest) -> str:
        [built] = self.build(request)
        assert isinstance(built, BuildFailure)
        return built.reason

    def litter(self) -> list[Path]:
        return list(self.store.root.glob(".building-*"))
