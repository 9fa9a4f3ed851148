"""One read of one user: from the request's target to a record that is fresh enough.

Owns: the query's parameters, waiting for a revision, the answer when there is none, ETags, how
fresh an answer was, remembering rendered answers.
Does not own: what is shown (views.py), the routes (users.py), who may (auth.py).

Invariants:
- An answer is never older than one that this process gave before, by the store's rule. A store that
  was never complete may hold old revisions of some users and new ones of others, so nobody is
  answered from it.
- The ETag names all that a view is made from: this code's form of it, generation, revision, the
  user's own date, the policy's version. It is weak, because `as_of` and `lag_ms` are added each
  time. A streak that broke overnight has another date, so it is never a 304.
- A remembered answer is used only for the very same record, date and policy. The date of a user can
  only change at a full minute of UTC, as zones and day starts have no seconds; so it is derived
  once a minute at most.
- A remembered answer is forgotten after its user's record was replaced and before anybody is told
  that it was. The reader's thread counts, then forgets; the event loop notes the count, reads the
  record, remembers, and forgets again if the count has moved. So whichever comes first, an answer
  that was made from the old record is not there when both are through. Each step is one operation
  on a dict or an int; there is no lock.

All but `_forget` runs on the event loop's thread.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from pipeline import metrics_api as m
from pipeline.api.freshness import AsOf, Freshness
from pipeline.api.materialise import Materialiser
from pipeline.api.measures import ApiMetrics
from pipeline.api.problems import ProblemError
from pipeline.api.store import HEAD
from pipeline.api.views import EPOCH_ORDINAL, UserNow, UserView, Views
from pipeline.api.waiting import Waiters
from pipeline.config_api import ApiSettings
from pipeline.core.reading import today
from pipeline.core.records import LocalDate
from pipeline.core.rulebook import Policy, PolicyBook
from pipeline.core.streak import today_of

FORM: Final = "1"
"""Of the views; it changes with any of them, so that a new release is not answered with 304."""

REVISION_MAX: Final = 2**63 - 1
_MINUTE_MS: Final = 60_000
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_encode: Final = msgspec.json.Encoder().encode


class Rendered:
    """An answer to `progress` that may serve again.

    Attributes:
        minute: of UTC, for which `date` was derived last.
        head: the JSON but for its last members and brace.
        freshness: of the store that it was made from.
    """

    __slots__ = (
        "date",
        "etag",
        "freshness",
        "head",
        "minute",
        "partition",
        "policy",
        "revision",
        "tz",
    )

    def __init__(self, user: UserNow, partition: int, head: bytes, freshness: Freshness) -> None:
        self.policy = user.policy
        self.date = user.now.date
        self.tz = user.record.tz
        self.revision = user.record.revision
        self.partition = partition
        self.etag = etag_of(user)
        self.head = head
        self.freshness = freshness
        self.minute = -1


class Reads:
    """What the routes of users have in common.

    Args:
        source: the store and how fresh it is.
        waiters: for `min_revision`.
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
        # The oldest first; what is full drops them in the order in which they were made.
        self._answers: dict[str, Rendered] = {}
        self._changes = 0
        self._results = {"fresh": 0, "waited": 0, "stale": 0, "missed": 0}
        self._outcomes = {"reused": 0, "rendered": 0}
        source.listeners.append(self._forget)
        source.listeners.append(self._waiters.changed)
        metrics.before_scrape.append(self._measure)

    async def find(self, user: bytes, min_revision: int) -> bytes:
        """The store's entry of a user.

        Args:
            min_revision: 0 takes what there is.

        Raises:
            ProblemError: 404, there is none; 503, there is none yet or none so new.
        """
        is_loaded = self._source.is_loaded
        raw = self._source.store.raw(user) if self._source.is_usable else None
        if min_revision:
            raw = await self._wait(user, min_revision, raw)
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

    async def _wait(self, user: bytes, min_revision: int, raw: bytes | None) -> bytes:
        if raw is not None and _revision(raw) >= min_revision:
            self._count(raw)
            return raw
        if not self._waiters.is_full:
            event = self._waiters.join(user)
            try:
                async with asyncio.timeout(self._wait_s_max):
                    while True:
                        event.clear()
                        raw = self._source.store.raw(user)
                        if not self._source.is_usable:
                            raw = None
                        if raw is not None and _revision(raw) >= min_revision:
                            self._results["waited"] += 1
                            return raw
                        await event.wait()
            except TimeoutError:
                raw = self._source.store.raw(user)
            finally:
                self._waiters.leave(user, event)
        self._results["missed"] += 1
        raise self._not_yet(min_revision, raw if self._source.is_usable else None)

    def _not_yet(self, min_revision: int, raw: bytes | None) -> ProblemError:
        body: dict[str, object] = {"min_revision": min_revision, "revision": 0, "have": None}
        if raw is not None:
            user = self.user_now(raw)
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
        """Until when what is known of this user is complete."""
        return self.as_of_partition(partition_of(raw))

    def as_of_partition(self, partition: int) -> AsOf | None:
        """Until when what is known of these users is complete."""
        return self._source.freshness.as_of(partition)

    def user_now(self, raw: bytes) -> UserNow:
        """A store's entry as it is to be read at this instant."""
        now_ms = self.now_ms()
        record = self._source.decode(raw[HEAD.size :])
        policy = self._policies.at(now_ms)
        return UserNow(record, today(record, now_ms, policy), policy)

    def remembered(self, user_id: str, min_revision: int, now_ms: int) -> Rendered | None:
        """The answer to `progress` that still holds, if there is one; `serve` it."""
        known = self._answers.get(user_id)
        if known is None or known.revision < min_revision:
            return None
        freshness = self._source.freshness
        if known.freshness is not freshness or not self._still_holds(known, now_ms):
            return None
        return known

    def serve(self, known: Rendered, now_ms: int) -> AsOf | None:
        """Count a remembered answer as a read; says until when it is complete."""
        as_of = known.freshness.as_of(known.partition)
        behind = as_of is None or now_ms - as_of.ms > self._stale_ms
        self._results["stale" if behind else "fresh"] += 1
        self._outcomes["reused"] += 1
        return as_of

    async def progress(self, user_id: str, min_revision: int) -> Rendered:
        """The answer to `progress`, made anew.

        Args:
            user_id: that can be one.

        Raises:
            ProblemError: as `find`.
        """
        user = user_id.encode()
        changes, freshness = self._changes, self._source.freshness
        raw = await self.find(user, min_revision)
        if min_revision:
            changes, freshness = self._changes, self._source.freshness
            raw = self._source.store.raw(user) or raw
        now = self.user_now(raw)
        made = Rendered(now, partition_of(raw), body_head(self.views.progress(now)), freshness)
        self._outcomes["rendered"] += 1
        answers = self._answers
        answers[user_id] = made
        if self._changes != changes:
            answers.pop(user_id, None)
        while len(answers) > self._answers_max:
            # The reader's thread may forget one between the two steps; then once more.
            with suppress(RuntimeError):
                answers.pop(next(iter(answers), user_id), None)
        return made

    def _forget(self, users: Sequence[bytes]) -> None:
        """These users' records were replaced. The reader's thread."""
        self._changes += 1
        pop = self._answers.pop
        for user in users:
            pop(user.decode("utf-8", "replace"), None)

    def _still_holds(self, known: Rendered, now_ms: int) -> bool:
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
    """The weak ETag of every view of a user who is read at that instant."""
    record, policy = user.record, user.policy
    version = policy.version.encode().hex()[:32]
    tag = f"{FORM}.{record.generation}.{record.revision}.{user.now.date}.{version}"
    return f'W/"{tag}"'.encode()


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Whether a client that has these has this; weak comparison, as RFC 9110 has it."""
    if if_none_match == etag or if_none_match.strip() == b"*":
        return True
    wanted = etag.removeprefix(b"W/")
    return any(one.strip().removeprefix(b"W/") == wanted for one in if_none_match.split(b","))


def body_head(view: UserView) -> bytes:
    """The JSON of a view but for its last members and brace, see `body_of`."""
    return _encode(view)[:-1]


def body_of(head: bytes, as_of: AsOf | None, now_ms: int) -> bytes:
    """The JSON of a view as of now."""
    if as_of is None:
        return head + b',"as_of":null,"lag_ms":null}'
    return head + b',"as_of":"%b","lag_ms":%d}' % (as_of.bytes, max(0, now_ms - as_of.ms))


def query_of(raw: bytes, known: tuple[str, ...]) -> dict[str, str]:
    """The parameters of a query.

    Args:
        known: their names.

    Raises:
        ProblemError: 400, an unknown or repeated one, or no text.
    """
    if not raw:
        return {}
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32
        )
    except ValueError:
        raise _bad_query("the query is not text, or has too many parameters") from None
    for name, value in pairs:
        if name not in known:
            raise _bad_query(f"there is no parameter {name[:40]!r}; there are {', '.join(known)}")
        if name in found:
            raise _bad_query(f"{name} is given twice")
        found[name] = value
    return found


def number_of(query: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number of a query.

    Raises:
        ProblemError: 400, it is none, or is out of range.
    """
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not least <= int(text) <= most:
        raise _bad_query(f"{name} must be a whole number from {least} to {most}")
    return int(text)


def date_of_query(query: dict[str, str], name: str, default: LocalDate) -> LocalDate:
    """A local date of a query.

    Raises:
        ProblemError: 400, it is none.
    """
    text = query.get(name)
    if text is None:
        return default
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).toordinal() - EPOCH_ORDINAL
    except ValueError:
        pass
    raise _bad_query(f"{name} must be a date such as 2026-03-01")


def _bad_query(detail: str) -> ProblemError:
    return ProblemError(400, "bad-query", "Bad query", detail)


def partition_of(raw: bytes) -> int:
    """The partition that a store's entry came from."""
    partition: int = HEAD.unpack_from(raw)[0]
    return partition


def _revision(raw: bytes) -> int:
    revision: int = HEAD.unpack_from(raw)[2]
    return revision
