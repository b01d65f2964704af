"""How much of a model a delegate runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

DELEGATE = "DELEGATE"

Operator = Mapping[str, Any]
"""As the interpreter lists them: `op_name`, and the numbers of its tensors, `inputs`, `outputs`."""


def count_delegated(operators: Sequence[Operator]) -> tuple[int, int]:
    """Return how many operators the model has, and how many of them a delegate took.

    The runtime leaves the operators that a delegate took in its list and puts a DELEGATE behind
    them for each connected part. What it took lies on the ways from that node's outputs back to its
    inputs.
    """
    model = [operator for operator in operators if operator["op_name"] != DELEGATE]
    maker = {int(t): number for number, op in enumerate(model) for t in op["outputs"]}
    taken = {
        number
        for delegate in operators
        if delegate["op_name"] == DELEGATE
        for number in _between(delegate, model, maker)
    }
    return len(model), len(taken)


def _between(
    delegate: Operator, model: Sequence[Operator], maker: Mapping[int, int]
) -> Iterator[int]:
    """Yield the numbers of the operators between a delegate's inputs and outputs."""
    seen = {int(tensor) for tensor in delegate["inputs"]}
    waiting = [int(tensor) for tensor in delegate["outputs"]]
    while waiting:
        tensor = waiting.pop()
        if tensor in seen or tensor not in maker:
            continue
        seen.add(tensor)
        yield maker[tensor]
        waiting += map(int, model[maker[tensor]]["inputs"])
