"""`litesweep image build | check | inspect`: the container images that jobs run in."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs.cli.options import AsJson
from suite.text import harmless

app = typer.Typer(help="The container images that jobs run in.", no_args_is_help=True)

ImagePath = Annotated[Path, typer.Argument(metavar="IMAGE", help="A .sif file.")]


@app.command("build")
def image_build(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="tflite, tensorflow or ubuntu_base.")
    ] = "tflite",
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to.")] = Path("images"),
    mirror: Annotated[
        str, typer.Option(metavar="URL", help="A mirror of packages, in place of a registry.")
    ] = "",
    suite: Annotated[str, typer.Option(help="The release to take from it.")] = "bookworm",
    build_arg: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For the definition.")
    ] = None,
    bind: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="What the build needs from here.")
    ] = None,
    fakeroot: Annotated[
        bool, typer.Option("--fakeroot", help="Build as an ordinary user.")
    ] = False,
    compression: Annotated[str, typer.Option(help="lz4, zstd or gzip.")] = "lz4",
) -> None:
    """Build an image, and its base, where definition or code have changed."""
    from jobs.cluster.images import BuildOptions, build_image
    from jobs.display import Display

    options = BuildOptions(
        mirror, suite, tuple(build_arg or ()), tuple(bind or ()), fakeroot, compression
    )
    print(build_image(name, out, options, Display(Console(stderr=True))))


@app.command("check")
def image_check(image: ImagePath) -> None:
    """Check an image: its digest, its release of litesweep, its own test."""
    from jobs.cluster.images import check_image

    check_image(image, print)


@app.command("inspect")
def image_inspect(image: ImagePath, as_json: AsJson = False) -> None:
    """Show an image's digest, size and labels."""
    from jobs.cluster.images import inspect_image

    seen = inspect_image(image)
    if as_json:
        print(json.dumps(seen, indent=1))
        return
    labels = seen.pop("labels")
    for key, value in {**seen, **labels}.items():
        print(harmless(f"{key}: {value}"))
