"""What has happened lately, to whomever.

Owns: the last events in memory, how many inputs had which verdict in each minute.
Does not own: reading the topics (outcomes.py, stream_hub.py), the stream to a browser (tail.py).
Invariants: memory is bounded. Events have numbers that only grow; who reads on from a number gets
every later event that is still there, and learns how many are not.

Threads: the one that indexes outcomes and the event loop add, each by one operation on a deque;
the event loop reads.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final, NamedTuple

from pipeline.api.console.history import place, row_of
from pipeline.api.outcomes import Entry
from pipeline.api.stream_events import EventTexts, Streamed
from pipeline.core.records import AuditEntry, GeometryUpdated, Instant, ProgressUpdated

EVENTS_MAX: Final = 2_000
MINUTES_MAX: Final = 60
_MINUTE_MS: Final = 60_000
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
        self._now_ms = now_ms
        self._epoch = f"{now_ms():x}"
        self._numbers = count(1)
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._minutes: dict[int, dict[str, int]] = {}

    def indexed(self, user: str, entry: Entry) -> None:
        """A record of the outcomes was indexed."""
        record = entry.record
        if isinstance(record, AuditEntry):
            self._count(record)
        kind = _KIND_OF_TOPIC[entry.topic]
        self._events.append(Event(next(self._numbers), kind, user, entry.partition, entry))

    def streamed(self, key: bytes, partition: int, one: Streamed) -> None:
        """A record of the streamed topics came."""
        kind = _STREAMED.get(one.topic)
        if kind is not None:
            user = key.decode("utf-8", "replace")
            self._events.append(Event(next(self._numbers), kind, user, partition, one))

    def place(self, number: int) -> str:
        """A number as it is told to a browser: another process's numbers are others."""
        return f"{self._epoch}-{number}"

    @property
    def end(self) -> str:
        """The place after everything that came."""
        events = self._snapshot()
        return self.place(events[-1].number if events else 0)

    def number_of(self, given: str) -> int:
        """The number of a place; 0 of what is none of ours: then everything is later."""
        epoch, _, number = given.partition("-")
        is_ours = epoch == self._epoch and number.isascii() and number.isdigit()
        return int(number) if is_ours and len(number) < 19 else 0

    def last(self, kinds: frozenset[str], user: str, limit: int) -> list[Event]:
        """The latest events, the newest last.

        Args:
            kinds: of KINDS. user: an id; empty: everybody's.
        """
        found = [one for one in self._snapshot() if _fits(one, kinds, user)]
        return found[-limit:]

    def since(
        self, number: int, kinds: frozenset[str], user: str, limit: int
    ) -> tuple[list[Event], int, int]:
        """Events above a number, the newest last, at most `limit`.

        Returns:
            The events, the number to read on from, and how many are left out.
        """
        later = [one for one in self._snapshot() if one.number > number]
        if not later:
            return [], number, 0
        found = [one for one in later if _fits(one, kinds, user)]
        gone = later[0].number - number - 1 if number else 0
        return found[-limit:], later[-1].number, max(0, len(found) - limit) + gone

    def people(self) -> Iterator[str]:
        """Users of the latest audit entries, the newest first; they repeat."""
        for one in reversed(self._snapshot()):
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

    def minutes(self) -> list[tuple[int, dict[str, int]]]:
        """Inputs by verdict in each of the last `MINUTES_MAX` minutes, by append; oldest first.

        Each is the minute's first instant and its counts.
        """
        last = self._now_ms() // _MINUTE_MS
        return [
            (minute * _MINUTE_MS, dict(self._minutes.get(minute, {})))
            for minute in range(last - MINUTES_MAX + 1, last + 1)
        ]

    def _count(self, record: AuditEntry) -> None:
        minute = record.append_time // _MINUTE_MS
        last = self._now_ms() // _MINUTE_MS
        if minute <= last - MINUTES_MAX:
            return
        verdicts = self._minutes.get(minute)
        if verdicts is None:
            kept = {m: v for m, v in self._minutes.items() if m > last - MINUTES_MAX}
            verdicts = kept[minute] = {}
            self._minutes = kept
        verdicts[record.verdict] = verdicts.get(record.verdict, 0) + 1

    def _snapshot(self) -> list[Event]:
        while True:
            try:
                return list(self._events)
            except RuntimeError:  # it was added to meanwhile
                continue


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
