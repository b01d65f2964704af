"""Machines that stand in a folder: what /proc and /sys say on them."""

from collections.abc import Mapping
from pathlib import Path

from suite.topology import format_cpu_list

CPU = "sys/devices/system/cpu"
GROUP = "sys/fs/cgroup"
STAT = "cpu  0 0 0 0 0 0 0 0 0 0\n"


def lay(root: Path, *files: Mapping[str, str]) -> Path:
    """Write files, later ones over earlier, and return the root."""
    for path, text in {path: text for some in files for path, text in some.items()}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def topology(cpus: int, cores: int, numa_nodes: int = 1) -> dict[str, str]:
    """Return the files of CPUs: SMT siblings are `cores` apart, a NUMA node is a package."""
    files = {f"{CPU}/online": f"0-{cpus - 1}\n", "sys/devices/system/node/online": "0\n"}
    nodes: dict[int, list[int]] = {}
    for number in range(cpus):
        core = number % cores
        node = core * numa_nodes // cores
        nodes.setdefault(node, []).append(number)
        files[f"{CPU}/cpu{number}/topology/core_id"] = f"{core}\n"
        files[f"{CPU}/cpu{number}/topology/physical_package_id"] = f"{node}\n"
    for node, numbers in nodes.items():
        files[f"sys/devices/system/node/node{node}/cpulist"] = f"{format_cpu_list(numbers)}\n"
    return files


def proc(cpus: int, busy: int = 100, steal: int = 0, idle: int = 900) -> dict[str, str]:
    """Return /proc of a machine whose CPUs have each spent these ticks."""
    line = f"{busy - 30} 10 10 {idle} 0 5 5 {steal} 0 0"
    return {
        "proc/stat": STAT + "".join(f"cpu{n} {line}\n" for n in range(cpus)) + "ctxt 12345\n",
        "proc/loadavg": "1.50 1.25 1.00 2/345 6789\n",
        "proc/meminfo": "MemTotal: 1000 kB\nSwapTotal: 800 kB\nSwapFree: 800 kB\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    }


def frequency(cpus: int, **values: str) -> dict[str, str]:
    """Return the cpufreq files of CPUs; in kHz, as the kernel has them."""
    plain = {
        "scaling_governor": "performance",
        "scaling_cur_freq": "2600000",
        "base_frequency": "2500000",
    }
    files = (plain | values).items()
    return {f"{CPU}/cpu{n}/cpufreq/{k}": f"{v}\n" for n in range(cpus) for k, v in files}


CORETEMP = {
    "sys/class/hwmon/hwmon0/name": "nvme\n",
    "sys/class/hwmon/hwmon0/temp1_input": "90000\n",
    "sys/class/hwmon/hwmon1/name": "coretemp\n",
    "sys/class/hwmon/hwmon1/temp1_input": "62000\n",
    "sys/class/hwmon/hwmon1/temp1_crit": "100000\n",
    "sys/class/hwmon/hwmon1/temp10_input": "70000\n",
    "sys/class/hwmon/hwmon2/name": "coretemp\n",
    "sys/class/hwmon/hwmon2/temp1_input": "58000\n",
    "sys/class/hwmon/hwmon2/temp1_crit": "95000\n",
}
"""Two packages, the sensors of their cores, and a disk."""

NO_LIMIT_V2 = {
    "proc/self/cgroup": "0::/job\n",
    f"{GROUP}/job/cpu.max": "max 100000\n",
    f"{GROUP}/job/cpu.stat": "usage_usec 9\nnr_throttled 0\nthrottled_usec 0\n",
}

XEON = {
    **topology(16, cores=8, numa_nodes=2),
    **proc(16),
    **frequency(16),
    **CORETEMP,
    **NO_LIMIT_V2,
    f"{GROUP}/job/cpuset.cpus.effective": "0-15\n",
    f"{CPU}/intel_pstate/no_turbo": "1\n",
}
"""Two sockets with SMT, all of it ours, set up as it should be."""

ALTRA = {
    **topology(4, cores=4),
    **proc(4),
    **NO_LIMIT_V2,
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "arch_sys_counter\n",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "schedutil\n",
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "3000000\n",
    f"{CPU}/cpu0/acpi_cppc/nominal_freq": "2800\n",
    "sys/class/thermal/thermal_zone0/type": "acpitz\n",
    "sys/class/thermal/thermal_zone0/temp": "20000\n",
    "sys/class/thermal/thermal_zone1/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "55000\n",
    "sys/class/thermal/thermal_zone1/trip_point_0_type": "passive\n",
    "sys/class/thermal/thermal_zone1/trip_point_0_temp": "85000\n",
    "sys/class/thermal/thermal_zone1/trip_point_1_type": "critical\n",
    "sys/class/thermal/thermal_zone1/trip_point_1_temp": "105000\n",
}
"""An aarch64 server: no SMT, no turbo switch, thermal zones, CPPC."""

RAPL = "sys/class/powercap/intel-rapl"


def zone(place: str, name: str, energy_uj: int, range_uj: int = 262_143_328_850) -> dict[str, str]:
    """Return a zone of powercap: `place` is its number, behind those that it lies in."""
    return {
        f"{RAPL}:{place}/name": f"{name}\n",
        f"{RAPL}:{place}/energy_uj": f"{energy_uj}\n",
        f"{RAPL}:{place}/max_energy_range_uj": f"{range_uj}\n",
    }


RAPL_XEON = {
    **zone("0", "package-0", 1_000_000),
    **zone("0:0", "core", 10**11),
    **zone("0:1", "dram", 2_000_000, range_uj=65_712_999_613),
    **zone("1", "package-1", 3_000_000),
    **zone("1:0", "core", 10**11),
    **zone("1:1", "dram", 4_000_000, range_uj=65_712_999_613),
    **zone("2", "psys", 10**11),
    "sys/class/powercap/intel-rapl-mmio:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl-mmio:0/energy_uj": "1000000\n",
    "sys/class/powercap/intel-rapl-mmio:0/max_energy_range_uj": "262143328850\n",
}
"""Two packages with their memory; what is a part of them, the whole, or the same once more."""

RAPL_EPYC = {
    **zone("0", "package-0", 7, range_uj=65_532_610_987),
    **zone("0:0", "core", 10**9, range_uj=65_532_610_987),
}
"""AMD's: under Intel's name, without memory."""


def rise(root: Path, joules: Mapping[str, float]) -> None:
    """Let counters rise, each in the zone of its place, and begin anew behind their ranges."""
    for place, risen_j in joules.items():
        folder = root / f"{RAPL}:{place}"
        range_uj = int((folder / "max_energy_range_uj").read_text())
        value = int((folder / "energy_uj").read_text()) + round(risen_j * 1e6)
        temporary = folder / "new"
        temporary.write_text(f"{value % (range_uj + 1)}\n")
        temporary.replace(folder / "energy_uj")  # never half-written for who reads it
