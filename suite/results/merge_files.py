"""Merge files of one run into one, in memory that does not grow with their samples."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile

from suite.results.columns import Columns, Spool, columns_of, with_figures
from suite.results.merge import union
from suite.results.read import read_columns
from suite.results.rows import Results
from suite.results.write import told, write_columns


def merge_files(path: Path, parts: Iterable[Path | Results]) -> None:
    """Write the union of `parts` to `path`, whole or not at all: see `suite.results.merge.merge`.

    The samples, 8 bytes each, wait in a file without a name in the folder of `path`. In memory are
    one part at a time, and all rows without their samples.

    Raises
    ------
    UserError
        If a part cannot be read, they contradict each other, or the file cannot be written.
    ValueError
        If there are no parts at all, or they do not fit together.
    """
    with told(path), TemporaryFile(dir=path.parent) as spool:
        write_columns(path, union(_columns(parts), Spool(spool)))


def _columns(parts: Iterable[Path | Results]) -> Iterator[Columns]:
    for part in parts:
        columns = read_columns(part) if isinstance(part, Path) else columns_of(part)
        yield with_figures(columns)
