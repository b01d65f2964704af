"""The sweep file: what is accepted, what is refused and in what words."""

import random
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from suite import Axes, ModelSpec, Points, Sweep, UserError
from suite.cells import Cell, axes_of, expand

EXAMPLES = Path(__file__).parent.parent / "jobs" / "examples"
MINIMAL = """
name = "least"
[axes]
model = ["m"]
[models.m]
source = "keras:ResNet50"
"""


def own(model: str) -> str:
    return "float32"


def load(tmp_path: Path, text: str) -> Sweep:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    return Sweep.load(path)


def test_the_least_sweep_has_sensible_defaults(tmp_path: Path) -> None:
    sweep = load(tmp_path, MINIMAL)
    [cell] = expand(sweep, own)
    assert cell.axes == {
        "model": "m",
        "quantization": "float32",
        "threads": 1,
        "cpu_type": "local",
    }
    assert sweep.models["m"].weights == "seed:0"
    assert (sweep.measure.precision, sweep.measure.min_trials) == (0.02, 6)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("resnet50-baseline", 10),
        ("resnet50-demo", 9),
        ("cluster-demo", 8),
        ("mnist", 6),
        ("optimizations", 88),
    ],
)
def test_examples_are_sweeps_and_kept_verbatim(name: str, cells: int) -> None:
    path = EXAMPLES / f"{name}.toml"
    sweep = Sweep.load(path)
    assert sweep.text == path.read_text()
    assert sweep.folder == path.parent
    assert len(expand(sweep, own)) == cells


def test_a_sweep_from_objects_writes_a_file_that_reads_as_itself(tmp_path: Path) -> None:
    sweep = Sweep(
        name="objects",
        axes=Axes(model=("m",), threads=(1, 2)),
        models={"m": ModelSpec(source="m.tflite")},
        exclude=(Points(threads=(2,)),),
    )
    again = load(tmp_path, sweep.text)
    assert again.sweep_hash == sweep.sweep_hash
    assert again.model_dump() == sweep.model_dump()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("thread = [1]", ["[axes]", "'thread'", "'threads'"]),
        ("threads = [0]", ["[axes] threads, value 1", "greater than or equal to 1"]),
        ("threads = [true]", ["[axes] threads, value 1: true will not do", "integer"]),
        ("threads = []", ["[axes] threads", "empty"]),
        ("threads = [1, 1]", ["[axes] threads", "1 is listed more than once"]),
        ("threads = 1", ["[axes] threads", "1 must be a list"]),
        ('quantization = ["int4"]', ["[axes] quantization, value 1", "'int4'"]),
        ('quantization = ["flot32"]', ["'flot32'", "'float32'"]),
        ('optimization = ["prune"]', ["[axes] optimization, value 1", "write prune@"]),
        ('optimization = ["prune@0.5", "prune@0.50"]', ["prune@0.5 is listed more than once"]),
        ("batch = [0]", ["[axes] batch, value 1", "greater than or equal to 1"]),
        ("resolution = [0]", ["[axes] resolution, value 1", "greater than or equal to 1"]),
        ('cpu_type = ["a b"]', ["[axes] cpu_type, value 1", "'a b'", "letters"]),
    ],
)
def test_a_mistake_on_an_axis_is_named(tmp_path: Path, change: str, words: list[str]) -> None:
    text = MINIMAL.replace("[axes]", f"[axes]\n{change}")
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    for word in [*words, "sweep.toml"]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "(and" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", ["not valid TOML"]),
        ('[axes]\nmodel = ["m"]', ["name", "missing"]),
        (MINIMAL.replace("[models.m]", "[models.n]"), ["[models.m]", "Known: n"]),
        (MINIMAL + 'wieghts = "seed:0"', ["[models.m]", "'wieghts'", "'weights'"]),
        (MINIMAL + 'weights = "seed:x"', ["[models.m] weights", "'seed:x'"]),
        (MINIMAL.replace("keras:ResNet50", "m.keras") + 'weights = "a"', ["file brings its own"]),
        (MINIMAL + "input_shape = [0, 3]", ["[models.m] input_shape, value 1"]),
        (
            MINIMAL.replace("keras:ResNet50", "example:mnist-cnn") + 'weights = "imagenet"',
            ["weights of an 'example:'", "'trained'"],
        ),
        (MINIMAL + "fine_tune.epochs = -1", ["[models.m] fine_tune epochs", "-1"]),
        (MINIMAL + "preprocess.scales = 1", ["[models.m] preprocess", "'scales'", "'scale'"]),
        (MINIMAL + "preprocess.std = [1, 0]", ["[models.m] preprocess", "std must not be 0"]),
        (MINIMAL + '[measure]\nbudget = "soon"', ["[measure] budget", "'soon'", "20 min"]),
        (MINIMAL + "[measure]\nprecision = 2", ["[measure] precision", "less than 1"]),
        (MINIMAL + "[measure]\nmin_trials = 9\nmax_trials = 3", ["9", "max_trials = 3"]),
        (
            MINIMAL + "[[exclude]]\nquantisation = 'int8'",
            ["[[exclude]] number 1", "'quantization'"],
        ),
        (MINIMAL + "[[exclude]]", ["[[exclude]] number 1", "names no axis"]),
        (MINIMAL + "[[include]]\nmodel = 'mm'", ["[[include]] model", "[models.mm]"]),
        (MINIMAL + "[extra]", ["'extra'"]),
        (MINIMAL.replace("[axes]", "[axis]"), ["no key 'axis' here", "'axes'", "1 more"]),
        (MINIMAL + "[measure]\nbudget = true", ["[measure] budget: true", "number"]),
        (MINIMAL + "[measure]\nprecision = true", ["[measure] precision: true", "number"]),
    ],
)
def test_a_mistake_elsewhere_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["a b", "a'b", 'a"b', "a/b", "a\nb", "x" * 300, "", "../up", "ü"])
def test_names_that_no_file_system_should_see(tmp_path: Path, name: str) -> None:
    for table in (
        {"name": name, "axes": {"model": ["m"]}, "models": {"m": {"source": "a"}}},
        {"name": "n", "axes": {"model": [name]}, "models": {name: {"source": "a"}}},
    ):
        with pytest.raises(UserError, match="cannot be a name") as caught:
            load(tmp_path, tomli_w.dumps(table))
        assert len(str(caught.value)) < 400


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not text in UTF-8"):
        Sweep.load(path)
    with pytest.raises(UserError, match="no sweep file"):
        Sweep.load(tmp_path / "absent.toml")
    with pytest.raises(UserError, match="cannot be read"):
        Sweep.load(tmp_path)


def test_exclude_and_include(tmp_path: Path) -> None:
    sweep = load(
        tmp_path,
        MINIMAL.replace("[axes]", '[axes]\nquantization = ["float32", "int8"]\nthreads = [1, 2]')
        + "[[exclude]]\nquantization = 'int8'\nthreads = [2, 4]\n"
        + "[[include]]\nquantization = 'int16x8'\nthreads = 4\n",
    )
    got = {(cell.quantization, cell.threads) for cell in expand(sweep, own)}
    assert got == {("float32", 1), ("float32", 2), ("int8", 1), ("int16x8", 4)}


def test_an_axis_that_came_later_is_there_once_it_is_used(tmp_path: Path) -> None:
    plain = expand(load(tmp_path, MINIMAL), own)
    named = expand(
        load(tmp_path, MINIMAL.replace("[axes]", '[axes]\noptimization = ["none"]')), own
    )
    assert named == plain
    assert axes_of(plain) == ("model", "quantization", "threads", "cpu_type")
    values = '["prune@0.50", "none", "prune@0.5+cluster@16"]'
    text = MINIMAL.replace("[axes]", f"[axes]\noptimization = {values}")
    cells = expand(load(tmp_path, text), own)
    assert axes_of(cells) == (*axes_of(plain), "optimization")
    assert [cell.optimization for cell in cells] == ["prune@0.5", "none", "prune@0.5+cluster@16"]
    assert cells[1] == plain[0]
    assert len({cell.cell_id for cell in cells}) == 3
    assert str(cells[0]) == "m prune@0.5 float32 1 thread on local"
    fewer = expand(load(tmp_path, text + "[[exclude]]\noptimization = 'none'"), own)
    assert [cell.optimization for cell in fewer] == ["prune@0.5", "prune@0.5+cluster@16"]
    more = text.replace(values, '["none"]') + "[[include]]\noptimization = 'ternary'"
    assert [cell.optimization for cell in expand(load(tmp_path, more), own)] == ["none", "ternary"]


def test_later_axes_stand_in_the_name_of_a_cell(tmp_path: Path) -> None:
    axes = '[axes]\noptimization = ["ternary"]\nresolution = [64]\nbatch = [1, 8]'
    cells = expand(load(tmp_path, MINIMAL.replace("[axes]", axes)), own)
    assert [str(cell) for cell in cells] == [
        "m ternary 64px float32 1 thread on local",
        "m ternary 64px batch 8 float32 1 thread on local",
    ]
    assert axes_of(cells)[4:] == ("optimization", "resolution", "batch")


def test_an_example_brings_its_data_along(tmp_path: Path) -> None:
    short = load(tmp_path, MINIMAL.replace("keras:ResNet50", "example:mnist-cnn"))
    spec = short.models["m"]
    assert (spec.weights, spec.data) == ("trained", "example:mnist")
    assert spec.preprocess is not None
    example = Sweep.load(EXAMPLES / "mnist.toml").models["mnist"]
    assert example == spec


def test_a_grid_of_nothing_is_refused(tmp_path: Path) -> None:
    sweep = load(tmp_path, MINIMAL + "[[exclude]]\nthreads = 1\n")
    with pytest.raises(UserError, match="no cells"):
        expand(sweep, own)


def test_what_a_model_comes_with_stands_in_for_an_absent_axis(tmp_path: Path) -> None:
    [cell] = expand(load(tmp_path, MINIMAL), lambda model: "int8")
    assert cell.quantization == "int8"


def test_cell_ids_are_what_they_were() -> None:
    # Results of other days are joined by these: a change here breaks every history.
    cells = {
        str(cell): cell.cell_id for cell in expand(Sweep.load(EXAMPLES / "resnet50-demo.toml"), own)
    }
    assert cells["resnet50 float32 1 thread on local"] == "00836173527dabfe"


quantizations = st.lists(
    st.sampled_from(["float32", "dynamic", "float16", "int8"]), min_size=1, unique=True
)
thread_counts = st.lists(st.integers(1, 64), min_size=1, max_size=5, unique=True)


@given(quantizations, thread_counts, st.randoms(use_true_random=False))
def test_no_reordering_changes_a_cell_id_or_the_hash(
    quantization: list[str], threads: list[int], rng: random.Random
) -> None:
    table = {
        "name": "law",
        "axes": {"model": ["a", "b"], "quantization": quantization, "threads": threads},
        "models": {
            "a": {"source": "a.tflite", "input_shape": [1, 2]},
            "b": {"source": "keras:ResNet50", "weights": "seed:1"},
        },
    }
    sweep, other = Sweep.model_validate(table), Sweep.model_validate(_shuffled(table, rng))
    assert sweep.sweep_hash == other.sweep_hash
    cells = {cell.cell_id: cell for cell in expand(sweep, own)}
    assert cells == {cell.cell_id: cell for cell in expand(other, own)}
    assert len(cells) == 2 * len(quantization) * len(threads)


def _shuffled(value: object, rng: random.Random) -> object:
    if isinstance(value, dict):
        items = [(key, _shuffled(part, rng)) for key, part in value.items()]
        rng.shuffle(items)
        return dict(items)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return rng.sample(value, len(value))
    return value


@given(st.text(max_size=60))
def test_any_text_is_a_sweep_or_a_clear_error(text: str) -> None:
    try:
        Sweep.model_validate({"name": text, "axes": {"model": [text]}, "models": {}})
    except ValueError as error:
        assert "Traceback" not in str(error)


def test_cells_read_like_a_sentence() -> None:
    assert str(Cell("m", "int8", 2, "local")) == "m int8 2 threads on local"
