"""Files of strangers: a clear error or a correct result, and no crash, hang, traceback or bomb."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import analysis
from jobs.collect import collect
from suite.errors import UserError
from suite.journal import MAGIC, Journal, read_journal
from suite.models.tflite_file import describe
from suite.results.read import read_results
from suite.results.write import write_results
from tests.fuzz import alter, seeds
from tests.fuzz.child import Child
from tests.fuzz.targets import JOURNAL, TARGETS
from tests.rows import a_run

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
"""Of each test, the same every time; `make fuzz` asks for more, and for others."""
SLOW = ("results", "results without a seal", "shard")
"""Where a process of its own looks at a file first, if it has lost its seal."""
fuzzed = settings(
    max_examples=EXAMPLES,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
Alter = Callable[[bytes], st.SearchStrategy[bytes]]
STRUCTURED: dict[str, Alter] = {
    **dict.fromkeys(("plan", "run", "site", "artifact", "progress"), alter.json_of),
    "journal": alter.journal_of,
    "results": alter.results_of,
    "shard": alter.results_of,
}
"""Files whose parts are altered one by one."""


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    with Child(tmp_path_factory.mktemp("fuzz")) as child:
        yield child


def check(child: Child, name: str, content: bytes) -> str:
    """Have a file read, look at what is said of it, and return how it ended."""
    said = child.read(name, content)
    assert said["ended"] in ("read", "refused"), said["said"]
    if said["ended"] == "refused":
        assert 10 < len(said["said"]) < 1500, said["said"]
        assert "Traceback" not in said["said"]
    return str(said["ended"])


@pytest.mark.parametrize("name", TARGETS)
def test_files_as_they_should_be(tmp_path: Path, child: Child, name: str) -> None:
    for content in TARGETS[name].seeds(tmp_path):
        assert check(child, name, content) == "read"


@pytest.mark.parametrize("name", TARGETS)
def test_altered_bytes(tmp_path: Path, child: Child, name: str) -> None:
    found = [*map(alter.File, TARGETS[name].seeds(tmp_path))]

    @settings(fuzzed, max_examples=max(1, EXAMPLES // 5) if name in SLOW else EXAMPLES)
    @given(content=st.sampled_from(found).flatmap(alter.bytes_of))
    def holds(content: bytes) -> None:
        event(check(child, name, content))

    holds()


@pytest.mark.parametrize("name", STRUCTURED)
def test_altered_parts(tmp_path: Path, child: Child, name: str) -> None:
    found = [*map(alter.File, TARGETS[name].seeds(tmp_path))]

    @fuzzed
    @given(content=st.sampled_from(found).flatmap(STRUCTURED[name]))
    def holds(content: bytes) -> None:
        event(check(child, name, content))

    holds()


# What was found


def edited(tmp_path: Path, change: Callable[[h5py.File], None]) -> bytes:
    """Return results that a tool has changed which knows of digest and seal."""
    image = io.BytesIO(seeds.unsealed(seeds.results_file(tmp_path / "seed")))
    with h5py.File(image, "r+") as file:
        change(file)
        with suppress(Exception):
            seeds.right_digest(file)
    return seeds.sealed(image.getvalue())


def put(file: h5py.File, name: str, values: Any, **how: Any) -> None:
    del file[name]
    if isinstance(values, h5py.SoftLink | h5py.ExternalLink):
        file[name] = values
    else:
        file.create_dataset(name, **({"data": values} if values is not None else {}), **how)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: put(f, "cell_index", np.array([-2, 0, 0], "i4")), "not there"),
        (lambda f: put(f, "cell_index", np.array([7, 0, 0], "i4")), "out of bounds"),
        (lambda f: put(f, "row_size", np.array([-40, 80, 80], "i8")), "numbers of samples"),
        (lambda f: put(f, "row_size", np.array([2**62] * 3, "i8")), "numbers of samples"),
        (lambda f: put(f, "round", np.array([np.nan] * 3)), "is no i4"),
        (lambda f: put(f, "trial_id", np.array([1, 2, 3], "i8")), "no text"),
        (lambda f: put(f, "status", ["ok"] * 3), "fixed length"),
        (lambda f: put(f, "status", np.array([b"\xff"] * 3)), "utf-8"),
        (lambda f: put(f, "host", h5py.ExternalLink("/dev/zero", "/x")), "'host'"),
        (lambda f: put(f, "host", h5py.SoftLink("/host")), "'host'"),
        (lambda f: put(f, "provenance", h5py.ExternalLink("/etc/passwd", "/x")), "provenance"),
        (
            lambda f: put(f, "latency_ns", None, shape=(9,), dtype="u8", external="/etc/passwd"),
            "another file",
        ),
        (lambda f: put(f, "latency_ns", None, shape=(2**40,), dtype="u8"), "more than it can"),
        (
            lambda f: put(f, "latency_ns", np.arange(120, dtype="u8"), compression="lzf"),
            "packed in another way",
        ),
    ],
)  # fmt: skip
def test_results_that_lead_elsewhere_or_do_not_fit(
    tmp_path: Path, change: Callable[[h5py.File], None], said: str
) -> None:
    (tmp_path / "results.h5").write_bytes(edited(tmp_path, change))
    with pytest.raises(UserError, match=r"results\.h5") as caught:
        read_results(tmp_path / "results.h5")
    assert said in str(caught.value)
    if said != "utf-8":  # what is no text is shown as such where it is asked for
        with pytest.raises(UserError, match=r"results\.h5"):
            analysis.open_results(tmp_path / "results.h5").load()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("journal", seeds.record(b"[" * 100_000)),
        ("journal", seeds.record(b'{"run_id": [], "kind": "node", "values": {}}')),
        ("journal", seeds.record(b'{"run_id": "run", "kind": "trial", "values": {}}', b"1234567")),
        ("sent", b'{"name": "n", "job_ids": ["1"]}'),
        ("sent", b'{"name": "n", "at": "x", "slices": [0]}'),
        ("sent", b"[]"),
        ("run", b"[]"),
        ("plan", b"[" * 100_000),
        ("site", b"{}"),
        (
            "other tools",
            b'{"model": "m", "num_threads": 1, "latency": {"avg_ms": 1%s}}' % (b"0" * 400),
        ),
        ("other tools", seeds.OTHERS["pyperf"].replace('"loops": 1', '"loops": "x"').encode()),
    ],
)
def test_files_that_ended_in_a_traceback(child: Child, name: str, content: bytes) -> None:
    assert check(child, name, content) == "refused"


@pytest.mark.parametrize("text", ["[" * 100_000, "a" + ".a" * 60_000 + " = 1", "a = " + "1" * 5000])
def test_a_provenance_that_would_take_for_ever(tmp_path: Path, text: str) -> None:
    results = a_run(({}, [100] * 6), provenance={"sweep": text, "packages": text, "name": "n"})
    write_results(tmp_path / "results.h5", results)
    shown = analysis.open_results(tmp_path / "results.h5")
    assert analysis.to_json(shown)
    analysis.write_report(shown, tmp_path / "report.html")


def test_bytes_that_look_like_many_records_are_not_all_checked(tmp_path: Path) -> None:
    """Each head claims all that follows: to check each would take hours."""
    head = len(seeds.record(b""))
    heads = 20_000
    path = tmp_path / "a.journal"
    path.write_bytes(
        b"".join(
            MAGIC + ((heads - n - 1) * head).to_bytes(4, "little") + bytes(8) for n in range(heads)
        )
    )
    with pytest.raises(UserError, match="damaged as no fault would do it"):
        read_journal(path)


def test_a_node_whose_record_is_damaged_costs_its_trials_until_it_is_recorded_again(
    tmp_path: Path,
) -> None:
    folder = seeds.run_folder(tmp_path / "run")
    path = folder.path / JOURNAL
    content = bytearray(seeds.journal(path))
    content[60] ^= 1
    path.write_bytes(content)
    collect(folder)
    assert read_results(folder.results_file).trials == ()
    with Journal(path, "run") as journal:
        journal.append(*seeds.results().nodes)
    collect(folder)
    assert len(read_results(folder.results_file).trials) == 3


def test_a_model_whose_names_are_all_one_long_text() -> None:
    """Tensors may be one and the same, a million times, and each is read."""
    model = bytearray(seeds.tflite())
    describe(bytes(model))
    tensors = schema.Model.GetRootAs(bytes(model), 0).Subgraphs(0)
    vector = tensors._tab.Vector(tensors._tab.Offset(4))
    tensor = vector + int.from_bytes(model[vector : vector + 4], "little")
    count = 3_000_000
    start = len(model) + -len(model) % 4
    model += bytes(start - len(model)) + count.to_bytes(4, "little")
    places = np.arange(start + 4, start + 4 + 4 * count, 4)
    model += ((tensor - places) % 2**32).astype("<u4").tobytes()
    field = tensors._tab.Pos + tensors._tab.Offset(4)
    model[field : field + 4] = (start - field).to_bytes(4, "little")
    with pytest.raises(IndexError, match="more entries"):
        describe(bytes(model))
