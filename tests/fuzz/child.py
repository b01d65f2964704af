"""The process that reads what is made up: it may crash, hang or take memory, and is then told of.

Started as `python -m tests.fuzz.child FOLDER`; files come on standard input, in front of each a
line that says what it is to be and its length, and for each a line of JSON goes out.
"""

import json
import os
import resource
import select
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REPOSITORY = Path(__file__).parents[2]

MEMORY_BYTES = 512 * 2**20
"""That reading a small file may take, beside what is imported."""
PATIENCE_S = 60
"""None of them takes a second: this one is for machines that are busy."""


class Child:
    """A process that reads files, started anew where it ends.

    Parameters
    ----------
    folder
        Where it may work.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._end()

    def read(self, target: str, content: bytes) -> dict[str, Any]:
        """Have a file of this content read; return how that ended, and what was said.

        Parameters
        ----------
        target
            A name in `tests.fuzz.targets.TARGETS`.
        """
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps([target, len(content)]).encode() + b"\n" + content)
        process.stdin.flush()
        if not select.select([process.stdout], [], [], PATIENCE_S)[0]:
            self._end()
            return {"ended": "never", "said": f"no answer in {PATIENCE_S} s"}
        line = process.stdout.readline()
        if not line:
            code = process.wait()
            self._end()
            return {"ended": "crashed", "said": f"exit code {code}"}
        said: dict[str, Any] = json.loads(line)
        return said

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.child", self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            env={**os.environ, "PATH": "/usr/bin:/bin"},
        )

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None


def main() -> None:
    """Read files until standard input ends."""
    from suite.errors import UserError
    from tests.fuzz.targets import TARGETS

    folder = Path(sys.argv[1])
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    taken = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (taken + MEMORY_BYTES,) * 2)
    path = folder / "file"
    for head in sys.stdin.buffer:
        name, length = json.loads(head)
        target = TARGETS[name]
        path.write_bytes(target.mend(sys.stdin.buffer.read(length)))
        try:
            target.read(path)
            said = {"ended": "read", "said": ""}
        except UserError as error:
            said = {"ended": "refused", "said": str(error)}
        except Exception:
            said = {"ended": "raised", "said": traceback.format_exc()[-3000:]}
        channel.write(json.dumps(said).encode() + b"\n")
        channel.flush()


if __name__ == "__main__":
    main()
