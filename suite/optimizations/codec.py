"""Weights encoded as small as pruning and shared values allow, and decoded to the last bit.

Source: Han, Mao and Dally (arXiv 1510.00149), sections 2 to 4: distances between the weights that
are left, places in a table of shared values, and Huffman codes for both. The codes are deflate's,
restricted to Huffman coding, as the standard library has them.
"""

import json
import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

SKIP = 255
"""In a stream of distances: as many zeros, and no weight after them."""
MOST_VALUES = 256


def encode(arrays: Sequence[Array]) -> bytes:
    """Encode arrays of float32, each in the way that makes it smallest.

    The file is the length of its header (4 bytes), the header (JSON, deflated: for each array its
    shape, how it is encoded and the length of each stream), and the streams.
    """
    header, streams = [], []
    for array in arrays:
        bits = np.ascontiguousarray(array, "<f4").view("<u4").ravel()
        how, chosen = min(_ways(bits), key=lambda way: sum(map(len, way[1])))
        header.append([list(array.shape), how, [len(stream) for stream in chosen]])
        streams += chosen
    packed = zlib.compress(json.dumps(header, separators=(",", ":")).encode(), 9)
    return len(packed).to_bytes(4, "little") + packed + b"".join(streams)


def decode(data: bytes) -> list[Array]:
    """Return the arrays that `encode` was given."""
    begin = 4 + int.from_bytes(data[:4], "little")
    arrays = []
    for shape, how, lengths in json.loads(zlib.decompress(data[4:begin])):
        ends = begin + np.cumsum([0, *lengths])
        streams = [data[a:b] for a, b in pairwise(ends)]
        begin = int(ends[-1])
        size = int(np.prod(shape))
        arrays.append(_bits(how, streams, size).view("<f4").reshape(shape))
    return arrays


def _ways(bits: npt.NDArray[np.uint32]) -> list[tuple[str, list[bytes]]]:
    """Return every way to encode an array that it allows: a name and streams."""
    left = bits[bits != 0]  # as bits: a negative zero is a value like another
    ways = [
        ("raw", [bits.tobytes()]),
        ("sparse", [_huffman(_distances(bits)), left.tobytes()]),
    ]
    table = np.unique(bits)
    if len(table) <= MOST_VALUES:
        ways.append(("shared", [table.tobytes(), _huffman(_places(table, bits))]))
    table = table[table != 0]
    if len(table) <= MOST_VALUES:
        streams = [_huffman(_distances(bits)), table.tobytes(), _huffman(_places(table, left))]
        ways.append(("sparse shared", streams))
    return ways


def _places(table: npt.NDArray[np.uint32], bits: npt.NDArray[np.uint32]) -> Bytes:
    return np.searchsorted(table, bits).astype(np.uint8)


def _bits(how: str, streams: list[bytes], size: int) -> npt.NDArray[np.uint32]:
    if how == "raw":
        return np.frombuffer(streams[0], "<u4")
    if how == "shared":
        return np.frombuffer(streams[0], "<u4")[_bytes(streams[1])]
    bits = np.zeros(size, "<u4")
    left = np.frombuffer(streams[1], "<u4")
    bits[_positions(_bytes(streams[0]))] = left if how == "sparse" else left[_bytes(streams[2])]
    return bits


def _distances(bits: npt.NDArray[np.uint32]) -> Bytes:
    """Return how many zeros lie before each weight that is left."""
    gaps = np.diff(np.flatnonzero(bits), prepend=-1) - 1
    skips = gaps // SKIP
    distances = np.full(int(skips.sum()) + len(gaps), SKIP, np.uint8)
    distances[np.cumsum(skips + 1) - 1] = gaps % SKIP
    return distances


def _positions(distances: Bytes) -> npt.NDArray[np.int64]:
    """Return where the weights that are left lie."""
    ends = np.cumsum(np.where(distances == SKIP, SKIP, distances.astype(np.int64) + 1))
    positions: npt.NDArray[np.int64] = ends[distances != SKIP] - 1
    return positions


def _huffman(symbols: Bytes) -> bytes:
    coder = zlib.compressobj(9, wbits=-15, strategy=zlib.Z_HUFFMAN_ONLY)
    return coder.compress(symbols.tobytes()) + coder.flush()


def _bytes(stream: bytes) -> Bytes:
    return np.frombuffer(zlib.decompress(stream, wbits=-15), np.uint8)
