"""Where a run comes from: all that is needed to repeat it."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from suite.canonical import canonical_json
from suite.sweep import Sweep

PACKAGES = (
    "litesweep",
    "ai-edge-litert",
    "litert-quantizer",
    "tensorflow",
    "keras",
    "onnxruntime",
    "openvino",
    "numpy",
    "h5py",
    "submitit",
)
ENVIRONMENT = ("OMP_", "KMP_", "GOMP_", "OPENBLAS_", "MKL_", "TF_", "LITESWEEP_", "MALLOC_", "LD_")
"""Variables with these beginnings can change what is measured."""


def provenance(sweep: Sweep) -> dict[str, str]:
    """Return the provenance of a run of `sweep` that is begun now, by this interpreter."""
    return {
        "name": sweep.name,
        "sweep": sweep.text,
        "sweep_hash": sweep.sweep_hash,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "precision": repr(sweep.measure.precision),
        "packages": canonical_json(package_versions()),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "git_commit": git_commit(),
        "environment": canonical_json(
            {key: value for key, value in os.environ.items() if key.startswith(ENVIRONMENT)}
        ),
    }


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that bear on a number; absent ones are left out."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def git_commit() -> str:
    """Return the commit of the checkout that this code runs from, "" where it is installed.

    A checkout with changes that are not committed has "-dirty" behind it.
    """
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return ""
    try:
        said = subprocess.run(
            [
                "git",
                "-C",
                str(here),
                "describe",
                "--always",
                "--dirty",
                "--abbrev=40",
                "--exclude=*",
            ],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stdout.strip()
