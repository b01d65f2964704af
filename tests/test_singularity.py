"""The definition files, as far as they can be held without building an image."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "singularity"
DEFINITIONS = sorted(FOLDER.glob("*.def"))


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.stem)
def test_a_definition_names_no_host(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"https?://|\b[a-z0-9-]+\.(com|org|net|io)\b", text)
    for section in ("%arguments", "%post", "%test"):
        assert re.search(rf"^{section}$", text, flags=re.MULTILINE)
    # Every argument that is used has a default, and every default is used.
    used = set(re.findall(r"{{ (\w+) }}", text))
    declared = set(re.findall(r"^    ([A-Z_]+)=", text.split("%arguments")[1].split("%")[0], re.M))
    assert used == declared


def test_the_tflite_image_is_built_on_the_local_base() -> None:
    text = (FOLDER / "tflite.def").read_text()
    assert "Bootstrap: localimage" in text
    assert "BASE=ubuntu_base.sif" in text
    copied = text.split("%files")[1].split("%post")[0].split()[::2]
    assert copied
    for source in copied:
        assert (FOLDER / source).exists(), source


def test_the_images_own_test_passes_here() -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / "smoke.py"], capture_output=True, text=True, check=True
    )
    assert "LiteRT adds up: [0. 2. 4. 6.]" in done.stdout
