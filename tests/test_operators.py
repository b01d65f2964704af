"""The work of an invocation, counted from shapes."""

import math

import pytest

from suite.models.operators import Operator, Tensor, Work, work_of


def floats(*shape: int) -> Tensor:
    return Tensor("FLOAT32", False, shape)


def constant(*shape: int, buffer: int = 1, kind: str = "INT8") -> Tensor:
    held = Tensor(kind, True, shape).bytes
    return Tensor(kind, True, shape, buffer, held)


def operator(name: str, inputs: list[Tensor], *outputs: Tensor) -> Operator:
    return Operator(name, tuple(inputs), outputs)


@pytest.mark.parametrize(
    ("asked", "multiply_adds"),
    [
        # 5 by 5 places, 8 channels out of 3, filters of 3 by 3
        (
            operator("CONV_2D", [floats(1, 5, 5, 3), constant(8, 3, 3, 3)], floats(1, 5, 5, 8)),
            5 * 5 * 8 * 3 * 3 * 3,
        ),
        # in 4 groups, each of which sees 2 of the 8 channels
        (
            operator("CONV_2D", [floats(1, 5, 5, 8), constant(8, 3, 3, 2)], floats(1, 5, 5, 8)),
            5 * 5 * 8 * 3 * 3 * 2,
        ),
        (
            operator(
                "DEPTHWISE_CONV_2D",
                [floats(2, 9, 9, 8), constant(1, 3, 3, 16)],
                floats(2, 4, 4, 16),
            ),
            2 * 4 * 4 * 16 * 3 * 3,
        ),
        (
            operator(
                "CONV_3D", [floats(1, 4, 4, 4, 2), constant(3, 3, 3, 2, 5)], floats(1, 2, 2, 2, 5)
            ),
            8 * 5 * 27 * 2,
        ),
        (
            operator(
                "TRANSPOSE_CONV",
                [constant(4), constant(6, 2, 2, 3), floats(1, 5, 5, 3)],
                floats(1, 10, 10, 6),
            ),
            5 * 5 * 3 * 6 * 2 * 2,
        ),
        (
            operator("FULLY_CONNECTED", [floats(7, 64), constant(10, 64)], floats(7, 10)),
            7 * 64 * 10,
        ),
        (
            operator("BATCH_MATMUL", [floats(4, 6, 32), floats(4, 32, 9)], floats(4, 6, 9)),
            4 * 6 * 32 * 9,
        ),
        # the same, with the left one lying transposed
        (
            operator("BATCH_MATMUL", [floats(4, 32, 6), floats(4, 32, 9)], floats(4, 6, 9)),
            4 * 6 * 32 * 9,
        ),
        (
            operator(
                "UNIDIRECTIONAL_SEQUENCE_LSTM",
                [
                    floats(2, 5, 3),
                    *[constant(4, 3) for _ in range(4)],
                    *[constant(4, 4) for _ in range(4)],
                    constant(4),
                ],
                floats(2, 5, 4),
            ),
            2 * 5 * 4 * (4 * 3 + 4 * 4),
        ),
        (operator("ADD", [floats(1, 8), floats(1, 8)], floats(1, 8)), 0),
    ],
    ids=lambda value: value.name if isinstance(value, Operator) else "",
)
def test_multiply_adds(asked: Operator, multiply_adds: int) -> None:
    assert work_of([[asked]]).multiply_adds == multiply_adds


def test_bytes_count_each_constant_once() -> None:
    shared = constant(10, 64, buffer=3)
    graph = [
        operator("FULLY_CONNECTED", [floats(1, 64), shared], floats(1, 10)),
        operator("FULLY_CONNECTED", [floats(1, 64), shared], floats(1, 10)),
        operator("ADD", [floats(1, 10), constant(3, buffer=4, kind="INT4")], floats(1, 10)),
    ]
    work = work_of([graph])
    assert work.weight_bytes == 640 + 2  # three elements of four bits take two bytes
    assert work.activation_bytes == 4 * (2 * (64 + 10) + 2 * 10)


def test_weights_that_are_unpacked_at_loading_are_no_activations() -> None:
    unpacked = floats(10, 64)
    graph = [
        operator("DEQUANTIZE", [constant(10, 64, kind="FLOAT16")], unpacked),
        operator("FULLY_CONNECTED", [floats(1, 64), unpacked], floats(1, 10)),
    ]
    assert work_of([graph]) == Work(640.0, 1280.0, 4.0 * (64 + 10))


@pytest.mark.parametrize(
    "graph",
    [
        [operator("WHILE", [floats(1)], floats(1))],  # who knows how often
        [operator("ADD", [floats(-1, 8)], floats(-1, 8))],
    ],
)
def test_what_the_graph_does_not_tell_is_not_a_number(graph: list[Operator]) -> None:
    work = work_of([graph, []])
    assert all(map(math.isnan, (work.multiply_adds, work.weight_bytes, work.activation_bytes)))
