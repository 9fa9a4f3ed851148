"""What has happened lately, to whomever.

Owns: the last events in memory, what it begins with after a restart.
Does not own: reading the topics (index.py, hub.py), what is kept on disk (recent.py), the
stream to a browser (tail.py).
Invariants: memory is bounded, and what comes from the index cannot push out what comes from the
streamed topics, nor the other way round. Events have numbers that only grow; who reads on from a
number gets every later event that is still there, and learns how many are not.

Threads: the one that indexes outcomes and the event loop add, each to a deque of its own; the event
loop reads. One lock keeps numbers in the order in which they can be seen, so nobody reads past one.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count, takewhile
from operator import attrgetter
from typing import Any, Final, NamedTuple

from pipeline.api.console.history import place, row_of
from pipeline.api.live.events import EventTexts, Streamed
from pipeline.api.outcomes.rows import Entry
from pipeline.core.records import GeometryUpdated, Instant, ProgressUpdated

EVENTS_MAX: Final = 2_000
"""Of the index, and as many of the streamed topics."""

_STREAMED: Final = {0: "progress", 2: "geometry"}
"""What is taken from the streamed topics; portals come from the index."""

KINDS: Final = ("audit", "portal", "progress", "geometry", "alert", "dead-letter")
_KIND_OF_TOPIC: Final = {
    "audit": "audit", "portals": "portal", "reconciliation": "alert", "deadletters": "dead-letter",
}  # fmt: skip


class Event(NamedTuple):
    """One event.

    Attributes:
        content: an indexed Entry, or a Streamed record of `partition`.
    """

    number: int
    kind: str
    user: str
    partition: int
    content: Entry | Streamed

    @property
    def time_ms(self) -> Instant:
        return self.content.time_ms


class Told(NamedTuple):
    """An event for a person; as rows of history.py have it."""

    number: int
    kind: str
    user: str
    time_ms: Instant
    word: str
    tone: str
    text: str
    source: str


class Watch:
    """The last events.

    Args:
        prefix: of the topics.
        texts: decodes streamed records.
        now_ms: the time of day.
    """

    def __init__(self, prefix: str, texts: EventTexts, now_ms: Callable[[], int]) -> None:
        self.prefix = prefix
        self._texts = texts
        self._started_ms = now_ms()
        self._epoch = f"{self._started_ms:x}"
        self._numbers = count(1)
        self._indexed: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._streamed: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._lock = threading.Lock()
        self._before: list[Event] | None = []

    def begin(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """Begin with what was indexed before the start, the newest last."""
        for user, entry in entries:
            self.indexed(user, entry)

    def indexed(self, user: str, entry: Entry) -> None:
        """A record of the outcomes was indexed."""
        kind = _KIND_OF_TOPIC[entry.topic]
        self._add(self._indexed, Event(0, kind, user, entry.partition, entry))

    def streamed(self, key: bytes, partition: int, one: Streamed) -> None:
        """A record of the streamed topics came."""
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
        """What was streamed before the start has come, partition by partition: put it in order."""
        before, self._before = self._before or [], None
        for one in sorted(before, key=attrgetter("time_ms"))[-EVENTS_MAX:]:
            self._add(self._streamed, one)

    def _add(self, events: deque[Event], event: Event) -> None:
        with self._lock:
            events.append(event._replace(number=next(self._numbers)))

    def place(self, number: int) -> str:
        """A number as it is told to a browser: another process's numbers are others."""
        return f"{self._epoch}-{number}"

    @property
    def end(self) -> str:
        """The place after everything that came."""
        return self.place(max((one.number for one in self._after(0)), default=0))

    def number_of(self, given: str) -> int:
        """The number of a place; 0 of what is none of ours: then everything is later."""
        epoch, _, number = given.partition("-")
        is_ours = epoch == self._epoch and number.isascii() and number.isdigit()
        return int(number) if is_ours and len(number) < 19 else 0

    def last(self, kinds: frozenset[str], user: str, limit: int) -> list[Event]:
        """The latest events by their time, the newest last.

        Args:
            kinds: of KINDS. user: an id; empty: everybody's.
        """
        found = [one for one in self._after(0) if _fits(one, kinds, user)]
        return sorted(found, key=attrgetter("time_ms"))[-limit:]

    def since(
        self, number: int, kinds: frozenset[str], user: str, limit: int
    ) -> tuple[list[Event], int, int]:
        """Events above a number, the newest last, at most `limit`.

        Returns:
            The events, the number to read on from, and how many are left out.
        """
        later = self._after(number)
        if not later:
            return [], number, 0
        found = [one for one in later if _fits(one, kinds, user)]
        last = later[-1].number
        gone = last - number - len(later) if number else 0
        return found[-limit:], last, max(0, len(found) - limit) + gone

    def people(self) -> Iterator[str]:
        """Users of the latest audit entries, the newest first; they repeat."""
        with self._lock:
            found = _above(0, self._indexed)
        for one in found:
            if one.kind == "audit" and one.user:
                yield one.user

    def tell(self, event: Event) -> Told | None:
        """An event for a person; None of a record that is none of ours."""
        content = event.content
        if isinstance(content, Entry):
            row = row_of(content, self.prefix)
            return Told(
                *(event.number, event.kind, event.user, row.time_ms, row.word, row.tone),
                *(row.text, row.source),
            )
        record: Any = self._texts.read(content)
        word, text = _streamed(record)
        topic = f"{self.prefix}{event.kind}"
        source = place(topic, event.partition, content.offset)
        tone = "quiet" if content.value is not None else "notice"
        return Told(
            *(event.number, event.kind, event.user, content.time_ms, word, tone, text, source)
        )

    def _after(self, number: int) -> list[Event]:
        """Events above a number, by their numbers."""
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
