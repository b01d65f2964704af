"""LiteRT with its profiler on: what each operator of an invocation has taken.

The Python package's interpreter cannot be asked for that. The library beside it holds the same
runtime and the same XNNPACK behind a C interface that can (`litert/c/*.h`), which nobody has
promised to keep: all that is known of it is in this module, of the releases in `KNOWN`.
"""

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import ai_edge_litert

from suite.runtimes.names import XNNPACK
from suite.runtimes.protocol import Tensor, Values

KNOWN = ("2.3.",)
"""Releases whose C interface is what is written here."""
CPU = 1
READ, WRITE = 0, 1
FIRST_SIGNATURE = c_size_t(0)
MAIN_SUBGRAPH = 0
OWN_OPERATOR = 1 << 1
DELEGATED_OPERATOR = 1 << 2 | 1 << 3


@dataclass(frozen=True)
class Operator:
    """One operator of one invocation."""

    type: str
    """As the runtime calls it: `CONV_2D`, or `Convolution (NHWC, F32) IGEMM` by XNNPACK."""
    delegate: str
    """Empty where a kernel of the runtime's own has run it."""
    elapsed_us: int
    """Of XNNPACK's, what was left of a microsecond is cut off."""


class _Event(ctypes.Structure):
    """`ProfiledEventData` of litert_profiler_event.h."""

    _fields_ = (
        ("tag", c_char_p),
        ("type", c_int),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("memory", c_size_t * 6),
        ("node", c_uint64),
        ("subgraph", c_uint64),
        ("source", c_int),
    )


class _Layout(ctypes.Structure):
    """`LiteRtLayout` of litert_layout.h: rank and flags, dimensions, strides."""

    _fields_ = (("words", c_uint32 * 17),)


class _TensorType(ctypes.Structure):
    """`LiteRtRankedTensorType` of litert_model_types.h."""

    _fields_ = (("element", c_int), ("layout", _Layout))


class ProfiledModel:
    """A .tflite file, loaded with the profiler on.

    Nothing is ever freed: it lives as long as its process.

    Parameters
    ----------
    inputs
        Of the file's main graph, by which the first signature's are found.

    Raises
    ------
    RuntimeError
        If this release of LiteRT is not known, or it refuses.
    """

    def __init__(self, path: str, threads: int, delegate: str, inputs: Sequence[Tensor]) -> None:
        self._library = _library()
        self._environment = self._made("LiteRtCreateEnvironment", c_int(0), None)
        self._file = self._made("LiteRtCreateModelFromFile", self._environment, path.encode())
        self._model = self._made(
            "LiteRtCreateCompiledModel",
            self._environment,
            self._file,
            self._options(threads, "delegate" if delegate == XNNPACK else "builtin"),
        )
        self._profiler = self._made("LiteRtCompiledModelGetProfiler", self._model)
        self._signature = self._made("LiteRtGetModelSignature", self._file, FIRST_SIGNATURE)
        found = dict(zip(self._names("Input"), self._buffers("Input"), strict=True))
        if {tensor.name for tensor in inputs} != found.keys():
            raise RuntimeError("its first signature is not of its main graph")
        self._inputs = [found[tensor.name] for tensor in inputs]
        self._outputs = self._buffers("Output")
        arguments = [(c_void_p * len(b))(*b) for b in (found.values(), self._outputs)]
        self._arguments = [each for a in arguments for each in (c_size_t(len(a)), a)]

    def set_inputs(self, values: Sequence[Values]) -> None:
        """Copy the inputs, in the order in which they were given, into their tensors."""
        for buffer, value in zip(self._inputs, values, strict=True):
            address = self._made("LiteRtLockTensorBuffer", buffer, then=(c_int(WRITE),))
            ctypes.memmove(address, value.tobytes(), value.nbytes)
            self._call("LiteRtUnlockTensorBuffer", buffer)

    def outputs(self) -> dict[str, bytes]:
        """Return what the last invocation has left, by the tensors' names."""
        found = {}
        for name, buffer in zip(self._names("Output"), self._outputs, strict=True):
            size = c_size_t()
            self._call("LiteRtGetTensorBufferPackedSize", buffer, byref(size))
            address = self._made("LiteRtLockTensorBuffer", buffer, then=(c_int(READ),))
            found[name] = ctypes.string_at(address, size.value)
            self._call("LiteRtUnlockTensorBuffer", buffer)
        return found

    def profile(self) -> list[Operator]:
        """Run the model once; return its operators in the order of execution.

        What a loop or a branch runs is within the operator that it is.
        """
        self._call("LiteRtStartProfiler", self._profiler)  # forgets what was before, too
        self._call("LiteRtRunCompiledModel", self._model, FIRST_SIGNATURE, *self._arguments)
        count = c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, byref(count))
        events = (_Event * count.value)()
        self._call("LiteRtGetProfilerEvents", self._profiler, count, events)
        return [
            Operator(
                type=event.tag.decode(),
                delegate=XNNPACK if event.type & DELEGATED_OPERATOR else "",
                elapsed_us=event.elapsed_us,
            )
            for event in events
            if event.type & (OWN_OPERATOR | DELEGATED_OPERATOR) and event.subgraph == MAIN_SUBGRAPH
        ]

    def _options(self, threads: int, kernels: str) -> c_void_p:
        options = self._made("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, c_int(CPU))
        libc = ctypes.CDLL(None)
        libc.strdup.restype = c_void_p
        for name, text in {
            "runtime_options_string": "enable_profiling = true\n",
            "xnnpack": f'num_threads = {threads}\nkernel_mode = "{kernels}"\n',
        }.items():
            payload = c_void_p(libc.strdup(text.encode()))
            opaque = self._made("LiteRtCreateOpaqueOptions", name.encode(), payload, libc.free)
            self._call("LiteRtAddOpaqueOptions", options, opaque)
        return options

    def _names(self, kind: str) -> list[str]:
        names = []
        for tensor in self._tensors(kind):
            name = c_char_p()
            self._call("LiteRtGetTensorName", tensor, byref(name))
            names.append((name.value or b"").decode())
        return names

    def _tensors(self, kind: str) -> list[c_void_p]:
        count = c_size_t()
        self._call(f"LiteRtGetNumSignature{kind}s", self._signature, byref(count))
        return [
            self._made(f"LiteRtGetSignature{kind}TensorByIndex", self._signature, c_size_t(n))
            for n in range(count.value)
        ]

    def _buffers(self, kind: str) -> list[c_void_p]:
        """Make the tensors that an invocation reads or writes, of the sizes that it has now."""
        buffers = []
        tensors = self._tensors(kind)
        for number, (tensor, layout) in enumerate(zip(tensors, self._layouts(kind), strict=True)):
            described = _TensorType()
            self._call("LiteRtGetRankedTensorType", tensor, byref(described))
            described.layout = layout
            required = self._made(
                f"LiteRtGetCompiledModel{kind}BufferRequirements",
                *(self._model, FIRST_SIGNATURE, c_size_t(number)),
            )
            buffers.append(
                self._made(
                    "LiteRtCreateManagedTensorBufferFromRequirements",
                    *(self._environment, byref(described), required),
                )
            )
        return buffers

    def _layouts(self, kind: str) -> "ctypes.Array[_Layout]":
        count = len(self._tensors(kind))
        layouts = (_Layout * count)()
        if kind == "Output":
            get, first = "LiteRtGetCompiledModelOutputTensorLayouts", self._model
            self._call(get, first, FIRST_SIGNATURE, c_size_t(count), layouts, c_bool(True))
        for number in range(count if kind == "Input" else 0):
            get = "LiteRtGetCompiledModelInputTensorLayout"
            self._call(get, self._model, FIRST_SIGNATURE, c_size_t(number), byref(layouts[number]))
        return layouts

    def _made(self, function: str, *arguments: object, then: tuple[object, ...] = ()) -> c_void_p:
        """Call a function that leaves a pointer behind its `arguments`, in front of `then`."""
        made = c_void_p()
        self._call(function, *arguments, byref(made), *then)
        return made

    def _call(self, function: str, *arguments: object) -> None:
        try:
            called = self._library[function]
        except AttributeError:
            raise RuntimeError(f"LiteRT's library has no {function}") from None
        if status := called(*arguments):
            raise RuntimeError(f"LiteRT refuses: {function} returns {status}")


def _library() -> ctypes.CDLL:
    release = version("ai-edge-litert")
    if not release.startswith(KNOWN):
        raise RuntimeError(f"the profiler of LiteRT {release} is not known to us")
    try:
        return ctypes.CDLL(str(Path(ai_edge_litert.__file__).with_name("libLiteRt.so")))
    except OSError as error:
        raise RuntimeError(f"the profiler needs LiteRT's C library: {error}") from None
