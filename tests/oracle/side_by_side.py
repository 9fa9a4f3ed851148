"""The pipeline's fold and the oracle, fed the same events and compared after each.

The window is kept here in dicts: what the worker's own table does with it is tested elsewhere.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, cast

import msgspec

from pipeline.codec.errors import UnknownSchemaIdError
from pipeline.codec.inputs import InputDecoder
from pipeline.core.dedupe import Cover, SeenCompletion, SeenUpdate
from pipeline.core.fold import Outcome, World, fold_command, fold_completion
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.policy import load_policy
from pipeline.core.progress import progress_of
from pipeline.core.records import Cause, Command, PracticeCompleted
from pipeline.core.state import EMPTY, UserState
from pipeline.dev.demo.alerts import alert_differences
from pipeline.dev.demo.expected import (
    EPOCH,
    days,
    expected_audit,
    expected_progress,
    shown_progress,
)
from pipeline.dev.oracle import (
    Completion,
    Judgement,
    Reader,
    Rules,
    SupportCommand,
    Verdict,
    judge_read,
    load_rules,
)
from pipeline.dev.oracle.users import unlock_id
from pipeline.dev.workload.wire import json_command
from pipeline.worker.payloads import fold_redrive
from pipeline.worker.rules import Rules as WorkerRules
from pipeline.worker.window import Window
from tests.codec.samples import SCHEMAS

CATALOGUE = GoldenCatalogue()
Event = PracticeCompleted | Command
KINDS = {"completions": "completions", "commands": "commands"}


def day(text: str) -> int:
    """Return a date as the records have it."""
    return (date.fromisoformat(text) - EPOCH).days


@dataclass
class Memory:
    """What was accepted of everyone, as of `now`. A `SeenView`."""

    window_ms: int
    now: int = 0
    ids: dict[tuple[str, str], SeenCompletion] = field(default_factory=dict)
    sessions: dict[tuple[str, str], SeenCompletion] = field(default_factory=dict)
    covers: dict[tuple[str, int], tuple[int, Cover]] = field(default_factory=dict)

    def _live(self, seen: SeenCompletion | None) -> SeenCompletion | None:
        return seen if seen and self.now - seen.append_time <= self.window_ms else None

    def by_id(self, user_id: str, completion_id: str) -> SeenCompletion | None:
        return self._live(self.ids.get((user_id, completion_id)))

    def by_session(self, user_id: str, session_id: str) -> SeenCompletion | None:
        return self._live(self.sessions.get((user_id, session_id)))

    def cover(self, user_id: str, cell: int) -> Cover:
        changed, cover = self.covers.get((user_id, cell), (0, ()))
        return cover if self.now - changed <= self.window_ms else ()

    def remember(self, user_id: str, update: SeenUpdate) -> None:
        self.ids[user_id, update.entry.completion_id] = update.entry
        self.sessions[user_id, update.entry.session_id] = update.entry
        for cell, cover in update.covers:
            self.covers[user_id, cell] = (update.entry.append_time, cover)


class SideBySide:
    """One log, folded and judged event by event."""

    def __init__(self, policy: str) -> None:
        self.rules: Rules = load_rules(policy)
        self.world = World(load_policy(policy), CATALOGUE)
        decoder = InputDecoder(SCHEMAS, no_schema)
        self.worker_rules = WorkerRules(self.world, decoder, 1, False, "", 1 << 20)
        self.memory = Memory(self.world.policies.window_ms)
        self.states: dict[str, UserState] = {}
        self.last: dict[str, tuple[Cause, int]] = {}
        self.judgement = Judgement()
        self.events = 0

    def take(self, event: Event, append_time: int) -> tuple[Outcome, Verdict]:
        """Fold and judge one event, compare, and return both answers."""
        self.events += 1
        self.memory.now = append_time
        state = self.states.get(event.user_id, EMPTY)
        if isinstance(event, PracticeCompleted):
            cause = Cause("completions", 0, self.events, event.completion_id)
            outcome = fold_completion(state, self.memory, event, cause, append_time, self.world)
            judged = self._judge(_as_completion(event), cause, append_time)
        elif event.kind == "redrive":
            cause = Cause("commands", 0, self.events, event.request_id)
            given = (event, cause, append_time, lambda _: state)
            outcome = fold_redrive(*given, cast(Window, self.memory), self.worker_rules)
            judged = self._judge(Reader({}).command(json_command(event)), cause, append_time)
        else:
            cause = Cause("commands", 0, self.events, event.request_id)
            outcome = fold_command(state, event, cause, append_time, self.world)
            judged = self._judge(_as_command(event), cause, append_time)
        if outcome.seen is not None:
            self.memory.remember(event.user_id, outcome.seen)
        if outcome.state is not None:
            self.states[event.user_id] = outcome.state
            self.last[event.user_id] = (cause, append_time)
        self._compare(event, outcome, judged, cause)
        return outcome, judged

    def _judge(self, event: Completion | SupportCommand, cause: Cause, at_ms: int) -> Verdict:
        coordinates: Any = (cause.topic, cause.partition, cause.offset)
        return judge_read(self.judgement, event, coordinates, at_ms, self.rules)

    def _compare(self, event: Event, outcome: Outcome, judged: Verdict, cause: Cause) -> None:
        assert outcome.verdict == judged.word, (event, outcome.rejection, judged)
        ought = expected_audit(judged)
        said: dict[str, Any] = {name: getattr(outcome, name) for name in ought}
        said["revoked_by"] = list(outcome.revoked_by)
        assert said == ought, event
        assert (outcome.rejection is None) == (judged.word != "dead_letter")
        alerts = [msgspec.to_builtins(alert) for alert in outcome.alerts]
        verdicts = {(cause.topic, cause.partition, cause.offset): judged}
        assert list(alert_differences(alerts, verdicts, KINDS)) == [], event
        user = self.judgement.users.get(event.user_id)
        due = []
        if user is not None:
            due = [u for u in user.unlocks.values() if u.coordinates[2] == cause.offset]
        unlocked = [
            {
                "unlock_id": u.unlock_id,
                "lap": u.lap,
                "portal": u.portal,
                "cycle_day": u.cycle_day,
                "run": (u.streak_days, u.longest_days, u.lifetime_days),
                "reached_on": u.reached_on,
                "tz": u.tz,
                "keys": (u.field_keys, u.field_keys_pending),
                "next": u.next_portal and (u.next_portal.slug, u.next_portal.days_away),
            }
            for u in outcome.unlocks
        ]
        wanted = [
            {
                "unlock_id": unlock_id(event.user_id, u.lap, u.slug),
                "lap": u.lap,
                "portal": u.slug,
                "cycle_day": u.day,
                "run": (u.shown.streak_days, u.shown.longest_days, u.shown.lifetime_days),
                "reached_on": days(u.reached_on),
                "tz": u.tz,
                "keys": (u.keys, u.keys_pending),
                "next": u.shown.next_portal,
            }
            for u in due
        ]
        assert unlocked == wanted, event

    def compare_users(self) -> None:
        """Compare what is shown of everyone with what ought to be."""
        assert self.states.keys() == self.judgement.users.keys()
        for user_id, state in self.states.items():
            cause, at_ms = self.last[user_id]
            progress = progress_of(user_id, state, cause, at_ms, self.world)
            record = msgspec.to_builtins(progress)
            record["portals"] = [msgspec.structs.asdict(one) for one in progress.portals]
            shown = shown_progress(record)
            user = self.judgement.users[user_id]
            assert shown == expected_progress(user, self.rules, at_ms), user_id


def no_schema(schema_id: int) -> Any:
    """No writer's schema: what is carried here is JSON."""
    raise UnknownSchemaIdError(f"no schema {schema_id}")


def _as_completion(event: PracticeCompleted) -> Completion:
    return Completion(
        completion_id=event.completion_id,
        user_id=event.user_id,
        session_id=event.session_id,
        practice=event.practice,
        started_at_ms=event.started_at,
        completed_at_ms=event.completed_at,
        tz=event.tz,
        sent_at_ms=event.sent_at,
        offset_minutes=event.offset_minutes,
    )


def _as_command(event: Command) -> SupportCommand:
    fields = msgspec.structs.asdict(event)
    del fields["payload"], fields["payload_append_time"]
    if event.local_date is not None:
        fields["local_date"] = EPOCH + timedelta(days=event.local_date)
    return SupportCommand(**fields)
