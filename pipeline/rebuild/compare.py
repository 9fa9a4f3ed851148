"""The comparison of what was derived from the log with what is live, user by user.

Owns: which users differ, in what, and why; the repair of each.
Does not own: how both came about (replay.py, live.py), how a repair travels (repairs.py).
Invariants: pure over the two stores, which are of the same cut. Portals that were published stay
unlocked, whatever is derived: nothing is told twice, and nothing is taken back in silence. Counters
and caches (revision, the frame published last, up to where portals were checked) do not count as a
difference.
"""

from collections.abc import Collection, Iterator
from hashlib import sha256
from heapq import merge
from itertools import groupby
from typing import Final

import msgspec
from msgspec.structs import replace

from pipeline.codec.published import PublishedReader
from pipeline.codec.state import StateDecodeError, decode_state
from pipeline.core.enumerations import CommandKind
from pipeline.core.fold import World, fold_repair
from pipeline.core.records import Cause, Command, Instant, PortalUnlocked
from pipeline.core.repair import Repair, WindowRecords
from pipeline.core.runs import Runs, difference
from pipeline.core.sets import covered, digest_of, with_unlocked
from pipeline.core.state import EMPTY, Unlocked, UserState
from pipeline.core.streak import Standing, standing_of
from pipeline.engine.ports import KeyValueStore
from pipeline.engine.state.table_spec import TableSpec
from pipeline.ops.rebuild_diffs import Figures, Parting
from pipeline.worker.window import owner

_KIND: Final[CommandKind] = "repair"


class UserDifference(msgspec.Struct, frozen=True):
    """One user who would change.

    Attributes:
        dates_added, dates_removed: of those that count, as runs (first day since 1970, length).
        portals_missed: portals that are due and were never published, as lap/slug.
        unreadable: why the live state cannot be decoded; None where it can.
        window_records: how many records of the dedupe window change.
        cause: where the user's log first differs from the replay; None where it never does: then
            the state differs from a log that nobody disputes.
        repair: what is to be put in place.
        live: what the repair replaces.
        summary: hexadecimal digest of what the repair changes.
        is_unpublished: the state is right; the progress that was published is not.
    """

    user_id: str
    partition: int
    before: Figures
    after: Figures
    dates_added: Runs
    dates_removed: Runs
    portals_missed: tuple[str, ...]
    unreadable: str | None
    window_records: int
    cause: Parting | None
    repair: Repair
    live: UserState
    summary: str
    is_unpublished: bool = False


class Stores(msgspec.Struct, frozen=True):
    """The two states of one partition: derived from the log, and live."""

    partition: int
    derived: KeyValueStore
    live: KeyValueStore


class Comparison:
    """The comparison of one partition.

    Args:
        stores: both of one cut.
        tables: users and seen.
        world: policy and assets of now.
        portals: decodes what was published.
        now: the append time of the newest input, or later; ms since the epoch.
        user_key: compare this user alone.
    """

    def __init__(
        self,
        stores: Stores,
        tables: tuple[TableSpec, TableSpec],
        world: World,
        portals: PublishedReader[PortalUnlocked],
        now: Instant,
        user_key: bytes | None = None,
    ) -> None:
        self._partition = stores.partition
        self._derived, self._live = stores.derived, stores.live
        self._users, self._seen = tables
        self._world = world
        self._portals = portals
        self._now = now
        self._user_key = user_key

    def differences(self, unpublished: Collection[bytes] = ()) -> Iterator[UserDifference]:
        """Yield each user who differs, in the order of their ids.

        Args:
            unpublished: keys of users whose published progress does not follow from their state.
                They differ, too: a repair publishes it anew.
        """
        window = self._window_differences()
        for key in sorted(filter(is_text, {*self._changed_users(), *window, *unpublished})):
            found = self._difference(key, tuple(window.get(key, ())), key in unpublished)
            if found is not None:
                yield found

    def _changed_users(self) -> set[bytes]:
        prefix, user_key = self._users.prefix, self._user_key
        if user_key is None:
            return {key[1:] for key, _ in _merged(self._derived, self._live, prefix)}
        values = [store.get(prefix + user_key) for store in (self._derived, self._live)]
        return set() if values[0] == values[1] else {user_key}

    def _difference(
        self, key: bytes, window: WindowRecords, is_unpublished: bool
    ) -> UserDifference | None:
        prefix = self._users.prefix
        raw_live, raw_derived = self._live.get(prefix + key), self._derived.get(prefix + key)
        live, unreadable = EMPTY, None
        try:
            live = EMPTY if raw_live is None else decode_state(raw_live)
        except StateDecodeError as error:
            unreadable = str(error)
        derived = EMPTY if raw_derived is None else decode_state(raw_derived)
        wanted = self._as_published(key, derived)
        alone = False
        if unreadable is None and _meaning(wanted) == _meaning(live):
            if not window and _checked_no_further(live, derived, self._world, self._now):
                if not is_unpublished:
                    return None
                alone = True
            wanted = live
        repair = Repair(live.revision, live.digest, wanted, window)
        described = self._described(key.decode(), live, repair, unreadable)
        return replace(described, is_unpublished=alone)

    def _as_published(self, key: bytes, derived: UserState) -> UserState:
        """The derived state with those portals and keys that were published, and no others."""
        rows: list[Unlocked] = []
        keys: set[str] = set()
        unlocked: tuple[tuple[str, Runs], ...] = ()
        start = b"p" + key + b"\0"
        for _, value in self._derived.scan(start, start):
            portal = self._portals.read(value)
            keys.update(portal.field_keys)
            if any((row.lap, row.slug) == (portal.lap, portal.portal) for row in rows):
                continue
            unlocked = with_unlocked(unlocked, portal.lap, portal.portal)
            rows.append(
                Unlocked(
                    portal.lap,
                    portal.portal,
                    portal.reached_on,
                    portal.unlocked_at,
                    portal.asset_id,
                )
            )
        sets = replace(derived.sets, unlocked=unlocked)
        return replace(
            derived,
            sets=sets,
            digest=digest_of(sets),
            portals=tuple(rows),
            granted=tuple(sorted(keys)),
        )

    def _described(
        self, user_id: str, live: UserState, repair: Repair, unreadable: str | None
    ) -> UserDifference:
        world, now = self._world, self._now
        command = Command(_KIND, user_id, _KIND, _KIND, reason=_KIND, ticket=_KIND)
        cause = Cause(_KIND, self._partition, 0)
        outcome = fold_repair(live, command, repair, cause, now, world)
        before = standing_of(covered(live.sets), live.tz, now, world.policies.at(now))
        dates, dates_live = covered(repair.state.sets), covered(live.sets)
        added, removed = difference(dates, dates_live), difference(dates_live, dates)
        missed = tuple([f"{one.lap}/{one.portal}" for one in outcome.unlocks])
        raw = self._derived.get(b"d" + user_id.encode())
        after_state = outcome.state or repair.state
        meaning = (user_id, added, removed, missed, _meaning(repair.state), repair.window)
        return UserDifference(
            user_id,
            self._partition,
            _figures(live, before),
            _figures(after_state, outcome.standing or before),
            added,
            removed,
            missed,
            unreadable,
            len(repair.window),
            None if raw is None else msgspec.msgpack.decode(raw, type=Parting),
            repair,
            live,
            sha256(msgspec.msgpack.encode(meaning)).hexdigest(),
        )

    # --- the dedupe window -----------------------------------------------------------------------

    def _window_differences(self) -> dict[bytes, list[tuple[bytes, bytes | None]]]:
        """The changelog records, by user, that make the live window the derived one."""
        changed: dict[bytes, list[tuple[bytes, bytes | None]]] = {}
        oldest = self._now - self._world.policies.window_ms
        for kind in (b"i", b"o", b"s"):
            prefix = self._seen.prefix + kind
            own = b"" if self._user_key is None else self._user_key + b"\0"
            for local, values in _merged(self._derived, self._live, prefix + own):
                key = local[1:]
                derived, live = (_unless_expired(value, oldest) for value in values)
                if derived != live and b"\0" in key:
                    changed.setdefault(owner(key)[:-1], []).extend(self._records(key, derived))
        # A worker's record of a completion holds the covers, too; one that replaces it does not:
        # so all covers of such a user are written anew.
        for user, found in changed.items():
            start = self._seen.prefix + b"o" + user + b"\0"
            known = {key for key, _ in found}
            covers = ((key[1:], value) for key, value in self._derived.scan(start, start))
            found.extend((key, value) for key, value in covers if key not in known)
        return changed

    def _records(self, key: bytes, value: bytes | None) -> list[tuple[bytes, bytes | None]]:
        if value is None or key.startswith(b"s"):
            return [(key, value)]
        return list(self._seen.records(iter([(key, value)])))


def _merged(
    derived: KeyValueStore, live: KeyValueStore, start: bytes
) -> Iterator[tuple[bytes, tuple[bytes | None, bytes | None]]]:
    """Yield the keys with a beginning of which the two stores have different values, with both."""
    streams = (_of_side(0, derived.scan(start, start)), _of_side(1, live.scan(start, start)))
    for key, group in groupby(merge(*streams, key=_key), key=_key):
        values: list[bytes | None] = [None, None]
        for _, side, value in group:
            values[side] = value
        if values[0] != values[1]:
            yield key, (values[0], values[1])


def _of_side(
    side: int, entries: Iterator[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, int, bytes]]:
    for key, value in entries:
        yield key, side, value


def is_text(key: bytes) -> bool:
    """Tell whether a key can be a user's: no worker reads or writes another, nor a repair."""
    try:
        return bool(key.decode())
    except UnicodeDecodeError:
        return False


def _key(entry: tuple[bytes, int, bytes]) -> bytes:
    return entry[0]


def _meaning(state: UserState) -> tuple[object, ...]:
    """What of a state must follow from the log.

    Not the digest, which follows from the sets: a release with one more kind of set has another.
    """
    return (
        state.sets,
        state.portals,
        state.granted,
        state.tz,
        state.tz_at,
        state.tz_id,
        state.dateline,
        state.seen_filter,
    )


def _checked_no_further(live: UserState, derived: UserState, world: World, now: Instant) -> bool:
    """Whether no portal was called checked that ought not to be, and so would be missed."""
    policy = world.policies.at(now)
    longest = standing_of(covered(live.sets), live.tz, now, policy).longest_days
    return live.checked_policy != policy.version or live.checked_days <= max(
        longest, derived.checked_days
    )


def _figures(state: UserState, standing: Standing) -> Figures:
    return Figures(
        state.revision,
        standing.streak_days,
        standing.longest_days,
        standing.lifetime_days,
        len(state.portals),
        len(state.granted),
        standing.cycle_day,
    )


def _unless_expired(value: bytes | None, oldest: Instant) -> bytes | None:
    if value is None or int.from_bytes(value[:8], "big", signed=True) < oldest:
        return None
    return value
