"""What the store has of each user, compared with the topic of progress as it is read.

Owns: which record of a user counts, who is watched, who differs in the end.
Does not own: reading the topic and when the store has come as far (store_scrub.py), the store.
Invariants: it only reads the store, which moves on meanwhile. Each entry of the store names the
record that it came from, so most users are done with when that record comes by; the others are
watched: of them the last record is kept, until both sides have come to the same offsets. Memory is
bounded: sixteen bytes a user, and at most `WATCHED_MAX` records.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final, Literal, NamedTuple

from pipeline.api.reads.store import Held, ProgressStore, held
from pipeline.codec.published import NotPublishedError

WATCHED_MAX: Final = 10_000
"""Users who are watched at once; with more, the store as a whole is at fault."""

USERS_AT_ONCE: Final = 1_000

Kind = Literal["missing", "unlike", "surplus"]
"""The store has no record of a user, another one than the last, or one that the topic has not."""

Differences = dict[bytes, Kind]


class _Last(NamedTuple):
    """The record of a user that the store ought to have; a value of None is a tombstone."""

    offset: int
    revision: int
    value: bytes | None


class Comparison:
    """One pass over the topic.

    Args:
        store: that its materialiser goes on writing.
        revision_of: decodes a record; raises NotPublishedError.
    """

    def __init__(self, store: ProgressStore, revision_of: Callable[[bytes], int]) -> None:
        self._store = store
        self._revision_of = revision_of
        # By partition, in the order of the offsets: of each record that the store has, its offset
        # and its key's hash.
        self._seen: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        self._keys: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        self._watched: dict[bytes, _Last] = {}
        self._surplus: dict[bytes, Held] = {}

    def take(self, partition: int, offset: int, key: bytes, value: bytes | None) -> None:
        """Compare a record with what the store has now."""
        raw = self._store.raw(key)
        have = None if raw is None else held(raw)
        if have is not None and have.partition == partition:
            if have.offset > offset:
                return  # an older record
            if have.offset == offset and have.value == value:
                self._seen[partition].append(offset)
                self._keys[partition].append(hash(key))
                self._watched.pop(key, None)
                return
        elif have is None and value is None:
            self._watched.pop(key, None)
            return
        if key in self._watched or len(self._watched) < WATCHED_MAX:
            self._watch(key, offset, value)

    def _watch(self, key: bytes, offset: int, value: bytes | None) -> None:
        """Keep the record if it is the one that the store ought to have in the end."""
        if value is None:
            self._watched[key] = _Last(offset, 0, None)
            return
        try:
            revision = self._revision_of(value)
        except NotPublishedError:
            return  # the store passes it over, too
        last = self._watched.get(key)
        if last is None or last.value is None or revision >= last.revision:
            self._watched[key] = _Last(offset, revision, value)

    def find_surplus(self, ends: Mapping[int, int], spent: Callable[[int], None]) -> None:
        """Note whose record did not come by.

        Args:
            ends: by partition, up to where the topic was read; the store has come there, too.
            spent: is told how many users were looked at.
        """
        start: bytes | None = b""
        while start is not None:
            page = list(islice(self._store.scan(start), USERS_AT_ONCE))
            for key, have in page:
                is_read = have.offset < ends.get(have.partition, 0)
                if is_read and key not in self._watched and not self._has_seen(key, have):
                    self._surplus[key] = have
                    if len(self._surplus) == WATCHED_MAX:
                        return
            spent(len(page))
            start = page[-1][0] + b"\0" if len(page) == USERS_AT_ONCE else None

    def _has_seen(self, key: bytes, have: Held) -> bool:
        seen = self._seen[have.partition]
        at = bisect_left(seen, have.offset)
        if at == len(seen) or seen[at] != have.offset:
            return False
        return self._keys[have.partition][at] == hash(key)

    def differences(self) -> Differences:
        """Who differs; to be asked when the store has come to where the topic was read."""
        found: Differences = {}
        for key, last in self._watched.items():
            kind = _kind(self._store.raw(key), last)
            if kind is not None:
                found[key] = kind
        for key, was in self._surplus.items():
            raw = self._store.raw(key)
            if key not in self._watched and raw is not None and held(raw)[:2] == was[:2]:
                found[key] = "surplus"
        return found


def _kind(raw: bytes | None, last: _Last) -> Kind | None:
    """How a user's entry differs from the record that it ought to be; None where it does not."""
    if raw is None:
        return None if last.value is None else "missing"
    have = held(raw)
    if have.offset > last.offset or have.revision > last.revision > 0:
        return None
    if last.value is None:
        return "surplus"
    return None if (have.offset, have.value) == (last.offset, last.value) else "unlike"
