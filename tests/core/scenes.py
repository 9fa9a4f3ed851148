"""What the domain's tests share: a small world, completions, and a log that is folded."""

from collections.abc import Iterable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from pipeline.core.calendar import date_of, instant_of
from pipeline.core.enumerations import WorldOrigin
from pipeline.core.fold import Outcome, World, fold_command, fold_completion
from pipeline.core.policy import PolicyBook, load_policy
from pipeline.core.progress import progress_of
from pipeline.core.records import Cause, Command, PracticeCompleted, ProgressUpdated
from pipeline.core.redrive import (
    MEMORY_MARGIN_MS,
    examine_payload,
    examine_redrive,
    of_redrive,
    redrive_rejected,
)
from pipeline.core.repair import Repair
from pipeline.core.state import EMPTY, UserState
from pipeline.core.zones import Zone, zone_of
from pipeline.ops.validate.state import Remembered

POLICY_TEXT = Path(__file__).parents[2].joinpath("policy.yaml").read_text()
BOOK = load_policy(POLICY_TEXT)
FIRST_TEXT = POLICY_TEXT.partition('  - version: "2026-06"')[0].replace(
    "window_days: 38", "window_days: 17"
)
"""The policy as it was: 14 days, and no shift counts in a bridge."""

OLD_BOOK = load_policy(FIRST_TEXT)
OLD_POLICY = OLD_BOOK.versions[0]
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
USER = "ana"
Event = PracticeCompleted | Command


def at(text: str) -> int:
    """Return an instant written in ISO 8601 with an offset."""
    return instant_of(datetime.fromisoformat(text))


def day(text: str) -> int:
    """Return a local date written in ISO 8601."""
    return date_of(date.fromisoformat(text))


def zone(name: str) -> Zone:
    """Return a zone that exists."""
    found = zone_of(name)
    assert found is not None
    return found


Practice = tuple[str, str, str]
"""(date, time, zone), by the clocks of the zone."""


def clock(practice: Practice) -> int:
    """Return the instant at which the clocks of a zone show a time."""
    when, wall, tz = practice
    moment = datetime.combine(date.fromisoformat(when), time.fromisoformat(wall))
    return instant_of(moment.replace(tzinfo=zone(tz).info))


NOW = at("2026-06-15T12:00:00+00:00")
POLICY = BOOK.at(NOW)
TODAY = NOW // DAY


class Catalogue:
    """Frames drawn nowhere: an id says what it would show. Figures end on the usual portal days."""

    generator_version = "test-1"
    ends = (1, 3, 7, 13, 21, 30, 40, 51, 62, 73, 84, 96, 108)

    def asset_id(self, frame: int, variant: int) -> str:
        return f"asset-{frame}-{variant}"

    def url(self, asset_id: str) -> str:
        return f"https://assets.example/{asset_id}"

    def variant_of(self, user_id: str) -> int:
        return len(user_id) % 12

    def figure_of(self, frame: int) -> str:
        return f"figure-{next(end for end in self.ends if end >= frame)}"


def world(book: PolicyBook = BOOK, origin: WorldOrigin = "live") -> World:
    """Return a world with the test's catalogue."""
    return World(book, Catalogue(), "blue", origin)


def book_of(*portals: tuple[int, str, int], **top: Any) -> PolicyBook:
    """Return a book of the first version alone with other portals: (day, slug, keys)."""
    lines = "".join(
        f"      - {{day: {d}, slug: {slug}, title: {slug}, figure: {slug}, keys: {keys}}}\n"
        for d, slug, keys in portals
    )
    head, _, _ = FIRST_TEXT.partition("    portals:\n")
    text = f"{head}    portals:\n{lines}"
    for name, value in top.items():
        text = "\n".join(
            f"{name}: {value}" if line.startswith(f"{name}:") else line for line in text.split("\n")
        )
    return load_policy(text)


def completion(number: int, completed_at: int, tz: str = "UTC", **other: Any) -> PracticeCompleted:
    """Return a sound completion of ten minutes; ids follow from the number."""
    fields: dict[str, Any] = {
        "completion_id": f"c{number}",
        "user_id": USER,
        "session_id": f"s{number}",
        "practice": "breath",
        "started_at": completed_at - 10 * MINUTE,
        "completed_at": completed_at,
        "tz": tz,
    }
    return PracticeCompleted(**{**fields, **other})


def spanning(number: int, started_at: int, completed_at: int) -> PracticeCompleted:
    """Return a completion of any length, in UTC."""
    return completion(number, completed_at, started_at=started_at)


def command(request_id: str, kind: str, **other: Any) -> Command:
    """Return a command of support, with a reason and a ticket."""
    fields: dict[str, Any] = {"actor": "lea", "reason": "the app was down", "ticket": "T-1"}
    return Command(request_id, USER, kind, **{**fields, **other})


def credit(request_id: str, local_date: int, tz: str | None = None) -> Command:
    return command(request_id, "credit", local_date=local_date, tz=tz)


def revoke(request_id: str, local_date: int, tz: str | None = None) -> Command:
    return command(request_id, "revoke", local_date=local_date, tz=tz)


def withdraw(request_id: str, target: str) -> Command:
    return command(request_id, "withdraw", withdraws=target)


def claim(request_id: str, key_id: str) -> Command:
    return command(request_id, "claim_key", key_id=key_id)


def operation(request_id: str, **other: Any) -> Command:
    """Return an operation about nobody."""
    fields = {"user_id": "", "operation": "rebuild.approve", "subject": "rb-1: diff 3f2a90c1"}
    return replace(command(request_id, "operation"), **{**fields, **other})


def redrive(request_id: str, payload_append_time: int, **other: Any) -> Command:
    """Return a redrive of a completion; its payload is given beside it."""
    fields: dict[str, Any] = {
        "payload": b"of the test",
        "payload_append_time": payload_append_time,
        "payload_topic": "completions",
        "payload_cause": "awaway.completions[3]@17",
    }
    return command(request_id, "redrive", **{**fields, **other})


def repair_of(state: UserState, live: UserState, **other: Any) -> Repair:
    """Return the repair of `live` to a state with the portals published so far, and no more."""
    sets = replace(state.sets, unlocked=live.sets.unlocked)
    wanted = replace(state, sets=sets, portals=live.portals, granted=live.granted)
    return replace(Repair(live.revision, live.digest, wanted), **other)


class Log:
    """One user's inputs, folded one after the other."""

    def __init__(self, in_world: World | None = None, user_id: str = USER) -> None:
        self.world = in_world or world()
        self.user_id = user_id
        self.memory = Remembered(self.world.policies.window_ms)
        self.state: UserState = EMPTY
        self.outcomes: list[Outcome] = []
        self.append_time = 0

    def take(self, event: Event, append_time: int) -> Outcome:
        """Fold an input and keep what it changed."""
        self.memory.now = append_time
        return self._kept(self._fold(event, self._cause(event), append_time, self.world), event)

    def take_redriven(self, asked: Command, event: Event, append_time: int) -> Outcome:
        """Fold a redrive whose payload is an event, as a worker does."""
        rejection = examine_redrive(asked, append_time) or examine_payload(asked, event)
        if rejection is not None:
            return self._kept(redrive_rejected(asked, self.state, rejection, "test"), asked)
        self.memory.now = append_time + MEMORY_MARGIN_MS
        world = replace(self.world, judged_at=asked.payload_append_time)
        outcome = self._fold(event, self._cause(asked), append_time, world)
        return self._kept(of_redrive(asked, outcome), asked)

    def _fold(self, event: Event, cause: Cause, append_time: int, world: World) -> Outcome:
        self.append_time = append_time
        if isinstance(event, Command):
            return fold_command(self.state, event, cause, append_time, world)
        return fold_completion(self.state, self.memory, event, cause, append_time, world)

    def _kept(self, outcome: Outcome, event: Event) -> Outcome:
        if outcome.state is not None:
            self.state = outcome.state
        if outcome.seen is not None:
            self.memory.remember(event.user_id, outcome.seen)
        self.outcomes.append(outcome)
        return outcome

    def take_all(self, events: Iterable[tuple[Event, int]]) -> "Log":
        for event, append_time in events:
            self.take(event, append_time)
        return self

    def _cause(self, event: Event) -> Cause:
        offset = len(self.outcomes)
        if isinstance(event, Command):
            return Cause("commands", 0, offset, event.request_id)
        return Cause("completions", 0, offset, event.completion_id)

    def progress(self, append_time: int | None = None) -> ProgressUpdated:
        """Return the progress now, or at another instant."""
        instant = self.append_time if append_time is None else append_time
        cause = Cause("completions", 0, 0, "")
        return progress_of(self.user_id, self.state, cause, instant, self.world)

    @property
    def unlocked(self) -> list[tuple[int, str]]:
        """The portals told, in order."""
        return [(u.lap, u.portal) for outcome in self.outcomes for u in outcome.unlocks]

    @property
    def verdicts(self) -> list[str]:
        return [outcome.verdict for outcome in self.outcomes]


def practised(log: Log, *days: int) -> Log:
    """Practise at noon on the given days from today on."""
    for n in days:
        when = NOW + n * DAY
        log.take(completion(len(log.outcomes) + 10_000, when), when)
    return log


def reason_of(outcome: Outcome) -> str:
    """Return why an input was rejected."""
    assert outcome.rejection is not None
    assert outcome.verdict == "dead_letter"
    assert outcome.state is None
    assert outcome.seen is None
    return outcome.rejection.reason


def sets_of(log: Log) -> dict[str, Any]:
    """Return the sets by name."""
    return msgspec.structs.asdict(log.state.sets)
