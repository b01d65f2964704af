"""Container images: building them from the checkout's definitions, and holding them to a record."""

import hashlib
import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs.cluster.site import Site
from jobs.display import Display, Seen
from jobs.provenance import git_commit
from suite.atomic import write_whole
from suite.canonical import digest
from suite.errors import UserError
from suite.files import open_file

DEFINITIONS = Path(__file__).resolve().parents[2] / "singularity"
BASE = "ubuntu_base"
NAMES = (BASE, "tflite", "tensorflow")
COMPRESSION = "lz4"
"""Starts faster than zstd and gzip: see singularity/README.md."""
LAST_LINES = 5
SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class BuildOptions:
    """How images are built on this machine."""

    mirror: str = ""
    """Of packages, for debootstrap; empty for a registry."""
    suite: str = "bookworm"
    """The release to take from the mirror."""
    arguments: tuple[str, ...] = ()
    """Build arguments, as NAME=VALUE."""
    binds: tuple[str, ...] = ()
    """What pip needs of this machine, such as its TLS roots."""
    fakeroot: bool = False
    compression: str = COMPRESSION


def build_image(name: str, out: Path, options: BuildOptions, display: Display) -> Path:
    """Build the image `name` in the folder `out`, and the base that it stands on, where needed.

    An image is built again only if its definition, the build's arguments, its base or the code
    that it copies has changed, or it is not the one that was built. A build that fails leaves the
    image of before.

    Raises
    ------
    UserError
        If there is no such definition or no Apptainer, or the build fails.
    """
    if name not in NAMES:
        raise UserError(f"There is no image {name!r}.", f"Known: {', '.join(NAMES)}.")
    definition = DEFINITIONS / f"{name}.def"
    if not definition.exists():
        raise UserError(
            f"There is no {definition}: the definitions come with a checkout, not with an "
            "installed package.",
            "Clone the repository and build from there.",
        )
    image = out.absolute() / f"{name}.sif"
    arguments = list(options.arguments)
    if name == BASE and options.mirror:
        arguments += [
            *("BOOTSTRAP=debootstrap", f"SUITE={options.suite}", f"MIRROR={options.mirror}")
        ]
    text = definition.read_text()
    made_of: dict[str, Any] = {
        "definition": text,
        "arguments": _known_to(text, arguments),
        "compression": options.compression,
        "files": dict(_copied(definition)),
    }
    if name != BASE:
        base = build_image(BASE, out, options, display)
        made_of["base"] = image_sha256(base)
        arguments += [f"BASE={base}", f"COMMIT={git_commit() or 'unknown'}"]
    record = _record(image)
    if image.exists() and record.get("made_of") == digest(made_of):
        if record.get("sha256") == image_sha256(image):
            display.say(f"{image} is up to date")
            return image
        display.say(f"{image} is not the image that was built")
    image.parent.mkdir(parents=True, exist_ok=True)
    _build(definition, image, _known_to(text, arguments), options, display)
    record = {"made_of": digest(made_of), "sha256": image_sha256(image)}
    display.say(f"built {image} ({image.stat().st_size / 2**20:.0f} MiB)")
    write_whole(_record_file(image), json.dumps(record, indent=1) + "\n")
    return image


def _build(
    definition: Path,
    image: Path,
    arguments: list[str],
    options: BuildOptions,
    display: Display,
) -> None:
    log, temporary = image.with_suffix(".log"), image.with_suffix(".building.sif")
    command = [
        *(runtime(), "build", "--force"),
        *(["--fakeroot"] if options.fakeroot else []),
        *("--mksquashfs-args", f"-comp {options.compression}"),
        # The base has none of the folders yet that could be bound.
        *(word for bind in options.binds if definition.stem != BASE for word in ("--bind", bind)),
        *(word for argument in arguments for word in ("--build-arg", argument)),
        *(str(temporary), definition.name),
    ]
    display.say(f"building {image} (log: {log})")

    def look() -> Seen | None:
        lines = log.read_text(errors="replace").splitlines()
        return (0.0, lines[-1][:SHOWN_CHARACTERS]) if lines else None

    try:
        with log.open("w") as file, display.phase("building") as phase, phase.following(look):
            print(shlex.join(command), file=file, flush=True)
            done = subprocess.run(
                command, stdout=file, stderr=file, cwd=definition.parent, check=False
            )
        if done.returncode:
            lines = [line for line in log.read_text(errors="replace").splitlines() if line]
            raise UserError(
                f"The image {image.name} could not be built. The end of {log}:",
                "\n".join(lines[-LAST_LINES:]),
            )
        temporary.replace(image)
    finally:
        temporary.unlink(missing_ok=True)


def _known_to(definition: str, arguments: list[str]) -> list[str]:
    """Return the build arguments that a definition asks for: an unknown one ends a build."""
    return [a for a in arguments if f"{{{{ {a.partition('=')[0]} }}}}" in definition]


def _copied(definition: Path) -> Iterator[tuple[str, str]]:
    """Yield each file that a definition copies into its image, with its digest."""
    section = definition.read_text().partition("%files\n")[2].partition("\n%")[0]
    for line in filter(str.strip, section.splitlines()):
        source = definition.parent / line.split()[0]
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        for path in files:
            if path.is_file() and "__pycache__" not in path.parts:
                inside = path.relative_to(source).as_posix()
                yield f"{line.split()[0]}/{inside}", image_sha256(path)


def _record_file(image: Path) -> Path:
    return image.with_suffix(".sif.json")


def _record(image: Path) -> dict[str, str]:
    try:
        record: dict[str, str] = json.loads(_record_file(image).read_text())
    except (OSError, ValueError):
        return {}
    return record


def runtime() -> str:
    """Return the command that runs containers here.

    Raises
    ------
    UserError
        If there is none.
    """
    for name in ("apptainer", "singularity"):
        if shutil.which(name):
            return name
    raise UserError("There is neither apptainer nor singularity here.", "Install Apptainer.")


def image_sha256(path: Path) -> str:
    """Return the SHA-256 of an image: its identity.

    Raises
    ------
    UserError
        If it is not there or cannot be read.
    """
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(
            f"The image {str(path)!r} cannot be read: {error.strerror}.",
            "`litesweep image build` builds one; the site file says where it is.",
        ) from error


def checked_image(path: Path, site: Site) -> str:
    """Return the SHA-256 of an image once its signature is verified, where the site demands one.

    Raises
    ------
    UserError
        If it is not there, or is not signed as it must be.
    """
    sha256 = image_sha256(path)
    if site.container.verify:
        # Never a key that a key server hands out: anybody can put one there.
        key = site.verify_key
        how = ("--key", str(key)) if key else ("--local",)
        try:
            _run(runtime(), "verify", "--all", *how, str(path))
        except UserError as error:
            raise UserError(
                f"The image {path} is not signed as [container] verify = "
                f"{site.container.verify!r} demands.",
                error.mend,
            ) from error
    return sha256


def image_labels(path: Path) -> dict[str, str]:
    """Return an image's labels: versions of packages, and the commit of the code.

    Raises
    ------
    UserError
        If it is no image.
    """
    said = _run(runtime(), "inspect", "--json", str(path))
    try:
        labels: dict[str, str] = json.loads(said)["data"]["attributes"]["labels"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} has no labels; it is none of litesweep's images.") from error
    return labels


def inspect_image(path: Path) -> dict[str, Any]:
    """Return what there is to know of an image: path, sha256, bytes, labels."""
    return {
        "path": str(path.absolute()),
        "sha256": image_sha256(path),
        "bytes": path.stat().st_size,
        "labels": image_labels(path),
    }


def check_image(path: Path, tell: Callable[[str], None]) -> None:
    """Check an image: its record, its labels, its release of litesweep, its own test.

    Raises
    ------
    UserError
        At the first thing that does not hold.
    """
    sha256, recorded = image_sha256(path), _record(path).get("sha256")
    if recorded and recorded != sha256:
        raise UserError(
            f"{path} is not the image that was built (sha256 {sha256}, recorded {recorded}).",
            "Build it again, or copy it anew.",
        )
    tell(f"sha256 {sha256}{'' if recorded else ' (no record beside it to compare with)'}")
    theirs, ours = image_labels(path).get("litesweep.litesweep", "none"), version("litesweep")
    if theirs != ours:
        raise UserError(
            f"{path} holds litesweep {theirs}, and here is {ours}.", "Build the image again."
        )
    tell(f"litesweep {theirs}, as here")
    _run(runtime(), "test", str(path))
    tell("its own test passes")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise UserError(f"{shlex.join(command)} fails.", "\n".join(lines[-LAST_LINES:]))
    return done.stdout
