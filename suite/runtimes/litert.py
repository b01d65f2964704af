"""LiteRT, with XNNPACK or on its own kernels."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from suite.runtimes.delegation import Operator, count_delegated
from suite.runtimes.names import XNNPACK
from suite.runtimes.protocol import Tensor, Values, most_of


class LiteRt:
    """An interpreter with its tensors allocated."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.invoke = interpreter.invoke
        self._inputs = interpreter.get_input_details()

    @property
    def inputs(self) -> Sequence[Tensor]:
        """The inputs, in the order of the file."""
        return [
            Tensor(t["name"], np.dtype(t["dtype"]), tuple(t["shape"].tolist()))
            for t in self._inputs
        ]

    def set_inputs(self, values: Sequence[Values]) -> None:
        """Copy the inputs into their tensors."""
        for tensor, value in zip(self._inputs, values, strict=True):
            self.interpreter.set_tensor(tensor["index"], value)

    def outputs(self) -> Sequence[Values]:
        """Return copies of the output tensors."""
        return [
            self.interpreter.get_tensor(t["index"]) for t in self.interpreter.get_output_details()
        ]

    def delegation(self) -> tuple[int, int]:
        """Return the operators of the graph, and how many of them a delegate took."""
        return count_delegated(self._operators)

    def computes_in(self) -> str:
        """Return the types that its operators write: LiteRT computes in the types of its tensors.

        XNNPACK would compute float32 in float16 only if it were told to.
        """
        tensors = self.interpreter.get_tensor_details()
        types = {tensor["index"]: np.dtype(tensor["dtype"]).name for tensor in tensors}
        return most_of(
            types[int(written)]
            for operator in self._operators
            for written in operator["outputs"]
            if int(written) in types
        )

    def tensors(self) -> Sequence[range] | None:
        """Return the addresses of all tensors; None where a delegate has memory of its own."""
        if self.delegation()[1]:
            return None
        places = []
        try:
            for tensor in self.interpreter.get_tensor_details():
                view = self.interpreter.tensor(tensor["index"])()
                begin = view.__array_interface__["data"][0]
                places.append(range(begin, begin + view.nbytes))
        except ValueError:  # one that is not allocated, or of a type that numpy has not
            return None
        return places

    @cached_property
    def _operators(self) -> Sequence[Operator]:
        listed: Sequence[Operator] = self.interpreter._get_ops_details()
        return listed


def load(path: str, threads: int, delegate: str) -> LiteRt:
    """Open a .tflite file and allocate its tensors."""
    kernels = (
        OpResolverType.AUTO
        if delegate == XNNPACK
        else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter = Interpreter(
        model_path=path, num_threads=threads, experimental_op_resolver_type=kernels
    )
    interpreter.allocate_tensors()
    return LiteRt(interpreter)
