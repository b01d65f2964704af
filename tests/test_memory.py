"""Memory of a trial: what is mapped, resident and in the arena."""

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from suite.trial.memory import arena_bytes, find_mapped
from tests.test_energy import measured

SMAPS = """\
7f0000000000-7f0000004000 r--p 00000000 fe:00 1          /models/a b\\012c.tflite
Size:                 16 kB
Rss:                   8 kB
Pss:                   8 kB
VmFlags: rd mr
7f0000004000-7f0000006000 rw-p 00000000 00:00 0
Rss:                   4 kB
7f0000008000-7f0000009000 r--p 00004000 fe:00 1          /models/a b\\012c.tflite
Rss:                   4 kB
7f000000a000-7f000000b000 r--p 00000000 fe:00 2          /models/c.tflite
Rss:                   4 kB
"""


def test_what_is_mapped_of_a_file() -> None:
    places, resident = find_mapped(SMAPS, "/models/a b\nc.tflite")
    assert places == [
        range(0x7F0000000000, 0x7F0000004000),
        range(0x7F0000008000, 0x7F0000009000),
    ]
    assert resident == 12 * 1024
    places, resident = find_mapped(SMAPS, "/models/absent.tflite")
    assert places == [] and math.isnan(resident)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=10))
def test_a_byte_of_the_arena_counts_once(tensors: list[tuple[int, int]]) -> None:
    ranges = [range(begin, begin + size) for begin, size in tensors]
    weights = [range(10, 20)]
    expected = {byte for at in ranges if at.start not in weights[0] for byte in at}
    assert arena_bytes(ranges, weights) == len(expected)
    assert math.isnan(arena_bytes(None, weights))


def test_the_memory_of_a_real_trial(tiny_tflite: Path) -> None:
    trial = measured(tiny_tflite)
    page = 4096
    assert 0 < trial.weights_rss_bytes <= -(-tiny_tflite.stat().st_size // page) * page
    assert trial.weights_rss_bytes < trial.steady_rss_bytes <= trial.peak_rss_bytes
    assert 0 < trial.load_rss_bytes < trial.steady_rss_bytes
    # XNNPACK keeps activations where they cannot be seen.
    assert trial.operators_delegated > 0
    assert math.isnan(trial.arena_bytes)
    assert math.isnan(trial.package_energy_j) and math.isnan(trial.frequency_during_hz)


def test_the_arena_of_the_runtimes_own_kernels(tiny_tflite: Path) -> None:
    trial = measured(tiny_tflite, delegate="none")
    first, second = 14 * 14 * 8 * 4, 12 * 12 * 16 * 4  # the largest tensors that live together
    assert first + second <= trial.arena_bytes < 10 * (first + second)
