"""The audit of dependencies: what it makes of the answers of pip-audit."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.test_slurm import command

FINE = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([FINE], 0, "audited 1 of 1 packages, 0 vulnerable"),
        ([FINE, BAD, UNKNOWN], 1, "b 2: CVE-1 (mended in: 3)"),
        ([FINE, UNKNOWN], 2, "audited 1 of 2"),
        ([], 2, "audited 0 of 0"),
        (None, 2, "not audited"),
    ],
)
def test_what_is_known_of_the_packages(
    tmp_path: Path, packages: list[object] | None, code: int, said: str
) -> None:
    (tmp_path / "answer").write_text(
        "" if packages is None else json.dumps({"dependencies": packages})
    )
    command(tmp_path, "pip-audit", f'case "$*" in *constraints.txt*) cat {tmp_path}/answer ;; esac')
    done = subprocess.run(
        [REPOSITORY / ".ci/audit"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code and said in done.stdout
