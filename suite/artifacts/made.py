"""Keras models that are made on the way to an artifact, trained and optimised, each only once.

Imported by the process that builds an artifact and no other.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from suite.artifacts.request import ArtifactRequest
from suite.artifacts.store import DESCRIPTION, ArtifactStore
from suite.data.labelled import read_labelled
from suite.errors import UserError
from suite.models import mnist_cnn
from suite.models.examples import InputSpec, Prepared, sole
from suite.models.load import from_keras, load_keras
from suite.models.spec import TRAINED
from suite.optimizations.apply import apply
from suite.optimizations.codec import decode, encode
from suite.optimizations.training import TrainingData

MODEL = "model.keras"


@dataclass(frozen=True)
class Maker:
    """Makes what a request needs in the store, or finds it there."""

    request: ArtifactRequest
    store: ArtifactStore
    scratch: Path
    """A folder that does not outlive the builder."""

    def source_model(self) -> Any:
        """Return the Keras model as declared, an example trained."""
        request = self.request
        model = load_keras(request.model, request.spec, request.source)
        if request.source.kind != "example" or request.spec.weights != TRAINED:
            return model

        def train(folder: Path) -> None:
            data = self._training_data(model)
            if data is None:
                raise UserError(
                    f"{request.spec.source} is trained on labels, and its data have none.",
                    'Leave data away, or set weights = "seed:0".',
                )
            mnist_cnn.train(model, data.inputs, data.labels)
            self._save(folder, model, 0)

        folder = self._once(request.trained_key, train)
        return keras.models.load_model(folder / MODEL, compile=False)

    def optimized_model(self) -> tuple[Any, int]:
        """Return the model optimised, and the size of its weights in bytes when encoded."""
        request = self.request

        def optimize(folder: Path) -> None:
            source = self.source_model()
            data = self._training_data(source)
            model = apply(request.optimization, source, data, request.spec.fine_tune)
            encoded = encode(model.get_weights())
            # What is converted is what has been decoded: the size is that of what is measured.
            model.set_weights(decode(encoded))
            self._save(folder, model, len(encoded))

        folder = self._once(request.optimized_key, optimize)
        said = json.loads((folder / DESCRIPTION).read_text())
        return keras.models.load_model(folder / MODEL, compile=False), said["encoded_bytes"]

    def _once(self, key: str, make: Callable[[Path], None]) -> Path:
        kept = self.store.folder(key)

        def there() -> bool:  # a cache may be cleaned file by file
            return all((kept / name).exists() for name in (MODEL, DESCRIPTION))

        if not there():
            with self.store.building(key, scratch=self.scratch / key) as folder:
                if not there():  # another builder has made it while we waited
                    make(folder)
        return kept

    def _save(self, folder: Path, model: Any, encoded_bytes: int) -> None:
        model.save(folder / MODEL)
        (folder / DESCRIPTION).write_text(json.dumps({"encoded_bytes": encoded_bytes}) + "\n")

    def _training_data(self, model: Any) -> TrainingData | None:
        """Return the train part of labelled data; None where there are no labels to train with."""
        request = self.request
        path = request.source.data_path
        data = read_labelled(path) if path else None
        if data is None or data.train.labels is None:
            return None
        taken = sole(from_keras(request.model, request.spec, model).inputs)
        single = InputSpec(taken.name, (1, *taken.shape[1:]), taken.dtype)
        inputs = [example[0] for example in Prepared(data.train, single, request.spec.preprocess)]
        return TrainingData(np.concatenate(inputs), data.train.labels, len(data.names))
