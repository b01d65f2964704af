"""What `litesweep peaks` says of a node: what it can do at best, by threads."""

import platform
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from suite.node import describe_node
from suite.peaks import READ_BYTES, Peaks, measure_peaks
from suite.topology import granted_cpus, pin_order, read_cpus

SHOWN_BYTES = (2**20, 2**24, 2**28)


def measure() -> Iterator[Peaks]:
    """Yield this node's peaks at one thread, at twice as many each time, and on all its CPUs."""
    cpus = pin_order(read_cpus(granted_cpus()))
    counts = {2**n for n in range(len(cpus).bit_length()) if 2**n <= len(cpus)} | {len(cpus)}
    for count in sorted(counts):
        yield measure_peaks(cpus[:count])


def to_json(peaks: list[Peaks]) -> dict[str, Any]:
    """Return peaks as `analysis.roofline` takes them."""
    node = describe_node()
    return {
        "host": platform.node(),
        "cpu_name": node.cpu_name,
        "microarchitecture": node.microarchitecture,
        "unix_ns": time.time_ns(),
        "read_bytes": READ_BYTES,
        "peaks": [asdict(each) for each in peaks],
    }


def print_peaks(peaks: list[Peaks], console: Console) -> None:
    """Print peaks for people."""
    table = Table(title=platform.node(), title_justify="left", box=None, header_style="bold")
    for heading in ("threads", "float32\nGMAC/s", "int8\nGMAC/s"):
        table.add_column(heading, justify="right")
    for size in SHOWN_BYTES:
        table.add_column(f"reads {size >> 20} MiB\nGB/s", justify="right")
    for each in peaks:
        rates = [each.read_bytes_per_s[READ_BYTES.index(size)] for size in SHOWN_BYTES]
        figures = (each.float32_macs_per_s, each.int8_macs_per_s, *rates)
        table.add_row(str(each.threads), *(f"{figure / 1e9:.1f}" for figure in figures))
    console.print(table)
