r"""A rank's append-only record of its node, of finished trials and of the node's state between.

What `Journal.append` has returned from is on the disk, whatever happens next. A record is

    magic, length of the text, length of the samples, CRC-32     u8[8], u4, u4, u4, little-endian
    text                                                         JSON: run, kind, values of the row
    samples                                                      u8, little-endian

and names its run itself, so that a fault costs the record that it hit and no other.
"""

import fcntl
import json
import os
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from suite.atomic import sync
from suite.errors import UserError, no_locks
from suite.files import read_file, writable
from suite.results.normal import KINDS, check_types, normal
from suite.results.rows import InstanceRow, NodeRow, OperatorRow, Ragged, StateRow, TrialRow

MAGIC = b"\x93LSJ\r\n\x1a\x01"
"""As PNG's: no text, and broken by a transfer that takes it for text. The last byte: version."""

_SIZES = struct.Struct("<8sII")
_CRC = struct.Struct("<I")
MOST_CHECKED = 16
"""Times a journal's size: what bytes that only look like records may cost. Faults cost a few."""
JournalRow = NodeRow | TrialRow | StateRow | InstanceRow | OperatorRow
_KIND_NAMES: dict[type[JournalRow], str] = {
    NodeRow: "node",
    TrialRow: "trial",
    StateRow: "state",
    InstanceRow: "instance",
    OperatorRow: "operator",
}


@dataclass(frozen=True)
class JournalContent:
    """The whole records of a journal, and how much else is in it."""

    run_id: str
    """Empty where there is no whole record."""
    nodes: tuple[NodeRow, ...]
    trials: tuple[TrialRow, ...]
    states: tuple[StateRow, ...]
    instances: tuple[InstanceRow, ...]
    """Of the trials that are there, which are recorded after them."""
    operators: tuple[OperatorRow, ...]
    """Of profiles that are whole."""
    torn_bytes: int
    """Behind the last whole record: the one that was being written when the writer died."""
    damaged_bytes: int
    """In front of a whole record."""
    whole_bytes: int
    """Up to the end of the last whole record: a journal that has grown has more."""


class Journal:
    """A journal that is open for appending, by one process alone.

    Opening cuts off what is behind the last whole record.

    Raises
    ------
    UserError
        If another process has it open, or the file is no journal or another run's.
    OSError
        If the file cannot be opened or written.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self._run_id = run_id
        self._file = os.fdopen(writable(path, os.O_APPEND), "ab+", buffering=0)
        try:
            self._lock(path)
            self._file.seek(0)
            records = _records_of(self._file.read(), path)
            if records and records[0].run_id != run_id:
                raise UserError(
                    f"The journal {str(path)!r} is of the run {records[0].run_id!r}, "
                    f"and not of {run_id!r}.",
                    "Give every run a folder of its own.",
                )
            self._size = records[-1].end if records else 0
            if self._file.seek(0, os.SEEK_END) != self._size:  # else its time of change would lie
                self._file.truncate(self._size)
            sync(path.parent)
        except BaseException:
            self._file.close()
            raise

    def _lock(self, path: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"The journal {str(path)!r} is being written by another process.",
                "Wait for the run that is under way in this folder, or end it.",
            ) from None
        except OSError as error:
            raise no_locks(path, error) from error

    def append(self, *rows: JournalRow) -> None:
        """Record `rows`: once this returns, they are on the disk.

        Raises
        ------
        OSError
            If they cannot be written; the journal is then as it was before.
        """
        record = b"".join(_encode(row, self._run_id) for row in rows)
        try:
            written = self._file.write(record)
            while written < len(record):  # a full disk takes a part, then says why not the rest
                written += self._file.write(record[written:])
            os.fsync(self._file.fileno())
        except BaseException:
            try:
                self._file.truncate(self._size)
            except OSError:  # what is torn stays, and nothing more goes behind it
                self.close()
            raise
        self._size += len(record)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_journal(path: Path) -> JournalContent:
    """Read the whole records in `path`, which a writer may have open.

    A node that was recorded again by a later writer is there once. What a record says beyond the
    fields of its row, and records of an unknown kind, are left to the release that wrote them.

    Raises
    ------
    UserError
        If the file cannot be read, is no journal, or lacks what a row needs.
    """
    try:
        data = read_file(path)
    except OSError as error:
        raise UserError(f"The journal {str(path)!r} cannot be read: {error.strerror}.") from error
    records = _records_of(data, path)
    rows = [row for record in records if (row := _decode(record, path))]
    end = records[-1].end if records else 0
    trials = tuple(row for row in rows if isinstance(row, TrialRow))
    there = {trial.trial_id for trial in trials}
    # A fault may have cost a trial whose instances were recorded: it was then taken once more.
    instances = {row.instance_id: row for row in rows if isinstance(row, InstanceRow)}
    operators = {row.operator_id: row for row in rows if isinstance(row, OperatorRow)}
    return JournalContent(
        run_id=records[0].run_id if records else "",
        nodes=tuple(dict.fromkeys(row for row in rows if isinstance(row, NodeRow))),
        trials=trials,
        states=tuple(row for row in rows if isinstance(row, StateRow)),
        instances=tuple(row for row in instances.values() if row.instance_trial_id in there),
        operators=_whole_profiles(operators.values()),
        torn_bytes=len(data) - end,
        damaged_bytes=end - sum(record.end - record.start for record in records),
        whole_bytes=end,
    )


def _whole_profiles(rows: Collection[OperatorRow]) -> tuple[OperatorRow, ...]:
    """Leave out the profiles that a writer died over: the first operator is recorded last."""
    whole = {(r.operator_cell_id, r.operator_node_id) for r in rows if r.operator_place == 0}
    return tuple(r for r in rows if (r.operator_cell_id, r.operator_node_id) in whole)


@dataclass(frozen=True)
class _Record:
    start: int
    end: int
    run_id: str
    kind: str
    values: dict[str, Any]
    samples: bytes


def _encode(row: JournalRow, run_id: str) -> bytes:
    kinds = KINDS[type(row)]
    values = vars(normal(row))
    samples = b"".join(values[n].astype("<u8") for n, k in kinds.items() if isinstance(k, Ragged))
    record = {
        "run_id": run_id,
        "kind": _KIND_NAMES[type(row)],
        "values": {n: values[n] for n, k in kinds.items() if not isinstance(k, Ragged)},
    }
    text = json.dumps(record).encode()
    sizes = _SIZES.pack(MAGIC, len(text), len(samples))
    crc = zlib.crc32(samples, zlib.crc32(text, zlib.crc32(sizes)))
    return b"".join((sizes, _CRC.pack(crc), text, samples))


def _decode(record: _Record, path: Path) -> JournalRow | None:
    row_type: Any = {name: known for known, name in _KIND_NAMES.items()}.get(record.kind)
    if row_type is None:
        return None
    try:
        values = {
            name: np.frombuffer(record.samples, "<u8")
            if isinstance(kind, Ragged)
            else record.values[name]
            for name, kind in KINDS[row_type].items()
            if isinstance(kind, Ragged) or name in record.values
        }
        row: JournalRow = row_type(**values)
        check_types(row)
        return row
    except (TypeError, ValueError) as error:
        raise UserError(
            f"The journal {str(path)!r} was written by another release of litesweep: {error}."
        ) from error


def _records_of(data: bytes, path: Path) -> list[_Record]:
    """Return the whole records in `data`, which must be of one run."""
    records: list[_Record] = []
    position = checked = 0
    while position >= 0:
        ends = _ends_at(data, position)
        if ends and (record := _record_at(data, position, *ends, path)):
            records.append(record)
            position = record.end
        else:
            checked += ends[1] - position if ends else 0
            if checked > MOST_CHECKED * len(data):
                raise UserError(f"The journal {str(path)!r} is damaged as no fault would do it.")
            position = data.find(MAGIC, position + 1)
    if not records and data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise UserError(f"{str(path)!r} is no journal of litesweep's, or of another release.")
    if len({record.run_id for record in records}) > 1:
        raise UserError(f"The journal {str(path)!r} has records of more than one run.")
    return records


def _ends_at(data: bytes, start: int) -> tuple[int, int] | None:
    """Return where text and samples of the record that begins at `start` end, by what it says."""
    text_start = start + _SIZES.size + _CRC.size
    if text_start > len(data):
        return None
    magic, text_size, samples_size = _SIZES.unpack_from(data, start)
    end = text_start + text_size + samples_size
    return (text_start + text_size, end) if magic == MAGIC and end <= len(data) else None


def _record_at(data: bytes, start: int, text_end: int, end: int, path: Path) -> _Record | None:
    """Return the record that begins at `start`, if it is whole.

    Raises
    ------
    UserError
        If it is whole, and none of ours.
    """
    crc_start, text_start = start + _SIZES.size, start + _SIZES.size + _CRC.size
    (crc,) = _CRC.unpack_from(data, crc_start)
    if zlib.crc32(data[text_start:end], zlib.crc32(data[start:crc_start])) != crc:
        return None
    try:
        said = json.loads(data[text_start:text_end])
        named = said["run_id"], said["kind"]
        if not (all(isinstance(name, str) for name in named) and isinstance(said["values"], dict)):
            raise TypeError("a record of something else")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(
            f"The journal {str(path)!r} has a record that is none of litesweep's."
        ) from error
    return _Record(start, end, *named, said["values"], data[text_end:end])
