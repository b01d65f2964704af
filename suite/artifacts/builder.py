"""The process that builds one artifact; the only one that imports TensorFlow.

Started by `suite.artifacts.build` with a request on standard input, it leaves the file and its
description in a folder, and says on standard output how it ended.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from suite.artifacts.check import (
    Agreement,
    Outputs,
    Port,
    Runner,
    UnfitError,
    agreement,
    check_operators,
    check_outputs,
    tflite_runner,
    top1,
)
from suite.artifacts.formats import freeze, operators, to_onnx
from suite.artifacts.recipes import IntegerType, convert, requantize
from suite.artifacts.request import ArtifactRequest
from suite.artifacts.store import ArtifactStore, describe
from suite.canonical import canonical_json
from suite.data.prepare import MisfitError
from suite.errors import UserError
from suite.models.examples import Example, Examples, InputSpec, examples_for
from suite.models.operators import Work
from suite.models.tflite_file import TfliteFile, read_tflite
from suite.optimizations.names import NONE
from suite.process import die_with_parent, limit_memory
from suite.quantizations import CALIBRATED
from suite.results.axes import LATER_AXES
from suite.results.rows import ArtifactRow
from suite.runtimes.names import ABOUT, LITERT, ONNXRUNTIME, OPENVINO, TENSORFLOW

COMPRESSION_LEVEL = 6

Ending = Literal["built", "unfit", "mistake", "no room"]

REQUEST = TypeAdapter(ArtifactRequest)


def main() -> None:
    """Build what standard input asks for."""
    die_with_parent()
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    said = json.load(sys.stdin)
    request = REQUEST.validate_python(said["request"])
    base = Path(said["base"]) if said["base"] else None
    # A resolution or a batch that is far too large ends this process by an error, and not others by
    # the kernel's choice.
    limit_memory(said["memory_bytes"])
    ending, reason = attempt(request, Path(said["folder"]), base)
    print(json.dumps({"ending": ending, "reason": reason}), file=channel, flush=True)
    os._exit(0)  # TensorFlow takes a second to go, and has nothing to save


def attempt(request: ArtifactRequest, folder: Path, base: Path | None) -> tuple[Ending, str]:
    """Build, and say how it ended and why; raise nothing."""
    try:
        build(request, folder, base)
    except UserError as error:
        return _mistake(request, error)
    except UnfitError as error:
        return "unfit", f"{request.name}: {error}."
    except ModuleNotFoundError as error:
        own = () if request.runtime == LITERT else (ABOUT[request.runtime].extra,)
        extras = dict.fromkeys(("build", *own))
        return "mistake", (
            f"Building artifacts needs the package {error.name!r}.\n"
            f"Install it with: pip install 'litesweep[{','.join(extras)}]'."
        )
    except Exception as error:
        if _out_of_room(error):
            return "no room", str(error)
        return "unfit", f"{request.model} cannot be made {request.form}: {_said(error)}."
    return "built", ""


def _mistake(request: ArtifactRequest, error: UserError) -> tuple[Ending, str]:
    """Return whose mistake it is: of a place on an axis that the data do not fit, its cells'."""
    if isinstance(error, MisfitError) and getattr(request, error.axis) != LATER_AXES[error.axis]:
        return "unfit", f"{request.name}: {error.what} {error.mend}"
    return "mistake", str(error)


def _out_of_room(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        # TensorFlow tells of a full disk in words.
        if "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _said(error: Exception) -> str:
    """Return the line of a converter's message that names the cause: the last error in it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if "error:" in line.lower()]
    text = (causes or lines or [type(error).__name__])[0]
    # In front of the cause stand lines of our own code, where the operation was traced.
    return text.rpartition("error: ")[2].rstrip(".")[:300]


def build(request: ArtifactRequest, folder: Path, base: Path | None) -> None:
    """Make the file, check it, and describe it.

    Raises
    ------
    UserError
        If the model itself cannot be used.
    UnfitError
        If the file must not be measured.
    Exception
        Of any type, from a converter.
    """
    path = folder / ABOUT[request.runtime].file
    make = _from_file if request.source.kind == "tflite" else _from_model
    reference = make(request, base, path)
    file = _described(path, base)
    check_operators(file)
    runner = _runner(request, base, path)
    examples = reference.examples
    outputs = [runner.run(example) for example in examples.check]
    check_outputs(outputs)
    found = agreement(outputs, reference.outputs) if reference.outputs else Agreement()
    labels, names = examples.labels, examples.names
    row = ArtifactRow(
        artifact_key=request.key,
        artifact_sha256=_sha256(path),
        artifact_bytes=path.stat().st_size,
        artifact_compressed_bytes=_compressed_bytes(path),
        recipe=request.quantization,
        source=request.spec.source,
        source_digest=request.source.digest,
        weights=request.spec.weights or "",
        converter=request.converter,
        operators=canonical_json(file.operators),
        error_rel_l2=found.rel_l2,
        error_max_abs=found.max_abs,
        error_cosine=found.cosine,
        top1_agreement=found.top1,
        reference=reference.name,
        labelled_top1=math.nan if labels is None else top1(outputs, labels, names),
        reference_top1=(
            top1(reference.outputs, labels, names)
            if labels is not None and reference.outputs
            else math.nan
        ),
        labelled_examples=0 if labels is None else len(labels),
        encoded_bytes=reference.encoded_bytes,
        holds=file.quantization if file.has_weights else "",
        **asdict(file.work),
    )
    describe(path, row, runner.latency_ns())


@dataclass(frozen=True)
class Reference:
    """What an artifact's outputs are held against."""

    name: str
    examples: Examples
    outputs: list[Outputs]
    """Of each example to check; empty where there is nothing to compare with."""
    encoded_bytes: int = 0


def _from_model(request: ArtifactRequest, base: Path | None, path: Path) -> Reference:
    """Convert a model, or make the file of the .tflite that was made of it before."""
    from suite.models.load import from_keras, load_saved_model

    name, spec, batch, encoded_bytes = request.model, request.spec, request.batch, 0
    if request.source.kind == "saved-model":
        model = made = load_saved_model(name, spec, request.source, batch)
    else:
        from suite.artifacts.made import Maker

        maker = Maker(request, ArtifactStore(path.parent.parent), path.parent)
        source = maker.source_model()
        model = made = from_keras(name, spec, source, request.resolution, batch)
        if request.optimization != NONE:
            optimized, encoded_bytes = maker.optimized_model()
            made = from_keras(name, spec, optimized, request.resolution, batch)
    examples = _examples(request, model.inputs)
    if base:
        _derive(request, base, path, examples.calibration)
    elif request.runtime == TENSORFLOW:
        freeze(made, path)
    else:
        io = request.spec.io
        path.write_bytes(_converted(request.quantization, made, examples.calibration, io))
    outputs = [
        [value.astype(np.float64) for value in model.run(example)] for example in examples.check
    ]
    return Reference(f"{request.spec.source} in TensorFlow", examples, outputs, encoded_bytes)


def _converted(
    quantization: str, model: Any, examples: Sequence[Example], io: IntegerType
) -> bytes:
    try:
        return convert(quantization, model, examples, io)
    except Exception as error:
        # The loop of a recurrent layer can be converted only where the batch is closed.
        if "TensorList" not in str(error) or model.with_batch_of_one is None:
            raise
        return convert(quantization, model.with_batch_of_one(), examples, io)


def _from_file(request: ArtifactRequest, base: Path | None, path: Path) -> Reference:
    """Take a ready .tflite as it is, or make something of it."""
    ready = request.source.path or path
    runner = tflite_runner(ready)
    examples = _examples(request, _inputs(request, runner))
    if base is None:
        shutil.copyfile(ready, path)
        return Reference("", examples, [])
    _derive(request, base, path, examples.calibration)
    outputs = [runner.run(example) for example in examples.check]
    return Reference(f"{request.spec.source} as it is", examples, outputs)


def _derive(
    request: ArtifactRequest, base: Path, path: Path, calibration: Sequence[Example]
) -> None:
    """Make an artifact of the .tflite that it is based on."""
    if request.runtime == OPENVINO:
        shutil.copyfile(base, path)
    elif request.runtime == ONNXRUNTIME:
        names = [spec.name for spec in tflite_runner(base).inputs]
        data = [dict(zip(names, example, strict=True)) for example in calibration]
        to_onnx(base, path, request.quantization, data)
    else:
        path.write_bytes(requantize(request.quantization, base, calibration, request.spec.io))


def _described(path: Path, base: Path | None) -> TfliteFile:
    """Describe an artifact, what is no .tflite as far as it can be."""
    if path.suffix == ".tflite":
        return read_tflite(path)
    # Of a file that is made of a .tflite, the number of multiplications is the same.
    work = Work(read_tflite(base).work.multiply_adds) if base else Work()
    return TfliteFile(operators(path), "", work)


def _runner(request: ArtifactRequest, base: Path | None, path: Path) -> Runner:
    """Return the artifact ready to be checked, by the runtime that it is for."""
    if request.runtime != TENSORFLOW:
        about = path if request.runtime == LITERT else base or path
        try:
            return tflite_runner(about, request.runtime, path)
        except UnfitError as error:
            if request.runtime != OPENVINO or "litert-quantizer" not in request.converter:
                raise
            raise UnfitError(
                f"{error}. litert-quantizer has made it of a ready file, which OpenVINO as a rule "
                "does not read: give the model itself, which TensorFlow quantizes"
            ) from error
    from suite.runtimes.tensorflow import TensorFlow

    model = TensorFlow(str(path))  # on the threads that this process has begun with
    ports = [
        Port(place, InputSpec(tensor.name, tensor.shape, tensor.dtype.name))
        for place, tensor in enumerate(model.inputs)
    ]
    return Runner(model, ABOUT[TENSORFLOW].title, ports)


def _inputs(request: ArtifactRequest, runner: Runner) -> Sequence[InputSpec]:
    """Return the inputs of a ready file, which keeps the shape that it has."""
    wanted = request.spec.input_shape
    if wanted and [spec.shape[1:] for spec in runner.inputs] != [wanted]:
        shapes = ", ".join(str(list(spec.shape)) for spec in runner.inputs)
        raise UserError(
            f"The inputs of {request.spec.source!r} are of shape {shapes}, not {list(wanted)}.",
            f"Leave input_shape away under [models.{request.model}]: a ready file keeps its own.",
        )
    if request.batch != 1 and {spec.shape[:1] for spec in runner.inputs} != {(request.batch,)}:
        raise UnfitError("it keeps the batch that it has: a ready file is not resized")
    return runner.inputs


def _examples(request: ArtifactRequest, inputs: Sequence[InputSpec]) -> Examples:
    calibrated = request.quantization in CALIBRATED
    count = request.spec.calibration_samples if calibrated else 0
    return examples_for(inputs, request.source.data_path, request.spec.preprocess, count)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _compressed_bytes(path: Path) -> int:
    """Return the size of the file under gzip -6, without keeping what it makes."""
    gzip = zlib.compressobj(COMPRESSION_LEVEL, wbits=31)
    with path.open("rb") as file:
        size = sum(len(gzip.compress(part)) for part in iter(lambda: file.read(1 << 20), b""))
    return size + len(gzip.flush())


if __name__ == "__main__":
    main()
