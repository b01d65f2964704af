"""What an artifact is made of, and so what it is called."""

from dataclasses import dataclass, replace
from functools import cache, cached_property
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
from suite.runtimes.names import ABOUT, LITERT, ONNXRUNTIME, OPENVINO, TENSORFLOW, XNNPACK

OPTIMIZATIONS = Path(optimizations.__file__).parent
REVISION = 2
"""Of how files are made and checked: what an earlier one has left in a store is made anew."""


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
    runtime: str = LITERT
    delegate: str = XNNPACK
    """Bears on no file; what no runtime has is refused."""

    @property
    def form(self) -> str:
        """What is made of the model, for messages."""
        made = form(self.quantization, self.optimization, self.resolution, self.batch)
        return made + f" for {ABOUT[self.runtime].title}" * (self.runtime != LITERT)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.model} {self.form}"

    @cached_property
    def key(self) -> str:
        """Content address: a hash of all that bears on the file's bytes or on its check."""
        source, spec = self.source, self.spec
        made_of: dict[str, Any] = {
            "revision": REVISION,
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
        if self.runtime != LITERT:
            made_of["runtime"] = [self.runtime, _version(ABOUT[self.runtime].package)]
            made_of["delegate"] = self.delegate
        if self.quantization in CALIBRATED:
            made_of |= {"calibration_samples": spec.calibration_samples, "io": spec.io}
        return digest(made_of, 32)

    @property
    def trained_key(self) -> str:
        """Content address of the Keras model that an example has become by training."""
        made_of = {
            "revision": REVISION,
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
            "code": _code_digests(),
        }
        return digest(made_of, 32)

    @property
    def as_it_is(self) -> bool:
        """Whether the artifact is the model's own file."""
        own = self.quantization == self.source.own_quantization
        return self.source.kind == "tflite" and self.runtime == LITERT and own

    @property
    def refusal(self) -> str:
        """Why nobody can make this artifact; empty where that is not known beforehand."""
        return self._refusal_of_runtime or self._refusal_of_source

    @property
    def _refusal_of_runtime(self) -> str:
        about, source = ABOUT[self.runtime], self.source
        if self.runtime != LITERT and self.delegate != XNNPACK:
            return f"delegate {self.delegate!r} is for litert: {about.title} has no delegates."
        if self.quantization not in about.takes:
            return (
                f"{about.title} runs {', '.join(about.takes)}, not {self.quantization}: "
                f"{about.others}."
            )
        if self.runtime == TENSORFLOW and source.kind == "tflite":
            return (
                f"{self.spec.source} is a .tflite file, which TensorFlow does not run: give the "
                "model that it was made of."
            )
        if self.runtime == ONNXRUNTIME and source.own_quantization != "float32":
            return (
                f"{self.spec.source} already holds {source.own_quantization}: for onnxruntime, "
                "whose own quantizer makes it, give the float model."
            )
        return ""

    @property
    def _refusal_of_source(self) -> str:
        own = self.source.own_quantization
        if self.optimization != NONE and self.source.kind in ("tflite", "saved-model"):
            return (
                f"{self.spec.source} cannot be optimised ({self.optimization}): that needs the "
                "layers of a Keras model, a .keras file or a 'keras:' source."
            )
        if self.source.kind == "tflite" and own not in ("float32", self.quantization):
            return f"{self.spec.source} already holds {own}: only that can be measured."
        if self.source.kind == "tflite" and self.resolution:
            return f"{self.spec.source} keeps the shape that it has: a ready file is not resized."
        if self.source.kind == "saved-model" and self.resolution:
            return (
                f"{self.spec.source} keeps the resolution that it has: another needs the layers of "
                "a Keras model, a .keras file or a 'keras:' source."
            )
        if self.quantization in FILE_ONLY and self.quantization != own:
            return f"{self.quantization} can only come with a ready .tflite file."
        return ""

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that make the file, of its base where there is one."""
        if self.as_it_is or self.runtime == OPENVINO:
            return ()
        if self.runtime == ONNXRUNTIME:
            return ("tf2onnx", "onnxruntime") if self.quantization != "float32" else ("tf2onnx",)
        if self.source.kind == "tflite" or self.quantization in REQUANTIZED:
            return ("litert-quantizer",)
        return ("tensorflow", "keras")

    @property
    def converter(self) -> str:
        """Those packages with their versions."""
        versions = [f"{package} {_version(package)}" for package in self.packages]
        if self.base and self.base.converter:
            versions.append(self.base.converter)
        return ", ".join(versions)

    @property
    def base(self) -> "ArtifactRequest | None":
        """The artifact that this one is made from; none where it is made from the model itself."""
        if self.runtime in (ONNXRUNTIME, OPENVINO):
            quantization = "float32" if self.runtime == ONNXRUNTIME else self.quantization
            return replace(self, quantization=quantization, runtime=LITERT)
        if self.as_it_is or self.runtime == TENSORFLOW:
            return None
        if self.source.kind != "tflite" and self.quantization not in REQUANTIZED:
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


@cache
def _code_digests() -> list[str]:
    return [hash_file(path) for path in sorted(OPTIMIZATIONS.glob("*.py"))]


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
