"""What an artifact is made of, and so what it is called."""

from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from suite.canonical import digest
from suite.models.source import Source
from suite.quantizations import CALIBRATED, FILE_ONLY, REQUANTIZED
from suite.results.rows import SCHEMA_VERSION
from suite.sweep import ModelSpec


@dataclass(frozen=True)
class ArtifactRequest:
    """A model and the quantization that it is wanted in."""

    model: str
    spec: ModelSpec
    source: Source
    quantization: str

    @property
    def key(self) -> str:
        """Content address: a hash of all that bears on the file's bytes or on its check."""
        source, spec = self.source, self.spec
        made_of: dict[str, Any] = {
            "schema": SCHEMA_VERSION,  # what is known of an artifact follows it
            "source": [source.kind, source.digest],
            "weights": source.weights_digest or spec.weights,
            "input_shape": spec.input_shape,
            "signature": spec.signature,
            "data": source.data_digest,
            "quantization": self.quantization,
            "converter": self.converter,
        }
        if self.quantization in CALIBRATED:
            made_of |= {"calibration_samples": spec.calibration_samples, "io": spec.io}
        return digest(made_of, 32)

    @property
    def as_it_is(self) -> bool:
        """Whether the artifact is the model's own file."""
        return self.source.kind == "tflite" and self.quantization == self.source.own_quantization

    @property
    def refusal(self) -> str:
        """Why nobody can make this artifact; empty where that is not known beforehand."""
        own = self.source.own_quantization
        if self.source.kind == "tflite" and own not in ("float32", self.quantization):
            return f"{self.spec.source} already holds {own}: only that can be measured."
        if self.quantization in FILE_ONLY and not self.as_it_is:
            return f"{self.quantization} can only come with a ready .tflite file."
        return ""

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that make the file."""
        if self.as_it_is:
            return ()
        if self.source.kind == "tflite" or self.quantization in REQUANTIZED:
            return ("litert-quantizer",)
        return ("tensorflow", "keras")

    @property
    def converter(self) -> str:
        """Those packages with their versions."""
        versions = (f"{package} {_version(package)}" for package in self.packages)
        return ", ".join((*versions, self.base.converter) if self.base else versions)

    @property
    def base(self) -> "ArtifactRequest | None":
        """The artifact that this one is made from; none where it is made from the model itself."""
        if self.as_it_is or not (self.source.kind == "tflite" or self.quantization in REQUANTIZED):
            return None
        return replace(self, quantization=self.source.own_quantization)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
