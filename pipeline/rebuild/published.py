"""The published progress of one partition, compared with the live state that it was derived from.

Owns: the last progress record of each user; in what it differs from a state.
Does not own: the derivation (core/progress.py), the live state (live.py), when both are of one
instant (partition.py).
Invariant: a record is compared as of its own instant. Pictures, versions and the cause are not
compared: another release or policy may name them otherwise, and nobody's record is wrong for it.
"""

import shutil
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import astuple, replace

from pipeline.codec.errors import UnknownSchemaIdError
from pipeline.codec.published import NotPublishedError, PublishedReader
from pipeline.core.fold import World
from pipeline.core.progress import progress_of
from pipeline.core.records import PortalReached, ProgressUpdated
from pipeline.core.state import UserState
from pipeline.engine.state.rocks import RocksDisk
from pipeline.kafka.reader import record_offset
from pipeline.rebuild.compare import is_text
from pipeline.rebuild.setup import Setup
from pipeline.rebuild.source import Source

COMPARED: Final = (
    "user_id", "revision", "streak_days", "longest_days", "lifetime_days", "lap", "cycle_day",
    "last_local_date", "streak_safe_until", "tz", "dates", "portals", "keys", "field_keys_pending",
)  # fmt: skip
"""The fields of a progress record that must follow from the state."""

_NOWHERE: Final = -1
"""In place of the offset of a record that there is not."""


class Deviation(msgspec.Struct, frozen=True):
    """One thing in which two accounts of a user differ.

    Attributes:
        found: as it is. expected: as it ought to be.
    """

    field: str
    found: str
    expected: str


class Wrong(msgspec.Struct, frozen=True):
    """A progress record that does not follow from the live state.

    Attributes:
        offset: of the record; −1 where there is none. revision: of the live state.
    """

    offset: int
    revision: int
    deviations: tuple[Deviation, ...]

    def is_of_the_same(self, other: "Wrong | None") -> bool:
        """Whether the other one was found of the same record and the same state."""
        return other is not None and (self.offset, self.revision) == (other.offset, other.revision)


class Published:
    """The last progress record of each user in one partition.

    Args:
        setup: of the rebuild.
        partition: its number.
        folder: for a store that is read anew each time.
        user_key: read this user alone.
    """

    def __init__(
        self, setup: Setup, partition: int, folder: Path, user_key: bytes | None = None
    ) -> None:
        shutil.rmtree(folder / "published" / str(partition), ignore_errors=True)
        self._store = RocksDisk(folder / "published").open(partition)
        self._source = Source(setup.client, (setup.settings.topic("progress"), partition))
        self._user_key = user_key
        self._world: World = setup.world
        self._reader = PublishedReader(
            ProgressUpdated, setup.schemas["ProgressUpdated"], setup.resolver.writer_schema
        )

    def close(self) -> None:
        """Close the store and stop reading."""
        self._source.close()
        self._store.close()

    def read(self) -> None:
        """Read up to the end that the partition has now.

        Raises:
            OffsetGoneError, UnreadableLogError: see there.
        """
        source = self._source
        end = source.end()
        while (record := source.peek(0.2)) is not None or not self._has_read(end):
            if record is None:
                continue
            found: dict[bytes, bytes | None] = {}
            while (record := source.peek()) is not None:
                source.take()
                key, value = record.key(), record.value()
                if key is not None and self._user_key in (None, key) and is_text(key):
                    offset = record_offset(record).to_bytes(8, "big")
                    found[key] = None if value is None else offset + value
            self._store.write(found.items())

    def _has_read(self, end: int) -> bool:
        # Behind the last record there may be control markers, which are read and never seen.
        return self._source.is_at_end() and self._source.reached >= end

    def users(self) -> list[bytes]:
        """The keys of all users who have a record."""
        return [key for key, _ in self._store.scan(b"")]

    def wrong_for(self, key: bytes, state: UserState) -> Wrong | None:
        """How a user's record differs from what follows from a state; None where it does not."""
        raw = self._store.get(key)
        if raw is None:
            if not state.revision:
                return None
            missing = Deviation("record", "none", f"one of revision {state.revision}")
            return Wrong(_NOWHERE, state.revision, (missing,))
        deviations = self._deviations(key, raw[8:], state)
        if not deviations:
            return None
        return Wrong(int.from_bytes(raw[:8], "big"), state.revision, deviations)

    def _deviations(self, key: bytes, value: bytes, state: UserState) -> tuple[Deviation, ...]:
        try:
            record = self._reader.read(value)
            user_id = key.decode()
            ought = _as_read(
                progress_of(user_id, state, record.cause, record.updated_at, self._world)
            )
        except (NotPublishedError, UnknownSchemaIdError, ValueError, OverflowError) as error:
            return (Deviation("record", str(error), "a progress record"),)
        return tuple(
            Deviation(name, _spelled(getattr(record, name)), _spelled(getattr(ought, name)))
            for name in COMPARED
            if getattr(record, name) != getattr(ought, name)
        )


def _as_read(record: ProgressUpdated) -> ProgressUpdated:
    """The record with its portals as a reader has them, and not as the state keeps them."""
    portals = tuple(PortalReached(*astuple(one)) for one in record.portals)
    return replace(record, portals=portals)


def _spelled(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
