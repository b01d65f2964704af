"""The site file: what it may say, and what is said of a mistake in it."""

import re
from pathlib import Path

import pytest

from jobs.cluster.site import _TABLES, Site, find_site
from suite.artifacts.store import ArtifactStore
from suite.errors import UserError
from tests.conftest import REPOSITORY

LEAST = """
[cpu_types.type_a]
partition = "batch"
constraint = "type_a"
nodes = 2
cpus = 2
expect = "icelake"

[container]
runtime = "apptainer"
image = "images/tflite.sif"

[mpi]
type = "pmi2"
"""


def load(folder: Path, text: str = LEAST) -> Site:
    (folder / "site.toml").write_text(text)
    return Site.load(folder / "site.toml")


def test_the_least_that_a_site_holds(tmp_path: Path) -> None:
    site = load(tmp_path)
    assert site.cpu_types["type_a"].nodes == 2
    assert site.cpu_types["type_a"].exclusive
    assert site.image("type_a") == tmp_path / "images/tflite.sif"
    assert Site.restore(site.dump()).image("type_a") == site.image("type_a")
    assert Site.restore(site.dump()) == site


def test_the_example_is_a_site_with_an_image_for_each_architecture() -> None:
    site = Site.load(REPOSITORY / "jobs/examples/site.toml")
    assert site.image("altra") != site.image("skylake")


def test_every_key_that_the_example_names_is_one(tmp_path: Path) -> None:
    text = (REPOSITORY / "jobs/examples/site.toml").read_text()
    said = re.sub(r"^# (?=\w+ = |\[)", "", text, flags=re.MULTILINE)
    site = load(tmp_path, said)
    assert site.build and site.slurm.parallel
    keys = {key for table in _TABLES.values() for key in table.model_fields} - {"cpu_types"}
    assert not [key for key in keys if not re.search(rf"\b{key}\b( =|\])", text)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[mpi]", "[mip]", "there is no key 'mip' here. Did you mean 'mpi'?"),
        ("constraint", "constrain", "[cpu_types.type_a]: there is no key 'constrain' here."),
        ('"icelake"', '"icelakes"', "Did you mean 'icelake'?"),
        ("cpus = 2\n", "", "[cpu_types.type_a] cpus is missing"),
        ("cpus = 2", "cpus = 0", "0 will not do"),
        ('"apptainer"', '"docker"', '"docker" will not do'),
        ('image = "images/tflite.sif"', "", "image is missing"),
        ('"pmi2"', '"none"', "nodes = 2 needs MPI"),
        ('"batch"', '"batch\\n#SBATCH --evil"', "must be one line"),
        ("[mpi]", '[build]\nimage = "b.sif"\ncpu_type = "type_b"\n[mpi]', "Did you mean 'type_a'?"),
        (
            'runtime = "apptainer"\nimage = "images/tflite.sif"',
            'runtime = "none"\n[build]\nimage = "b.sif"\ncpu_type = "type_a"',
            "[build] image needs a [container] runtime",
        ),
        ("[mpi]", "[mpi", "is not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in LEAST
    with pytest.raises(UserError) as error:
        load(tmp_path, LEAST.replace(old, new))
    assert said in str(error.value)
    assert "site.toml" in str(error.value)
    assert "\n#SBATCH" not in str(error.value)


def test_where_a_site_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured = tmp_path / "config" / "litesweep"
    beside = tmp_path / "sweeps"
    configured.mkdir(parents=True)
    beside.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(UserError, match="There is no site file") as error:
        find_site(None, beside)
    named = [word for word in error.value.mend.split() if "/" in word]
    assert [path.name for path in map(Path, named)] == ["site.toml", "cluster.md"]
    assert all((REPOSITORY / path).is_file() for path in named)
    (configured / "site.toml").touch()
    assert find_site(None, beside) == configured / "site.toml"
    (beside / "site.toml").touch()
    assert find_site(None, beside) == beside / "site.toml"
    (configured / "big.toml").touch()
    assert find_site("big", beside) == configured / "big.toml"
    assert find_site(str(beside / "site.toml"), beside) == beside / "site.toml"
    with pytest.raises(UserError, match="nowhere"):
        find_site("nowhere", beside)


def test_a_home_that_nobody_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = '[cpu_types.a]\ncpus = 1\n[container]\nimage = "~no-such-user/x.sif"\n'
    (tmp_path / "site.toml").write_text(said)
    image = Site.load(tmp_path / "site.toml").image("a")
    assert image and image.name == "x.sif"
    monkeypatch.setenv("HOME", "~")  # as that of a user whom the machine does not know
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "LITESWEEP_STORE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="no site file"):
        find_site(None, tmp_path / "nowhere")
    with pytest.raises(UserError, match="--store"):
        ArtifactStore.at()
