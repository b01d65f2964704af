"""Who measured: the description of this machine."""

import platform
import re
from dataclasses import asdict, replace
from pathlib import Path

import archspec.cpu
import psutil

from suite.canonical import digest
from suite.results.rows import NodeRow
from suite.topology import format_cpu_list, granted_cpus, parse_cpu_list, read_cpus, text_of


def describe_node(root: Path = Path("/")) -> NodeRow:
    """Describe the machine that this process runs on; what it does not offer is empty or -1.

    Parameters
    ----------
    root
        Where `proc` and `sys` are found.
    """
    cpuinfo = _cpuinfo(root / "proc/cpuinfo")
    online = parse_cpu_list((root / "sys/devices/system/cpu/online").read_text())
    cpus = read_cpus(online, root / "sys")
    cores = {(cpu.package, cpu.core) for cpu in cpus}
    # archspec names some machines for an older relative, so the raw identity stands beside it.
    host = archspec.cpu.host()
    row = NodeRow(
        node_id="",
        host=platform.node(),
        cpu_vendor=cpuinfo.get("vendor_id", host.vendor),
        cpu_family=int(cpuinfo.get("cpu family", -1)),
        cpu_model=int(cpuinfo.get("model", -1)),
        cpu_stepping=int(cpuinfo.get("stepping", -1)),
        cpu_microcode=cpuinfo.get("microcode", ""),
        cpu_name=cpuinfo.get("model name", platform.processor()),
        microarchitecture=host.name,
        cpu_features=cpuinfo.get("flags", cpuinfo.get("Features", "")),
        sockets=len({cpu.package for cpu in cpus}),
        cores=len(cores),
        cpus=len(cpus),
        cpus_granted=format_cpu_list(granted_cpus()),
        threads_per_core=-(-len(cpus) // len(cores)),
        numa_nodes=len({cpu.numa_node for cpu in cpus}),
        memory_bytes=psutil.virtual_memory().total,
        kernel=f"{platform.system()} {platform.release()}",
        governor=text_of(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    )
    return replace(row, node_id=digest(asdict(row), 16))


def _cpuinfo(path: Path) -> dict[str, str]:
    """Return the first processor's entries of /proc/cpuinfo."""
    first = path.read_text().split("\n\n")[0]
    return dict(re.findall(r"^([^\t:]+?)\s*: ?(.*)$", first, flags=re.MULTILINE))
