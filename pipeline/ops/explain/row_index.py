"""An index of one partition on disk: where the records about a user are.

Owns: the files of rows, which are only ever added, and looking rows up.
Does not own: reading the partition, what a row says (indexed_log.py).

Invariants:
- The files cover the offsets from 0 on without a gap; every file is whole or not there. A process
  that is killed has lost the rows since its last file, and reads them again.
- Files of `SEGMENT_ROWS` rows never change. The last one may have fewer; it is written anew with
  the rows that came, and replaced once the new one is there.
- Rows are found by a hash of 64 bits. Two users may share one, so who reads the records compares
  their keys.

A row has 33 bytes, so ten million records take 330 MB.
"""

import mmap
import struct
from bisect import bisect_left
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.whole_file import write_whole

SEGMENT_ROWS: Final = 200_000
"""Rows of a full file."""

_ROW: Final = struct.Struct(">QQqiiB")
_SUFFIX: Final = ".rows"


class Row(NamedTuple):
    """A record that is about a user.

    Attributes:
        about: `hash_of` what it is found by.
        time_ms: of the record, ms since 1970.
        append_s: when its input was appended, seconds since 1970; 0 where that is not indexed.
        date: local date that the input counts for, days since 1970; `NO_DATE` without one.
        flags: what indexed_log.py says of it.
    """

    about: int
    offset: int
    time_ms: int
    append_s: int
    date: int
    flags: int


NO_DATE: Final = -(2**31)


def hash_of(*parts: bytes) -> int:
    """Return what rows are found by."""
    return int.from_bytes(blake2b(b"\0".join(parts), digest_size=8).digest(), "big")


class _Segment:
    """A file of rows, sorted by `about` and offset."""

    def __init__(self, path: Path, first: int, end: int) -> None:
        self.path, self.first, self.end = path, first, end
        with path.open("rb") as file:
            self.size = path.stat().st_size // _ROW.size
            self._rows = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.size else b""

    def row(self, number: int) -> Row:
        return Row(*_ROW.unpack_from(self._rows, number * _ROW.size))

    def of(self, about: int) -> Iterator[Row]:
        number = bisect_left(range(self.size), about, key=lambda n: self.row(n).about)
        while number < self.size and (row := self.row(number)).about == about:
            yield row
            number += 1


class RowIndex:
    """The rows of one partition; for one process at a time.

    Args:
        folder: the partition's own; it is made.

    Attributes:
        position: the offset before which everything is indexed.

    Raises:
        OSError: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._segments: list[_Segment] = []
        self._pending: list[Row] = []
        self._open()
        self.position = self._segments[-1].end if self._segments else 0

    def _open(self) -> None:
        names = {path: path.stem.split("-") for path in self._folder.glob(f"*{_SUFFIX}")}
        spans = sorted(((int(a), -int(b), path) for path, (a, b) in names.items()))
        for first, negative_end, path in spans:
            end = self._segments[-1].end if self._segments else 0
            if first == end:
                self._segments.append(_Segment(path, first, -negative_end))
            else:  # replaced by a longer one, or behind a gap that somebody made
                path.unlink()

    def add(self, row: Row) -> None:
        """Add the row of the next offset; full files are written at once."""
        if self._segments and self._segments[-1].size < SEGMENT_ROWS and not self._pending:
            last = self._segments[-1]
            self._pending = [last.row(number) for number in range(last.size)]
        self._pending.append(row)
        if len(self._pending) >= SEGMENT_ROWS:
            self.write(row.offset + 1)

    def write(self, position: int) -> None:
        """Write what was added; everything before `position` is indexed then."""
        if position <= self.position:
            return
        last = self._segments[-1] if self._segments else None
        replaced = last if last is not None and last.size < SEGMENT_ROWS else None
        if replaced is not None and not self._pending:
            path = self._path(replaced.first, position)
            replaced.path.rename(path)
            replaced.path, replaced.end = path, position
        else:
            first = replaced.first if replaced else last.end if last else 0
            path = self._path(first, position)
            write_whole(path, b"".join(_ROW.pack(*row) for row in sorted(self._pending)))
            if replaced is not None:
                self._segments.pop()
                replaced.path.unlink()
            self._segments.append(_Segment(path, first, position))
            self._pending = []
        self.position = position

    def _path(self, first: int, end: int) -> Path:
        return self._folder / f"{first:020}-{end:020}{_SUFFIX}"

    def of(self, about: int) -> list[Row]:
        """Return the rows about something, as far as they are written, in the order of offsets."""
        return [row for segment in self._segments for row in segment.of(about)]
