"""Reading a .tflite file that anyone may have made."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suite.errors import UserError
from suite.models.tflite_file import TfliteFile, describe, read_tflite


@pytest.fixture(scope="session")
def content(tiny_tflite: Path) -> bytes:
    return tiny_tflite.read_bytes()


def test_a_float_model(tiny_tflite: Path) -> None:
    found = read_tflite(tiny_tflite)
    assert found.quantization == "float32"
    assert found.variable_operators == ()
    assert found.operators["CONV_2D"] == 2
    assert found.operators["FULLY_CONNECTED"] == 1
    weights = (8 * 27, 16 * 72, 16 * 10)  # of the layers of `tests.models`
    used = sum(places * count for places, count in zip((14**2, 12**2, 1), weights, strict=True))
    assert found.work.multiply_adds == used
    assert 4 * sum(weights) < found.work.weight_bytes <= tiny_tflite.stat().st_size


def test_a_file_cut_anywhere_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    for end in (*range(0, len(content), 61), len(content) - 64, len(content) // 2):
        path.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"truncated|no \.tflite"):
            read_tflite(path)


@pytest.mark.parametrize("junk", [b"", b"TFL3", b"    TFL3", b"PK\3\4" * 100, bytes(10_000)])
def test_what_is_no_model_is_refused(junk: bytes, tmp_path: Path) -> None:
    path = tmp_path / "junk.tflite"
    path.write_bytes(junk)
    with pytest.raises(UserError, match=r"junk\.tflite"):
        read_tflite(path)


@given(st.data())
@settings(max_examples=300, deadline=2000)
def test_altered_bytes_give_a_description_or_an_error_and_end_soon(
    content: bytes, data: st.DataObject
) -> None:
    altered = bytearray(content)
    places = data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8))
    for place in places:
        altered[place] = data.draw(st.integers(0, 255))
    try:
        found = describe(bytes(altered))
    except Exception as error:
        assert not isinstance(error, MemoryError | RecursionError)
    else:
        assert isinstance(found, TfliteFile)


def test_a_count_that_no_file_has_room_for(content: bytes) -> None:
    """Every vector's length made huge, one at a time: none may be believed."""
    for place in range(8, min(len(content), 4000), 4):
        altered = bytearray(content)
        altered[place : place + 4] = (0x7FFFFFF0).to_bytes(4, "little")
        try:
            describe(bytes(altered))
        except Exception as error:
            assert not isinstance(error, MemoryError | RecursionError)
