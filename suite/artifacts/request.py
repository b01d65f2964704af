"""What an artifact is made of, and so what it is called."""

from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from suite import optimizations
from suite.canonical import digest
from suite.cells import form
from suite.models.source import Source, hash_file
from suite.models.spec import TRAINED, ModelSpec
from suite.optimizations.names import NONE
from suite.quantizations import CALIBRATED, FILE_ONLY, REQUANTIZED
from suite.results.normal import KINDS
from suite.results.rows import ArtifactRow

OPTIMIZATIONS = Path(optimizations.__file__).parent


@dataclass(frozen=True)
class ArtifactRequest:
    """A model, and the form that it is wanted in."""

    model: str
    spec: ModelSpec
    source: Source
    quantization: str
    optimization: str = NONE
    resolution: int = 0
    """Side of the images in pixels; 0 for the model's own."""
    batch: int = 1

    @property
    def form(self) -> str:
        """What is made of the model, for messages."""
        return form(self.quantization, self.optimization, self.resolution, self.batch)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.model} {self.form}"

    @property
    def key(self) -> str:
        """Content address: a hash of all that bears on the file's bytes or on its check."""
        source, spec = self.source, self.spec
        made_of: dict[str, Any] = {
            "known": [*KINDS[ArtifactRow]],
            "source": [source.kind, source.digest],
            "weights": source.weights_digest or spec.weights,
            "input_shape": spec.input_shape,
            "signature": spec.signature,
            "data": source.data_digest,
            "quantization": self.quantization,
            "converter": self.converter,
        }
        if spec.preprocess:
            made_of["preprocess"] = spec.preprocess.model_dump(mode="json")
        if self.optimization != NONE:
            made_of["optimized"] = self.optimized_key
        if self.resolution:
            made_of["resolution"] = self.resolution
        if self.batch != 1:
            made_of["batch"] = self.batch
        if self.quantization in CALIBRATED:
            made_of |= {"calibration_samples": spec.calibration_samples, "io": spec.io}
        return digest(made_of, 32)

    @property
    def trained_key(self) -> str:
        """Content address of the Keras model that an example has become by training."""
        made_of = {
            "source": self.source.digest,
            "weights": self.spec.weights,
            "data": self.source.data_digest,
            "preprocess": self.spec.model_dump(mode="json")["preprocess"],
            "packages": [f"{package} {_version(package)}" for package in ("tensorflow", "keras")],
        }
        return digest(made_of, 32)

    @property
    def optimized_key(self) -> str:
        """Content address of the Keras model that is optimised and not yet converted."""
        source, spec = self.source, self.spec.model_dump(mode="json")
        made_of = {
            "trained": self.trained_key,
            "weights": source.weights_digest,
            "input_shape": spec["input_shape"],
            "fine_tune": spec["fine_tune"],
            "optimization": self.optimization,
            "code": [hash_file(path) for path in sorted(OPTIMIZATIONS.glob("*.py"))],
        }
        return digest(made_of, 32)

    @property
    def as_it_is(self) -> bool:
        """Whether the artifact is the model's own file."""
        return self.source.kind == "tflite" and self.quantization == self.source.own_quantization

    @property
    def refusal(self) -> str:
        """Why nobody can make this artifact; empty where that is not known beforehand."""
        own = self.source.own_quantization
        if self.optimization != NONE and self.source.kind in ("tflite", "saved-model"):
            return (
                f"{self.spec.source} cannot be optimised ({self.optimization}): that needs the "
                "layers of a Keras model, a .keras file or a 'keras:' source."
            )
        if self.source.kind == "tflite" and own not in ("float32", self.quantization):
            return f"{self.spec.source} already holds {own}: only that can be measured."
        if self.source.kind == "tflite" and (self.resolution or self.batch != 1):
            return f"{self.spec.source} keeps the shape that it has: a ready file is not resized."
        if self.source.kind == "saved-model" and self.resolution:
            return (
                f"{self.spec.source} keeps the resolution that it has: another needs the layers of "
                "a Keras model, a .keras file or a 'keras:' source."
            )
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

    @property
    def needs(self) -> frozenset[str]:
        """The keys of all that a store keeps for it: itself, and what it is made from."""
        made = {self.key}
        if self.source.kind == "example" and self.spec.weights == TRAINED:
            made.add(self.trained_key)
        if self.optimization != NONE:
            made.add(self.optimized_key)
        return frozenset(made | self.base.needs if self.base else made)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
