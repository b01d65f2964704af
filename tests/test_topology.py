"""CPUs and the order in which threads take them, on machines that stand in a folder."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from suite.node import describe_node
from suite.topology import (
    Cpu,
    format_cpu_list,
    granted_cpus,
    parse_cpu_list,
    pin_order,
    place_instances,
    read_cpus,
)

cpus = st.lists(
    st.builds(
        lambda number, node, core: Cpu(node, node, core, number),
        st.integers(0, 500),
        st.integers(0, 3),
        st.integers(0, 20),
    ),
    unique_by=lambda cpu: cpu.number,
    max_size=40,
)


def machine(root: Path, layout: dict[int, tuple[int, int, int]]) -> Path:
    """Lay out a /sys with CPUs by number: NUMA node, package, core."""
    for number, (node, package, core) in layout.items():
        topology = root / f"devices/system/cpu/cpu{number}/topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text(f"{package}\n")
        (topology / "core_id").write_text(f"{core}\n")
        folder = root / f"devices/system/node/node{node}"
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [n for n, place in layout.items() if place[0] == node]
        (folder / "cpulist").write_text(format_cpu_list(numbers) + "\n")
    return root


def test_two_sockets_with_siblings_far_apart(tmp_path: Path) -> None:
    # As Linux numbers a two-socket Xeon: 0-3 on node 0, 4-7 on node 1, siblings 8 higher.
    layout = {n: (n % 8 // 4, n % 8 // 4, n % 4) for n in range(16)}
    found = read_cpus(range(16), machine(tmp_path, layout))
    assert pin_order(found) == tuple(range(16))


def test_siblings_side_by_side(tmp_path: Path) -> None:
    layout = {n: (0, 0, n // 2) for n in range(8)}
    found = read_cpus(range(8), machine(tmp_path, layout))
    assert pin_order(found) == (0, 2, 4, 6, 1, 3, 5, 7)


def test_only_granted_cpus_are_used(tmp_path: Path) -> None:
    layout = {n: (n // 2, n // 2, n) for n in range(4)}
    assert pin_order(read_cpus((1, 2, 3), machine(tmp_path, layout))) == (1, 2, 3)


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    assert pin_order(read_cpus((0, 3), tmp_path)) == (0, 3)


@given(cpus)
def test_the_order_is_a_permutation_with_whole_cores_first(cpus: list[Cpu]) -> None:
    order = pin_order(cpus)
    assert sorted(order) == sorted(cpu.number for cpu in cpus)
    place = {cpu.number: (cpu.package, cpu.core) for cpu in cpus}
    cores = len(set(place.values()))
    assert len({place[number] for number in order[:cores]}) == cores


@given(st.sets(st.integers(0, 300)))
def test_cpu_lists_are_written_as_they_are_read(numbers: set[int]) -> None:
    assert parse_cpu_list(format_cpu_list(numbers)) == tuple(sorted(numbers))


def test_this_machine_describes_itself() -> None:
    node = describe_node()
    assert node == describe_node()
    assert node.host
    assert node.microarchitecture
    assert parse_cpu_list(node.cpus_granted) == granted_cpus()
    assert node.cpus >= node.cores >= node.sockets >= 1
    assert node.memory_bytes > 2**28


@given(cpus, st.integers(1, 9), st.integers(1, 9))
def test_instances_have_cpus_of_their_own(found: list[Cpu], threads: int, instances: int) -> None:
    placed = place_instances(found, threads, instances)
    assert len(placed) == instances
    taken = [cpu for of_instance in placed for cpu in of_instance]
    assert set(taken) <= {cpu.number for cpu in found}
    if threads * instances <= len(found):
        assert len(set(taken)) == len(taken) == threads * instances
    if found and threads * instances > len(found):
        assert {len(set(mine)) for mine in placed} == {min(threads, len(found))}
        counts = [taken.count(cpu.number) for cpu in found]
        assert max(counts) - min(counts) <= 1


def test_one_instance_takes_the_cpus_that_its_threads_always_took() -> None:
    found = [Cpu(n // 4, n // 4, n % 4, n) for n in range(8)]
    for threads in range(1, 9):
        assert place_instances(found, threads, 1) == (pin_order(found)[:threads],)


def test_an_instance_stays_on_a_numa_node_and_on_cores_of_its_own() -> None:
    # Two nodes of 4 cores with two threads each: siblings are 8 apart.
    found = [Cpu(n // 4 % 2, n // 4 % 2, n % 4, n) for n in range(16)]
    assert place_instances(found, 3, 2) == ((0, 1, 2), (4, 5, 6))
    assert place_instances(found, 4, 4) == tuple(tuple(range(n, n + 4)) for n in (0, 4, 8, 12))
    # What is left of both nodes' cores, before any sibling.
    assert place_instances(found, 3, 3)[2] == (8, 9, 10)
    assert place_instances(found, 1, 9) == (*((n,) for n in range(8)), (8,))
