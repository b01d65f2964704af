"""Images: when they are built again, and what is said when that fails."""

import json
import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from rich.console import Console

from jobs.cluster import images
from jobs.cluster.images import (
    BuildOptions,
    build_image,
    check_image,
    checked_image,
    image_sha256,
    inspect_image,
)
from jobs.cluster.site import Site
from jobs.display import Display
from suite.errors import UserError

FAKE = """
    #!/bin/sh
    case $1 in
    build)
      echo "$@" >> "$CALLS"
      [ -z "$FAIL" ] || { echo "FATAL: no such mirror"; exit 255; }
      for word in "$@"; do
        case $word in *.building.sif) echo "image $(cat "$CALLS" | wc -l)" > "$word" ;; esac
      done ;;
    inspect) echo '{"data": {"attributes": {"labels": {"litesweep.litesweep": "'$RELEASE'"}}}}' ;;
    test) [ -z "$FAIL" ] || { echo "FATAL: it does not add up" >&2; exit 1; } ;;
    esac
"""


QUIET = Display(Console(quiet=True))


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stand-in for Apptainer writes how it was called; tests/cluster has the real one."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "apptainer"
    fake.write_text(textwrap.dedent(FAKE).lstrip())
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("RELEASE", images.version("litesweep"))
    monkeypatch.delenv("FAIL", raising=False)
    return tmp_path / "calls"


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what images are defined by, to change."""
    folder = tmp_path / "checkout" / "singularity"
    (folder.parent / "code" / "__pycache__").mkdir(parents=True)
    folder.mkdir()
    (folder.parent / "code" / "a.py").write_text("a")
    base = "# {{ MIRROR }}{{ SUITE }}{{ BOOTSTRAP }}\n"
    (folder / "ubuntu_base.def").write_text(base)
    text = (
        "From: {{ BASE }} {{ COMMIT }} {{ PIP_OPTIONS }}\n%files\n    ../code /opt/code\n\n%post\n"
    )
    (folder / "tflite.def").write_text(text)
    monkeypatch.setattr(images, "DEFINITIONS", folder)
    return folder


def test_built_again_only_where_something_has_changed(
    tmp_path: Path, calls: Path, definitions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, options = tmp_path / "images", BuildOptions(binds=("/ca",), arguments=("BASE2=1",))

    def built(options: BuildOptions = options) -> int:
        before = calls.read_text().count("\n") if calls.exists() else 0
        build_image("tflite", out, options, QUIET)
        return calls.read_text().count("\n") - before

    assert built() == 2
    assert built() == 0
    base, image = calls.read_text().splitlines()
    assert "--bind" not in base and "--bind /ca" in image
    assert f"--build-arg BASE={out}/ubuntu_base.sif" in image
    assert "BASE2" not in image  # the definition does not know it
    assert "--mksquashfs-args -comp lz4" in image

    (definitions.parent / "code" / "__pycache__" / "a.pyc").write_text("compiled")
    assert built() == 0
    monkeypatch.setattr(images, "git_commit", lambda: "another")  # of the same code
    assert built() == 0
    (out / "tflite.sif").write_bytes(b"half of i")  # a copy that was cut off
    assert built() == 1
    assert built() == 0
    (definitions.parent / "code" / "a.py").write_text("changed")
    assert built() == 1
    (definitions / "ubuntu_base.def").write_text("# another {{ MIRROR }}\n")
    assert built() == 2
    assert built(BuildOptions(compression="zstd")) == 2
    assert built(BuildOptions(compression="zstd")) == 0
    told = BuildOptions(compression="zstd", arguments=("PIP_OPTIONS=-q",))
    assert built(told) == 1  # which is nothing to the base
    mirrored = BuildOptions(compression="zstd", mirror="m")
    assert built(mirrored) == 2
    assert built(mirrored) == 0

    before = (out / "tflite.sif").read_bytes()
    (definitions.parent / "code" / "a.py").write_text("changed again")
    monkeypatch.setenv("FAIL", "yes")
    with pytest.raises(UserError, match=r"could not be built[\s\S]*no such mirror"):
        built(mirrored)
    assert (out / "tflite.sif").read_bytes() == before
    assert not list(out.glob("*.building.sif"))


def test_what_is_known_of_an_image(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "x.sif"
    image.write_bytes(b"image")
    seen = inspect_image(image)
    assert seen["sha256"] == image_sha256(image)
    assert seen["bytes"] == 5
    said: list[str] = []
    check_image(image, said.append)
    assert re.search("no record beside it", said[0])
    assert said[-1] == "its own test passes"

    monkeypatch.setenv("FAIL", "yes")
    with pytest.raises(UserError, match="does not add up"):
        check_image(image, said.append)
    monkeypatch.setenv("RELEASE", "0.0.0")
    with pytest.raises(UserError, match=r"holds litesweep 0\.0\.0"):
        check_image(image, said.append)
    record = {"sha256": "0", "made_of": "x"}
    (tmp_path / "x.sif.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="is not the image that was built"):
        check_image(image, said.append)


def test_what_cannot_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = BuildOptions()
    with pytest.raises(UserError, match="no image 'tflight'"):
        build_image("tflight", tmp_path, options, QUIET)
    with pytest.raises(UserError, match=r"x\.sif' cannot be read: No such file"):
        image_sha256(tmp_path / "x.sif")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="neither apptainer nor singularity"):
        build_image("ubuntu_base", tmp_path, options, QUIET)
    monkeypatch.setattr(images, "DEFINITIONS", tmp_path / "nowhere")
    with pytest.raises(UserError, match="come with a checkout"):
        build_image("tflite", tmp_path, options, QUIET)


# Signatures


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """An image that the key `ours.pem` has signed, and keys: of the real Apptainer and openssl."""
    for tool in ("apptainer", "mksquashfs", "openssl"):
        if not shutil.which(tool):
            assert "CI" not in os.environ, f"{tool} is to be there under CI"
            pytest.skip(f"there is no {tool} on this machine")
    (tmp_path / "root").mkdir()

    def do(*command: str) -> None:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    for name in ("ours", "theirs"):
        do("openssl", "genpkey", "-algorithm", "ed25519", "-out", f"{name}.key")
        do("openssl", "pkey", "-in", f"{name}.key", "-pubout", "-out", f"{name}.pem")
    do("apptainer", "-q", "build", "image.sif", "root")
    shutil.copy(tmp_path / "image.sif", tmp_path / "unsigned.sif")
    do("apptainer", "sign", "--key", "ours.key", "image.sif")
    return tmp_path / "image.sif"


def a_site(folder: Path, verify: str) -> Site:
    container = {"image": "image.sif", "verify": verify}
    table = {"cpu_types": {"a": {"cpus": 1}}, "container": container}
    return Site.of(table, folder / "site.toml", folder)


def test_an_image_is_verified_where_the_site_demands_it(signed: Path) -> None:
    folder = signed.parent
    assert checked_image(signed, a_site(folder, "ours.pem")) == image_sha256(signed)
    damaged = folder / "damaged.sif"
    content = bytearray(signed.read_bytes())
    content[content.find(b"hsqs") + 100] ^= 1
    damaged.write_bytes(content)
    for image, verify, said in (
        (signed, "theirs.pem", "verify"),
        (signed, "absent.pem", "absent.pem"),
        (signed, "keyring", "verify"),
        (folder / "unsigned.sif", "ours.pem", "signature not found"),
        (damaged, "ours.pem", "integrity"),
    ):
        with pytest.raises(UserError, match=f"not signed as .*{verify}(?s:.*){said}"):
            checked_image(image, a_site(folder, verify))
