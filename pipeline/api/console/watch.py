"""The latest events of all users.

Owns: the latest events in memory, and which events they begin with after a restart.
Does not own: reading the topics (index.py, hub.py), what is kept on disk (latest_rows.py), the
stream to a browser (tail.py).
Invariants: memory is bounded, and events of the index never push out events of the streamed topics,
nor the other way round. The number of an event only grows; a reader that goes on from a number gets
every later event that is still in memory, and learns how many are not.

Threads: the thread that indexes outcomes and the event loop each add to a deque of their own; the
event loop reads. One lock makes events visible in the order of their numbers, so no reader skips
one.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, takewhile
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, get_args

from pipeline.api.console.history import Tone, place, row_of
from pipeline.api.live.events import EventTexts, Streamed
from pipeline.api.outcomes.rows import Entry
from pipeline.core.records import GeometryUpdated, Instant, ProgressUpdated

EVENTS_MAX: Final = 2_000
"""Max events of the index in memory, and as many of the streamed topics."""

EventKind = Literal["audit", "portal", "progress", "geometry", "alert", "dead-letter"]

_STREAMED: Final[Mapping[int, EventKind]] = {0: "progress", 2: "geometry"}
"""Kinds of events by streamed topic; portals come from the index."""

KINDS: Final[tuple[EventKind, ...]] = get_args(EventKind)
_KIND_OF_TOPIC: Final[Mapping[str, EventKind]] = {
    "audit": "audit", "portals": "portal", "reconciliation": "alert", "deadletters": "dead-letter",
}  # fmt: skip


class Event(NamedTuple):
    """One event.

    Attributes:
        content: an indexed Entry, or a Streamed record of `partition`.
    """

    number: int
    kind: EventKind
    user: str
    partition: int
    content: Entry | Streamed

    @property
    def time_ms(self) -> Instant:
        """Return the time of the record, ms since the epoch."""
        return self.content.time_ms


class Line(NamedTuple):
    """An event in words for a person, like a row of history.py."""

    number: int
    kind: EventKind
    user: str
    time_ms: Instant
    word: str
    tone: Tone
    text: str
    source: str


class Watch:
    """The latest events.

    Args:
        prefix: the prefix of the topics.
        texts: decodes streamed records.
        now_ms: the time of day, ms since the epoch.
    """

    def __init__(self, prefix: str, texts: EventTexts, now_ms: Callable[[], int]) -> None:
        self.prefix = prefix
        self._texts = texts
        self._started_ms = now_ms()
        self._process_name = f"{self._started_ms:x}"
        self._numbers = count(1)
        self._indexed: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._streamed: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._lock = threading.Lock()
        self._before: list[Event] | None = []

    def begin(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """Add what was indexed before the start, the newest last."""
        for user, entry in entries:
            self.indexed(user, entry)

    def indexed(self, user: str, entry: Entry) -> None:
        """Add a record of the outcomes that was indexed."""
        kind = _KIND_OF_TOPIC[entry.topic]
        self._add(self._indexed, Event(0, kind, user, entry.partition, entry))

    def streamed(self, key: bytes, partition: int, one: Streamed) -> None:
        """Add a record of the streamed topics."""
        kind = _STREAMED.get(one.topic)
        if kind is None:
            return
        event = Event(0, kind, key.decode("utf-8", "replace"), partition, one)
        if self._before is not None and one.time_ms < self._started_ms:
            self._before.append(event)
            return
        self.streamed_to_end()
        self._add(self._streamed, event)

    def streamed_to_end(self) -> None:
        """Put the records from before the start in order, as they came partition by partition."""
        before, self._before = self._before or [], None
        for one in sorted(before, key=attrgetter("time_ms"))[-EVENTS_MAX:]:
            self._add(self._streamed, one)

    def _add(self, events: deque[Event], event: Event) -> None:
        with self._lock:
            events.append(event._replace(number=next(self._numbers)))

    def place(self, number: int) -> str:
        """Return the name of a number for a browser; another process has other names."""
        return f"{self._process_name}-{number}"

    @property
    def end(self) -> str:
        """Return the place after all events."""
        return self.place(max((one.number for one in self._after(0)), default=0))

    def number_of(self, given: str) -> int:
        """Return the number of a place; 0 for a foreign place, so that every event is later."""
        name, _, number = given.partition("-")
        is_ours = name == self._process_name and number.isascii() and number.isdigit()
        return int(number) if is_ours and len(number) < 19 else 0

    def last(self, kinds: frozenset[str], user: str, limit: int) -> list[Event]:
        """Return the latest events by their time, the newest last.

        Args:
            kinds: the kinds that are wanted, of KINDS.
            user: the id of a user; empty: all users.
        """
        found = [one for one in self._after(0) if _fits(one, kinds, user)]
        return sorted(found, key=attrgetter("time_ms"))[-limit:]

    def since(
        self, number: int, kinds: frozenset[str], user: str, limit: int
    ) -> tuple[list[Event], int, int]:
        """Return the events above a number, the newest last, at most `limit`.

        Returns:
            The events, the number to go on from, and how many events are left out.
        """
        later = self._after(number)
        if not later:
            return [], number, 0
        found = [one for one in later if _fits(one, kinds, user)]
        last = later[-1].number
        gone = last - number - len(later) if number else 0
        return found[-limit:], last, max(0, len(found) - limit) + gone

    def people(self) -> Iterator[str]:
        """Return the users of the latest audit entries, the newest first; users repeat."""
        with self._lock:
            found = _above(0, self._indexed)
        for one in found:
            if one.kind == "audit" and one.user:
                yield one.user

    def line_of(self, event: Event) -> Line:
        """Put an event into words."""
        content = event.content
        if isinstance(content, Entry):
            row = row_of(content, self.prefix)
            return Line(
                *(event.number, event.kind, event.user, row.time_ms, row.word, row.tone),
                *(row.text, row.source),
            )
        record: Any = self._texts.read(content)
        word, text = _streamed(record)
        topic = f"{self.prefix}{event.kind}"
        source = place(topic, event.partition, content.offset)
        tone: Tone = "quiet" if content.value is not None else "notice"
        return Line(
            *(event.number, event.kind, event.user, content.time_ms, word, tone, text, source)
        )

    def _after(self, number: int) -> list[Event]:
        """Return the events above a number, in the order of their numbers."""
        with self._lock:
            found = [_above(number, events) for events in (self._indexed, self._streamed)]
        return sorted(found[0] + found[1], key=attrgetter("number"))


def _above(number: int, events: deque[Event]) -> list[Event]:
    return list(takewhile(lambda one: one.number > number, reversed(events)))


def _fits(event: Event, kinds: frozenset[str], user: str) -> bool:
    return event.kind in kinds and (not user or event.user == user)


def _streamed(record: Any) -> tuple[str, str]:
    if isinstance(record, ProgressUpdated):
        days = f"{record.streak_days} day{'' if record.streak_days == 1 else 's'}"
        return days, f"revision {record.revision}, longest {record.longest_days}"
    if isinstance(record, GeometryUpdated):
        figure = record.figure.replace("-", " ")
        done = ", complete" if record.figure_completed else ""
        return f"frame {record.frame}", f"{figure}{done}"
    return ("erased", "") if record is None else ("other", "")
