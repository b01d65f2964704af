"""Coverage-guided fuzzing of one kind of file: `python -m tests.fuzz.guided [TARGET [OPTION ...]]`.

Options are libFuzzer's; without a target, those that there are are printed. What is of interest is
kept in build/fuzz/TARGET. HDF5 files are not among them: coverage sees nothing of that library.
"""

import sys
from contextlib import suppress
from pathlib import Path

import atheris

READERS = ["suite", "jobs", "analysis", "flatbuffers", "numpy.lib", "zipfile"]
with atheris.instrument_imports(include=READERS):  # before anything else imports them
    from suite.errors import UserError
    from tests.fuzz.targets import TARGETS

GUIDED = ("journal", "journal-with-right-CRCs", "tflite", "data", "other-tools", "sent", "plan")
LIMITS = ("-rss_limit_mb=2048", "-timeout=20", "-max_len=65536", "-print_final_stats=1")


def main() -> None:
    """Fuzz until a limit is reached, or something is found."""
    named = {name.replace(" ", "-"): target for name, target in TARGETS.items()}
    if not sys.argv[1:]:
        print(*GUIDED, sep="\n")
        return
    name, *options = sys.argv[1:]
    target = named[name]
    work = Path("build/fuzz", name).absolute()
    corpus = work / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds(work)):
        (corpus / f"seed-{number}").write_bytes(seed)

    def one(content: bytes) -> None:
        path: Path = work / "file"
        path.write_bytes(target.mend(content))
        with suppress(UserError):
            target.read(path)

    atheris.Setup([sys.argv[0], *LIMITS, f"-artifact_prefix={work}/", *options, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
