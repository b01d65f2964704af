"""Sweep and site files that nobody has meant: a clear error or a correct result, and soon."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from jobs.cluster import site as sites
from jobs.cluster.site import Site
from suite import sweep as sweeps
from suite.cells import MOST_CELLS, expand
from suite.errors import UserError
from suite.sweep import Sweep
from suite.toml_file import MOST_CHARACTERS
from tests.conftest import REPOSITORY

EXAMPLES = {
    Sweep: [path for path in (REPOSITORY / "jobs/examples").glob("*.toml") if path.stem != "site"],
    Site: [REPOSITORY / "jobs/examples/site.toml"],
}
TABLES: dict[Any, Any] = {Sweep: sweeps._TABLES, Site: sites._TABLES}
kinds = pytest.mark.parametrize("kind", [Sweep, Site])
fuzzed = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(kind: Any, path: Path) -> Any:
    """Load a file; return None where it is refused, having looked at what is said of it."""
    try:
        loaded = kind.load(path)
    except UserError as error:
        event("refused")
        said = str(error)
        assert str(path) in said
        assert 10 < len(said) - len(str(path)) < 1500
        drawn = path.read_bytes().decode(errors="replace")
        for word in ("Traceback", "Error:", "pydantic", "validation error", "codec", "None"):
            assert word not in said or word in drawn, said
        return None
    event("taken")
    return loaded


# Text


snippets = st.sampled_from(
    [
        *("\ufeff", "\0", "\r", "\n", "[", "]", "[[", "]]", "=", '"""', "'''", "{", "}", "#", "."),
        *("1e999", "nan", "-0", "1_0", "0x1F", "1979-05-27", "true", "\\u0000", "\u202e", "\x1b["),
    ]
)


@kinds
@fuzzed
@given(data=st.data())
def test_a_file_with_something_put_in_or_taken_out(
    tmp_path: Path, kind: Any, data: st.DataObject
) -> None:
    text = data.draw(st.sampled_from(EXAMPLES[kind])).read_text()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        out = data.draw(st.sampled_from([0, 0, 1, 5, 50]))
        text = text[:at] + data.draw(snippets | st.text(max_size=5)) + text[at + out :]
    path = tmp_path / "file.toml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    check(kind, path)


@kinds
@fuzzed
@given(
    content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-16"))
)
def test_a_file_of_something_else(tmp_path: Path, kind: Any, content: bytes) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(content)
    check(kind, path)


# Structure


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["float32", "int8", "local", "20 min", "2 GB", "seed:0", "keras:ResNet50", "m"]
    )
    | st.dates(max_value=date(9999, 1, 1))
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner)
)


def tables(kind: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Draw what looks like a file of this kind: its tables and keys, with anything in them."""

    def table(model: type[BaseModel]) -> st.SearchStrategy[Any]:
        keys = st.sampled_from([*model.model_fields]) | st.text(max_size=6)
        return st.dictionaries(keys, values, max_size=5)

    parts: dict[str, st.SearchStrategy[Any]] = {}
    for name, model in TABLES[kind].items():
        if name.endswith(".*"):
            named = st.sampled_from(["m", "a b", ""]) | st.text(max_size=5)
            parts[name.removesuffix(".*")] = st.dictionaries(named, table(model), max_size=3)
        elif name:
            parts[name] = table(model) | st.lists(table(model), max_size=2) | values
    return st.fixed_dictionaries({}, optional={"name": values, **parts})


@kinds
@fuzzed
@given(data=st.data())
def test_tables_with_anything_in_them(tmp_path: Path, kind: Any, data: st.DataObject) -> None:
    table = _without_none(data.draw(tables(kind)))
    path = tmp_path / "file.toml"
    path.write_bytes(tomli_w.dumps(table).encode(errors="replace"))
    check(kind, path)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    return [_without_none(v) for v in value if v is not None] if isinstance(value, list) else value


@fuzzed
@given(data=st.data())
def test_an_example_with_another_value_is_a_sweep_or_is_refused(
    tmp_path: Path, data: st.DataObject
) -> None:
    """What is taken is what the file says, and it has cells, or says why not."""
    table = tomllib.loads(data.draw(st.sampled_from(EXAMPLES[Sweep])).read_text())
    part: Any = table
    while isinstance(part, dict) and part:
        holder, key = part, data.draw(st.sampled_from([*part]))
        part = part[key]
    holder[key] = data.draw(values.filter(lambda value: value is not None))
    path = tmp_path / "file.toml"
    path.write_bytes(tomli_w.dumps(_without_none(table)).encode(errors="replace"))
    if sweep := check(Sweep, path):
        again = tmp_path / "again.toml"
        again.write_text(sweep.text)
        assert Sweep.load(again) == sweep
        try:
            assert expand(sweep, lambda _: "float32")
        except UserError as error:
            assert "cells" in str(error)


# In time, and without taking all memory


def a_sweep(**axes: Any) -> str:
    table = {"name": "s", "axes": {"model": ["m"], **axes}, "models": {"m": {"source": "m.tflite"}}}
    return tomli_w.dumps(table)


LARGE: dict[str, Callable[[], str]] = {
    "digits": lambda: "name = " + "1" * 5000,
    "deep lists": lambda: "name = " + "[" * 200_000,
    "deep tables": lambda: "name = " + "{a=" * 200_000,
    "a long dotted key": lambda: "a." * 200_000 + "a = 1",
    "many dotted keys": lambda: "\n".join("a." * 900 + f"b{n} = 1" for n in range(500)),
    "many tables": lambda: "\n".join(f"[a{n}.b]" for n in range(80_000)),
    "many twins": lambda: a_sweep(threads=[1] * 200_000),
    "many values": lambda: a_sweep(threads=list(range(1, 150_000))),
    "a long name": lambda: a_sweep(quantization=["x" * 500_000]),
    "a long key": lambda: a_sweep(**{"x" * 500_000: 1}),
    "a huge grid": lambda: a_sweep(
        threads=list(range(1, 4097)), batch=list(range(1, 4097)), resolution=list(range(1, 4097))
    ),
    "too long": lambda: "#" * (MOST_CHARACTERS + 1),
}
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (500 * 2**20,) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
sys.argv = ["litesweep", "plan", sys.argv[1]]
from jobs.cli import main
main()
"""


@pytest.mark.parametrize("what", LARGE)
def test_a_file_that_would_take_for_ever(tmp_path: Path, tiny_tflite: Path, what: str) -> None:
    (tmp_path / "m.tflite").write_bytes(tiny_tflite.read_bytes())
    (tmp_path / "s.toml").write_text(LARGE[what]())
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "s.toml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr[-500:]
    assert len(done.stderr) < 1500 and "Traceback" not in done.stderr


def test_what_is_said_of_files_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    for content, said in (
        (b"\xff\xfe[\0", "is not text in UTF-8 (byte 0)"),
        (b"hello world", "is not valid TOML: line 1, column 7: expected '=' after a key"),
        (b"a = " + b"1" * 5000, "is not valid TOML: a number has too many digits"),
        (json.dumps({"name": "s"}).encode(), "is not valid TOML: line 1, column 1: invalid"),
    ):
        path.write_bytes(content)
        for kind in (Sweep, Site):
            with pytest.raises(UserError) as caught:
                kind.load(path)
            assert said in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xef\xbb\xbf" + a_sweep().encode())
    assert Sweep.load(path).text == a_sweep()


def test_the_largest_grid_is_counted_before_it_is_made() -> None:
    axes = {"model": ("m",), "threads": (1, 2), "batch": tuple(range(1, 1001))}
    table = {"name": "s", "models": {"m": {"source": "m.tflite"}}, "axes": axes}
    largest = {**axes, "resolution": tuple(range(1, MOST_CELLS // 2000 + 2))}
    with pytest.raises(UserError, match="2,002,000 cells"):
        expand(Sweep.model_validate({**table, "axes": largest}), lambda _: "float32")
    excluded = [{"threads": [7]}] * 50_001
    with pytest.raises(UserError, match="held against"):
        expand(Sweep.model_validate({**table, "exclude": excluded}), lambda _: "float32")
    include = [{"batch": [n], "threads": [3]} for n in range(1, 11)]
    whole = Sweep.model_validate({**table, "include": include})
    assert len(expand(whole, lambda _: "float32")) == 2010
