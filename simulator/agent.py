"""A small application that folds the engine's batches as the product's agents do.

Owns: what one input does: counts a user's accepted events, finds duplicates by a windowed table,
unlocks something at each third event, starts anew at the seventh, audits every input.
Does not own: the same rules over again, as the oracle has them (model.py); users who are more than
a count (people.py).
Invariant: deterministic; all effects go through the batch.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from pipeline.core.audit import ChainHead
from pipeline.engine.batch import Batch
from pipeline.engine.state.table_spec import Entries, TableSpec
from pipeline.worker import window
from simulator.people import PERSON, audit_entry, take, unlocked_by

INPUTS: Final = ("completions", "commands")
WINDOWED: Final = "completions"
"""The input with a dedupe window; only one has it, as the append times of two are not in order."""

AUDIT: Final = "audit"
UNLOCKS: Final = "unlocks"
DEAD_LETTERS: Final = "dead-letters"
WINDOW_MS: Final = 8_000
MILESTONE: Final = 3
RESET: Final = 7
POISON: Final = b"!"

_encode_head: Final = msgspec.msgpack.Encoder().encode
_decode_head: Final = msgspec.msgpack.Decoder(ChainHead).decode


def number_in(attachment: bytes | None) -> int:
    """How many inputs a partition had when it was given this attachment."""
    return _decode_head(attachment).next_sequence if attachment else 0


def is_of_people(key: bytes) -> bool:
    """Whether an entry of the windowed table, or its record, is the product's."""
    return b"\0" in key


def expand(key: bytes, value: bytes | None) -> Entries:
    """A remembered event is found by its id, and by its session; a user's last one by the user."""
    if is_of_people(key):
        return window.expand(key, value)
    if value is None or not key.startswith(b"i"):
        return ((key, value),)
    return ((key, value), (b"s" + key[1:], value), (b"l" + owner(key), value))


def owner(key: bytes) -> bytes:
    """The user whose key it is, with the slash at the end; a person's has a zero byte there."""
    if is_of_people(key):
        return window.owner(key)
    return key[1 : key.index(b"/") + 1]


def records(entries: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """The changelog's records that stand for local entries."""
    for key, value in entries:
        if is_of_people(key):
            yield from window.records(iter([(key, value)]))
        elif key.startswith((b"i", b"l")):
            yield key, value


USERS: Final = TableSpec("users", "users-changelog", b"u")
SEEN: Final = TableSpec(
    "seen",
    "seen-changelog",
    b"s",
    compacted_only=False,
    expand=expand,
    records=records,
    owner=owner,
)
TABLES: Final = (USERS, SEEN)
OUTPUTS: Final = (AUDIT, UNLOCKS, DEAD_LETTERS)
TOPICS: Final = (*INPUTS, *(table.changelog for table in TABLES), *OUTPUTS)


def fold(batch: Batch, records_max: int) -> None:
    """Everything that follows from the first records of a batch, but for `done`."""
    users, seen = batch.table(USERS), batch.table(SEEN)
    is_windowed = batch.topic == WINDOWED
    number = number_in(batch.attachment)
    now_ms = 0
    for record in batch.records[:records_max]:
        number += 1
        user, event = record.key() or b"", record.value() or b""
        now_ms = record.timestamp()[1]
        if user.startswith(PERSON):
            outcome = take(users, seen, record)
            for portal in unlocked_by(outcome):
                batch.emit(UNLOCKS, user, portal)
            batch.emit(AUDIT, user, audit_entry(record, number, outcome))
            continue
        count = int(users.get(user) or b"0")
        verdict = b"accepted"
        if event.startswith(POISON):
            verdict = b"dead"
            batch.emit(DEAD_LETTERS, user, event)
        elif is_windowed and _is_known(seen.get(b"s" + user + b"/" + event), now_ms):
            verdict = b"duplicate"
        else:
            count += 1
            users.put(user, None if count == RESET else b"%d" % count)
            if is_windowed:
                seen.put(b"i" + user + b"/" + event, b"%d" % now_ms)
            if count % MILESTONE == 0:
                batch.emit(UNLOCKS, user, b"%d" % count)
        entry = b"%s|%d|%s|%d|%d" % (
            batch.topic.encode(),
            record.offset(),
            verdict,
            count,
            number,
        )
        batch.emit(AUDIT, user, entry)
    batch.attachment = _encode_head(ChainHead(number, b""))
    for key, stamp in seen.committed() if is_windowed else ():
        if is_of_people(key):
            continue
        if not _is_known(stamp, now_ms) and not _is_known(seen.get(key), now_ms):
            seen.forget(key)


def _is_known(stamp: bytes | None, now_ms: int) -> bool:
    return stamp is not None and int(stamp) + WINDOW_MS >= now_ms
