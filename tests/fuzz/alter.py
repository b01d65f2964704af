"""Ways to alter a file, as hypothesis draws them: what fails is made small by it."""

import io
import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

from tests.fuzz import seeds


class File(bytes):
    """The content of a file; what hypothesis prints of it tells it from others."""

    def __repr__(self) -> str:
        return f"{len(self)} bytes, CRC {zlib.crc32(self):08x}"


PLACES = st.floats(0, 1, exclude_max=True)
NUMBERS = st.sampled_from([0, 1, 2, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
TEXT = st.sampled_from(["", "c0", "\0", "\x1b[31m", "\ud800", "../../x", "x" * 5000]) | st.text(
    max_size=5
)


@st.composite
def bytes_of(draw: st.DrawFn, content: bytes) -> bytes:
    """Change, cut, repeat or insert a few bytes."""
    altered = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = int(draw(PLACES) * len(altered))
        match draw(
            st.sampled_from(["bit", "bit", "number", "number", "cut", "drop", "put", "twice"])
        ):
            case "bit" if altered:
                altered[at] ^= 1 << draw(st.integers(0, 7))
            case "number":
                number = draw(NUMBERS).to_bytes(8, "little")[: draw(st.sampled_from([1, 2, 4, 8]))]
                altered[at : at + len(number)] = number
            case "cut":
                del altered[at:]
            case "drop":
                del altered[at : at + draw(st.integers(1, 40))]
            case "put":
                altered[at:at] = draw(st.binary(max_size=20))
            case _:
                altered[at:at] = altered[at : at + draw(st.integers(1, 2000))]
    return File(altered)


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | TEXT | NUMBERS | st.just(-1) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def json_of(draw: st.DrawFn, content: bytes) -> bytes:
    """Put something else in place of a value or two, or leave it out."""
    said = json.loads(content)
    for _ in range(draw(st.integers(1, 2))):
        if isinstance(said, dict | list) and said:
            _alter(draw, said)
    return File(json.dumps(said).encode())


def _alter(draw: st.DrawFn, inside: Any) -> None:
    while True:
        keys = [*inside] if isinstance(inside, dict) else range(len(inside))
        key = draw(st.sampled_from(keys))
        deeper = isinstance(inside[key], dict | list) and inside[key]
        if not deeper or draw(st.booleans()):
            break
        inside = inside[key]
    if draw(st.integers(0, 3)):
        inside[key] = draw(VALUES)
    else:
        del inside[key]


@st.composite
def journal_of(draw: st.DrawFn, content: bytes) -> bytes:
    """Alter what records say; their sizes and CRCs are right."""
    records = seeds.records(content)
    at = draw(st.integers(0, len(records) - 1))
    text, samples = records[at]
    if draw(st.booleans()):
        text = draw(json_of(text))
    elif draw(st.booleans()):
        samples = samples[: draw(st.integers(0, len(samples)))]
    else:
        text = draw(st.sampled_from([b"", b"{", b"[" * 100_000, b"3", b"{}", b"\xff", b"null"]))
    records[at] = text, samples
    if draw(st.booleans()):
        records.append(draw(st.sampled_from(records)))
    return File(b"".join(seeds.record(*record) for record in records))


# Results

DTYPES = ["i4", "i8", "u4", "f8", "f4", "u1", "S2", "S40", ">i4", ">f8", "c16", "b1"]


@st.composite
def results_of(draw: st.DrawFn, content: bytes) -> bytes:
    """Alter the structure of a file of results with HDF5's own means, and seal it again."""
    image = io.BytesIO(seeds.unsealed(content))
    with h5py.File(image, "r+") as file:
        for _ in range(draw(st.integers(1, 2))):
            name = draw(
                st.sampled_from(sorted([*file, *map("provenance/{}".format, file["provenance"])]))
            )
            if name in file:
                with suppress(OSError):  # what HDF5 will not do, as a name that is there already
                    draw(st.sampled_from(CHANGES))(draw, file, name)
        if draw(st.integers(0, 3)):
            with suppress(Exception):  # of what cannot be read there is none
                seeds.right_digest(file)
    altered = image.getvalue()
    return File(seeds.sealed(altered) if draw(st.booleans()) else altered)


Change = Callable[[st.DrawFn, h5py.File, str], None]


def _leave_out(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    del file[name]


def _add(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    file[f"more{draw(st.integers(0, 10**9))}"] = np.zeros(
        draw(st.integers(0, 9)), draw(st.sampled_from(DTYPES))
    )


def _another_type(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    del file[name]
    shape = draw(st.sampled_from([(), (0,), (1,), (3,), (3, 2), (120,)]))
    file[name] = np.zeros(shape, draw(st.sampled_from(DTYPES)))


def _another_value(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    data = file[name]
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "iufS" or not data.size:
        return
    if data.dtype.kind == "S":
        value: Any = draw(
            st.sampled_from([b"", b"\xff", b"x", b"= =", b"\x1b["]) | st.binary(max_size=9)
        )
    elif data.dtype.kind == "f":
        value = draw(st.floats(width=8 * data.dtype.itemsize))
    else:
        value = draw(
            st.integers(*(int(limit) for limit in _limits(data.dtype))) | st.integers(0, 9)
        )
    values = data[()]
    if data.shape:
        values[draw(st.integers(0, len(values) - 1))] = value
        data[...] = values
    else:
        data[()] = value


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _of_any_length(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    del file[name]
    file[name] = draw(st.sampled_from(["text", ["a", "bc"]]))


def _a_group(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    del file[name]
    file.create_group(name)


def _a_link(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    del file[name]
    links = [h5py.SoftLink("/"), h5py.SoftLink("/cell_id"), h5py.SoftLink("/nowhere")]
    links += [h5py.SoftLink(f"/{name}"), h5py.ExternalLink("/dev/zero", "/")]
    links += [h5py.ExternalLink("/proc/self/mem", "/x"), h5py.ExternalLink("seed", "/cell_id")]
    file[name] = draw(st.sampled_from(links))


def _itself(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    file[f"provenance/again{draw(st.integers(0, 10**9))}"] = file["provenance"]


def _a_lie(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    """Claim more than there is: nothing of it is stored."""
    del file[name]
    size = draw(st.sampled_from([2**20, 2**31, 2**40, 2**50]))
    chunks = draw(st.sampled_from([None, (2**10,)]))
    file.create_dataset(name, (size,), draw(st.sampled_from(["u8", "S40"])), chunks=chunks)


def _a_bomb(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    """Store much in little."""
    del file[name]
    file.create_dataset(
        name, data=np.zeros(2**22, "u1"), chunks=(2**22,), compression="gzip", shuffle=True
    )


def _elsewhere(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    """Have the data in another file of the disk."""
    del file[name]
    if draw(st.booleans()):
        file.create_dataset(name, (9,), "u1", external=[("/etc/passwd", 0, 9)])
    else:
        layout = h5py.VirtualLayout((9,), "u8")
        layout[:] = h5py.VirtualSource("/proc/self/mem", "x", (9,))
        file.create_virtual_dataset(name, layout)


def _another_filter(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    del file[name]
    filters = draw(
        st.sampled_from([{"scaleoffset": 2}, {"compression": "lzf"}, {"fletcher32": True}])
    )
    file.create_dataset(name, data=np.arange(3), chunks=(3,), **filters)


def _an_attribute(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    which = draw(st.sampled_from(["axes", "schema_version", "content_digest", "verdict"]))
    file.attrs[which] = draw(
        st.sampled_from(["", "1.1", "model", "model model", b"\xff", 3, [1.5, 2]])
    )


CHANGES: list[Change] = [
    *(_leave_out, _add, _another_type, _another_value, _another_value, _another_value, _a_group),
    *(_of_any_length, _a_link, _itself, _a_lie, _a_bomb, _elsewhere, _another_filter),
    _an_attribute,
]
