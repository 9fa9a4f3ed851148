"""A small application that folds the engine's batches as the product's agents do.

Owns: what one input does: counts a user's accepted events, finds duplicates by a windowed table,
unlocks something at each third event, starts anew at the seventh, audits every input.
Does not own: the same rules over again, as the oracle has them (model.py).
Invariant: deterministic; all effects go through the batch.
"""

from collections.abc import Iterator
from typing import Final

from pipeline.engine.batch import Batch
from pipeline.engine.state.table_spec import Entries, TableSpec

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


def expand(key: bytes, value: bytes | None) -> Entries:
    """A remembered event is found by its id, and by its session; a user's last one by the user."""
    if value is None or not key.startswith(b"i"):
        return ((key, value),)
    return ((key, value), (b"s" + key[1:], value), (b"l" + owner(key), value))


def owner(key: bytes) -> bytes:
    """The user whose key it is, with the slash at the end."""
    return key[1 : key.index(b"/") + 1]


def records(entries: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """The changelog's records that stand for local entries."""
    return ((key, value) for key, value in entries if key.startswith((b"i", b"l")))


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
    number = int(batch.attachment or b"0")
    now_ms = 0
    for record in batch.records[:records_max]:
        number += 1
        user, event = record.key() or b"", record.value() or b""
        now_ms = record.timestamp()[1]
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
    batch.attachment = b"%d" % number
    for key, stamp in seen.committed() if is_windowed else ():
        if not _is_known(stamp, now_ms) and not _is_known(seen.get(key), now_ms):
            seen.forget(key)


def _is_known(stamp: bytes | None, now_ms: int) -> bool:
    return stamp is not None and int(stamp) + WINDOW_MS >= now_ms
