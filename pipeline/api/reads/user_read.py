"""Reads one user's record that is fresh enough.

Owns: waiting for a revision, the answer when there is no record, ETags, how fresh an answer was,
remembering rendered answers.
Does not own: the query's parameters (queries.py), what is shown (views.py), the routes (users.py),
authorisation (auth.py).

Invariants:
- An answer is never older than one that this process gave before, by the store's rule. A store that
  was never complete may hold old revisions of some users and new ones of others, so no answer is
  given from it.
- The ETag names everything that a view is made from: `FORM` (the version of what this code
  answers), generation, revision, today's date, the policy's version, and the zone of that date
  where it is not the record's own. It is weak, because `as_of` and `lag_ms` are added each time. A
  streak that broke overnight has another date, so it is never a 304; nor is the same date in
  another zone, as a view names its zone.
- A remembered answer serves only for the very same record, zone, date and policy. The date of a
  zone changes only at a full minute of UTC, as zones and day starts have no seconds; so it is
  derived at most once a minute.
- At most two answers of a user are remembered: one in the zone of the record, under the user's id,
  and one in the last other zone that a reader named. The number of all answers is bounded.
- A remembered answer is forgotten after its user's record was replaced and before any listener
  after this one learns of it, without a lock: each step is one operation on a dict or an int.
  The thread that replaced the record (1) counts the change, (2) forgets the answer. The event loop
  (a) notes the count, (b) reads the record, (c) remembers the answer, (d) forgets it again if the
  count has moved. If (b) read the old record, (1) comes after (a): when (1) precedes (d), then (d)
  forgets the old answer; otherwise (2) comes after (c) and forgets it.

Everything but `_forget` runs on the event loop's thread.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Literal

import msgspec

from pipeline.api.http.problems import ProblemError
from pipeline.api.reads.freshness import AsOf, Freshness
from pipeline.api.reads.materialise import Materialiser
from pipeline.api.reads.store import HEAD
from pipeline.api.reads.views import UserNow, UserView, Views
from pipeline.api.reads.waiting import Waiters
from pipeline.core.reading import today, zone_for
from pipeline.core.rulebook import Policy, PolicyBook
from pipeline.core.streak import today_of
from pipeline.observability import api_metrics as m
from pipeline.observability.api_prometheus import ApiMetrics
from pipeline.settings.api import ApiSettings

FORM: Final = "2"
"""Version of the views' form; it changes with any view, so a new release does not answer 304."""

REVISION_MAX: Final = 2**63 - 1
"""Max revision that a reader may ask for."""

ReadResult = Literal["fresh", "waited", "stale", "missed"]
_Key = str | tuple[str]
"""Key of a remembered answer: the user; in a tuple for a zone that is not the record's own."""

_MINUTE_MS: Final = 60_000
_encode: Final = msgspec.json.Encoder().encode


class Rendered:
    """An answer, but for its last members, which change with the time of day.

    Attributes:
        partition: where the user's records are.
        etag: the weak ETag.
        head: the JSON but for its last members and brace.
    """

    __slots__ = ("etag", "head", "partition")

    def __init__(self, user: UserNow, partition: int, head: bytes) -> None:
        self.partition = partition
        self.etag = etag_of(user)
        self.head = head


class Remembered(Rendered):
    """An answer to `progress` that may serve again.

    Attributes:
        date: the date that is today.
        tz: the zone of that date.
        minute: the minute of UTC for which the date was derived last.
        freshness: that of the store which the answer was made from.
    """

    __slots__ = ("date", "freshness", "minute", "policy", "revision", "tz")

    def __init__(self, user: UserNow, partition: int, head: bytes, freshness: Freshness) -> None:
        super().__init__(user, partition, head)
        self.policy = user.policy
        self.date = user.now.date
        self.tz = user.now.tz
        self.revision = user.record.revision
        self.freshness = freshness
        self.minute = -1


class Reads:
    """Finds the records of users for the routes.

    Args:
        source: the store and its freshness.
        policies: the rules in force at each instant.
        views: make what is shown.
        now_ms: the time of day, ms since the epoch.
    """

    def __init__(
        self,
        settings: ApiSettings,
        source: Materialiser,
        policies: PolicyBook,
        views: Views,
        metrics: ApiMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        self.views = views
        self.now_ms = now_ms
        self._source = source
        self._policies = policies
        self._metrics = metrics
        self._waiters = Waiters(settings.api_waiting_max)
        self._wait_s_max = settings.api_wait_ms_max / 1000
        self._stale_ms = settings.api_stale_s * 1000
        self._answers_max = settings.api_answers_max
        # In the order in which they were made: the oldest is dropped first.
        self._answers: dict[_Key, Remembered] = {}
        self._changes = 0
        self._results: dict[ReadResult, int] = {"fresh": 0, "waited": 0, "stale": 0, "missed": 0}
        self._outcomes: dict[Literal["reused", "rendered"], int] = {"reused": 0, "rendered": 0}
        source.listeners.append(self._forget)
        source.listeners.append(self._waiters.changed)
        metrics.before_scrape.append(self._measure)

    async def find(self, user: bytes, min_revision: int, tz: str | None = None) -> bytes:
        """Return the store's entry of a user.

        Args:
            min_revision: wait for this revision; 0: any revision will do.
            tz: as in `user_now`; for the record that an error shows instead.

        Raises:
            ProblemError: 404, there is no entry; 503, there is none yet, or none that new.
        """
        is_loaded = self._source.is_loaded
        raw = self._source.store.raw(user) if self._source.is_usable else None
        if min_revision:
            raw = await self._wait(user, min_revision, raw, tz)
        else:
            self._count(raw)
        if raw is not None:
            return raw
        if is_loaded:
            raise ProblemError(
                404, "no-such-user", "No such user", "nothing was published about this user"
            )
        raise ProblemError(
            503,
            "still-loading",
            "Still loading",
            "the store is not loaded yet, so nothing can be said of this user; try again",
            headers={"Retry-After": "2"},
        )

    def _count(self, raw: bytes | None) -> None:
        if raw is None:
            self._results["missed"] += 1
            return
        as_of = self._source.freshness.as_of(partition_of(raw))
        behind = as_of is None or self.now_ms() - as_of.ms > self._stale_ms
        self._results["stale" if behind else "fresh"] += 1

    async def _wait(
        self, user: bytes, min_revision: int, raw: bytes | None, tz: str | None
    ) -> bytes:
        if raw is not None and _revision(raw) >= min_revision:
            self._count(raw)
            return raw
        raw = await self.reached(user, min_revision, self._wait_s_max)
        if raw is not None:
            self._results["waited"] += 1
            return raw
        self._results["missed"] += 1
        raw = self._source.store.raw(user) if self._source.is_usable else None
        raise self._not_yet(min_revision, raw, tz)

    async def reached(self, user: bytes, revision: int, wait_s: float) -> bytes | None:
        """Wait for a revision of a user to be readable.

        Args:
            wait_s: s.

        Returns:
            The store's entry of that revision or a higher one; None when it did not come in time,
            or too many wait already.
        """
        if self._waiters.is_full:
            return None
        event = self._waiters.join(user)
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    event.clear()
                    raw = self._source.store.raw(user) if self._source.is_usable else None
                    if raw is not None and _revision(raw) >= revision:
                        return raw
                    await event.wait()
        except TimeoutError:
            return None
        finally:
            self._waiters.leave(user, event)

    def _not_yet(self, min_revision: int, raw: bytes | None, tz: str | None) -> ProblemError:
        body: dict[str, object] = {"min_revision": min_revision, "revision": 0, "have": None}
        if raw is not None:
            user = self.user_now(raw, tz)
            body["revision"] = user.record.revision
            body["have"] = self.views.progress(user)
        as_of = self._source.freshness.oldest() if raw is None else self.as_of(raw)
        body["as_of"] = None if as_of is None else as_of.text
        return ProblemError(
            503,
            "revision-not-here-yet",
            "The revision is not here yet",
            f"revision {min_revision} did not come in time; `have` is what there is",
            headers={"Retry-After": "1"},
            body=body,
        )

    def as_of(self, raw: bytes) -> AsOf | None:
        """Return until when a user's entry is complete."""
        return self.as_of_partition(partition_of(raw))

    def as_of_partition(self, partition: int) -> AsOf | None:
        """Return until when the entries of a partition are complete."""
        return self._source.freshness.as_of(partition)

    def user_now(self, raw: bytes, tz: str | None = None) -> UserNow:
        """Read a store's entry as of now.

        Args:
            tz: canonical name of the reader's zone; None: the user's own (core/reading.py).
        """
        now_ms = self.now_ms()
        record = self._source.decode(raw[HEAD.size :])
        policy = self._policies.at(now_ms)
        return UserNow(record, today(record, now_ms, policy, tz), policy)

    def remembered(
        self, user_id: str, min_revision: int, now_ms: int, tz: str | None = None
    ) -> Remembered | None:
        """Return the remembered answer to `progress` if it still holds; then call `serve`.

        Args:
            tz: as in `user_now`.
        """
        known = self._answers.get(user_id)
        if tz is not None and (known is None or known.tz != tz):
            known = self._answers.get((user_id,))
            if known is not None and known.tz != tz:
                return None
        if known is None or known.revision < min_revision:
            return None
        freshness = self._source.freshness
        if known.freshness is not freshness or not self._still_holds(known, now_ms):
            return None
        return known

    def serve(self, known: Remembered, now_ms: int) -> AsOf | None:
        """Count a remembered answer as a read; returns until when it is complete."""
        as_of = known.freshness.as_of(known.partition)
        behind = as_of is None or now_ms - as_of.ms > self._stale_ms
        self._results["stale" if behind else "fresh"] += 1
        self._outcomes["reused"] += 1
        return as_of

    async def progress(self, user_id: str, min_revision: int, tz: str | None = None) -> Remembered:
        """Make the answer to `progress`, and remember it.

        Args:
            user_id: a valid id.
            tz: as in `user_now`.

        Raises:
            ProblemError: as in `find`.
        """
        user = user_id.encode()
        changes, freshness = self._changes, self._source.freshness
        raw = await self.find(user, min_revision, tz)
        if min_revision:
            changes, freshness = self._changes, self._source.freshness
            raw = self._source.store.raw(user) or raw
        now = self.user_now(raw, tz)
        made = Remembered(now, partition_of(raw), body_head(self.views.progress(now)), freshness)
        self._outcomes["rendered"] += 1
        answers = self._answers
        key: _Key = user_id if made.tz == zone_for(now.record) else (user_id,)
        answers[key] = made
        if self._changes != changes:
            answers.pop(key, None)
        while len(answers) > self._answers_max:
            # The reader's thread may forget one between the two steps; then the loop tries again.
            with suppress(RuntimeError):
                answers.pop(next(iter(answers), key), None)
        return made

    def _forget(self, users: Sequence[bytes]) -> None:
        """Forget the answers of users whose records were replaced; on the reader's thread."""
        self._changes += 1
        pop = self._answers.pop
        for user in users:
            user_id = user.decode("utf-8", "replace")
            pop(user_id, None)
            pop((user_id,), None)

    def _still_holds(self, known: Remembered, now_ms: int) -> bool:
        policy: Policy = self._policies.at(now_ms)
        if policy is not known.policy:
            return False
        minute = now_ms // _MINUTE_MS
        if minute != known.minute:
            if today_of(known.tz, now_ms, policy) != known.date:
                return False
            known.minute = minute
        return True

    def _measure(self) -> None:
        for result, count in self._results.items():
            self._metrics.put(m.READS, count, result)
        for outcome, count in self._outcomes.items():
            self._metrics.put(m.ANSWERS, count, outcome)
        self._metrics.put(m.WAITING, self._waiters.count)


def etag_of(user: UserNow) -> bytes:
    """Return the weak ETag of every view of a user as of that instant."""
    record, policy = user.record, user.policy
    version = policy.version.encode().hex()[:32]
    tag = f"{FORM}.{record.generation}.{record.revision}.{user.now.date}.{version}"
    if user.now.tz != zone_for(record):
        tag += f".{user.now.tz}"
    return f'W/"{tag}"'.encode()


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Tell whether `If-None-Match` names an ETag, by the weak comparison of RFC 9110."""
    if if_none_match == etag or if_none_match.strip() == b"*":
        return True
    wanted = etag.removeprefix(b"W/")
    return any(one.strip().removeprefix(b"W/") == wanted for one in if_none_match.split(b","))


def body_head(view: UserView) -> bytes:
    """Encode a view but for its last members and brace, see `body_of`."""
    return _encode(view)[:-1]


def body_of(head: bytes, as_of: AsOf | None, now_ms: int) -> bytes:
    """Return the JSON of a view as of now."""
    if as_of is None:
        return head + b',"as_of":null,"lag_ms":null}'
    return head + b',"as_of":"%b","lag_ms":%d}' % (as_of.bytes, max(0, now_ms - as_of.ms))


def partition_of(raw: bytes) -> int:
    """Return the partition that a store's entry came from."""
    partition: int = HEAD.unpack_from(raw)[0]
    return partition


def _revision(raw: bytes) -> int:
    revision: int = HEAD.unpack_from(raw)[2]
    return revision
