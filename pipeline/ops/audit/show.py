"""Entries of the audit, decoded for people.

Owns: which records are shown, and whether each is as it was sealed.
Does not own: verifying a chain (verify.py), how an entry is printed (cli/audit_shown.py).
Invariants: whose entry it is is told by its own bytes, which its hash covers, and never by the
record's key, which no hash covers. At most `limit` entries are held.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import msgspec

from pipeline.codec.published import NotPublishedError, PublishedReader
from pipeline.core.audit import link
from pipeline.core.records import AuditEntry
from pipeline.ops.audit.entry import parts_of, schema_id_in
from pipeline.ops.audit.follow import Record


class Choice(msgspec.Struct, frozen=True):
    """Which entries are wanted.

    Attributes:
        user_id: of one user only. first: from this sequence on; None: the last ones.
        limit: so many at most; 0 is all.
    """

    user_id: str | None = None
    first: int | None = None
    limit: int = 0


class ShownEntry(msgspec.Struct, frozen=True):
    """An entry, and whether its hash is that of its bytes."""

    offset: int
    entry: AuditEntry
    is_sealed: bool


def chosen(
    records: Iterable[Record],
    reader: PublishedReader[AuditEntry],
    has_links: Callable[[int], bool],
    choice: Choice,
) -> list[ShownEntry]:
    """The entries that are wanted, in the order of the topic; what is no entry is passed over."""
    found = _wanted(records, reader, has_links, choice)
    if choice.first is None or not choice.limit:
        return list(deque(found, choice.limit or None))
    return [one for one, _ in zip(found, range(choice.limit), strict=False)]


def _wanted(
    records: Iterable[Record],
    reader: PublishedReader[AuditEntry],
    has_links: Callable[[int], bool],
    choice: Choice,
) -> Iterator[ShownEntry]:
    name = None if choice.user_id is None else choice.user_id.encode()
    for offset, value in records:
        schema_id = schema_id_in(value)
        if value is None or schema_id is None or (name is not None and name not in value):
            continue
        parts = parts_of(value) if has_links(schema_id) else None
        if parts is None or parts.sequence < (choice.first or 0):
            continue
        try:
            entry = reader.read(value)
        except NotPublishedError:
            continue
        if choice.user_id is None or entry.user_id == choice.user_id:
            yield ShownEntry(offset, entry, link(parts.prev_hash, parts.body) == parts.hash)
