"""The pipeline's fold and the oracle, fed the same events and compared after each.

The window is kept here in dicts: what the worker's own table does with it is tested elsewhere.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import msgspec

from pipeline.core.dedupe import Cover, SeenCompletion, SeenUpdate
from pipeline.core.fold import Outcome, World, fold_command, fold_completion
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.policy import load_policy
from pipeline.core.progress import progress_of
from pipeline.core.records import Cause, Command, PracticeCompleted, ProgressUpdated, Run
from pipeline.core.state import UserState
from pipeline.oracle import (
    Completion,
    Judgement,
    Rules,
    SupportCommand,
    UserModel,
    Verdict,
    judge_read,
    load_rules,
)

EPOCH = date(1970, 1, 1)
CATALOGUE = GoldenCatalogue()
Event = PracticeCompleted | Command


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
        self.memory = Memory(self.world.policies.window_ms)
        self.states: dict[str, UserState] = {}
        self.last: dict[str, tuple[Cause, int]] = {}
        self.judgement = Judgement()
        self.events = 0

    def take(self, event: Event, append_time: int) -> tuple[Outcome, Verdict]:
        """Fold and judge one event, compare, and return both answers."""
        self.events += 1
        self.memory.now = append_time
        state = self.states.get(event.user_id, UserState())
        if isinstance(event, PracticeCompleted):
            cause = Cause("completions", 0, self.events, event.completion_id)
            outcome = fold_completion(state, self.memory, event, cause, append_time, self.world)
            judged = self._judge(_as_completion(event), cause, append_time)
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
        place: Any = (cause.topic, cause.partition, cause.offset)
        return judge_read(self.judgement, event, place, at_ms, self.rules)

    def _compare(self, event: Event, outcome: Outcome, judged: Verdict, cause: Cause) -> None:
        assert outcome.verdict == judged.word, (event, outcome.rejection, judged)
        if judged.word in ("accepted", "overlap"):
            assert outcome.local_date == _days(judged.local_date), event
        if judged.originals:
            assert outcome.alert is not None
            original = outcome.alert.original
            assert (original.topic, original.partition, original.offset) in judged.originals
        else:
            assert outcome.alert is None
        user = self.judgement.users.get(event.user_id)
        due = []
        if user is not None:
            due = [u for u in user.unlocks.values() if u.place[2] == cause.offset]
        told = [(u.lap, u.portal, u.reached_on, u.field_keys) for u in outcome.unlocks]
        assert told == [(u.lap, u.slug, _days(u.reached_on), u.keys) for u in due], event

    def compare_users(self) -> None:
        """Compare what is shown of everyone with what ought to be."""
        assert self.states.keys() == self.judgement.users.keys()
        for user_id, state in self.states.items():
            cause, at_ms = self.last[user_id]
            shown = progress_of(user_id, state, cause, at_ms, self.world)
            user = self.judgement.users[user_id]
            assert shown_of(shown) == expected_of(user, self.rules, at_ms), user_id


def shown_of(progress: ProgressUpdated) -> dict[str, Any]:
    """Return what a progress record says of the domain."""
    return {
        "revision": progress.revision,
        "streak_days": progress.streak_days,
        "longest_days": progress.longest_days,
        "lifetime_days": progress.lifetime_days,
        "lap": progress.lap,
        "cycle_day": progress.cycle_day,
        "last_local_date": progress.last_local_date,
        "streak_safe_until": progress.streak_safe_until,
        "tz": progress.tz,
        "practised": _spelled(progress.dates.practised),
        "bridged": _spelled(progress.dates.bridged),
        "credited": _spelled(progress.dates.credited),
        "revoked": _spelled(progress.dates.revoked),
        "portals": [(p.lap, p.slug, p.reached_on, p.unlocked_at) for p in progress.portals],
        "granted": list(progress.keys.granted),
        "claimed": list(progress.keys.claimed),
        "pending": progress.field_keys_pending,
    }


def expected_of(user: UserModel, rules: Rules, at_ms: int) -> dict[str, Any]:
    """Return what the oracle would have a progress record say."""
    shown = user.progress(at_ms, rules.at(at_ms))
    return {
        "revision": user.revision,
        "streak_days": shown.streak_days,
        "longest_days": shown.longest_days,
        "lifetime_days": shown.lifetime_days,
        "lap": shown.lap,
        "cycle_day": shown.cycle_day,
        "last_local_date": _days(shown.last_local_date),
        "streak_safe_until": _days(shown.streak_safe_until),
        "tz": user.tz,
        "practised": sorted(_days(d) for d in user.practised),
        "bridged": sorted(_days(d) for d in user.bridged),
        "credited": sorted(_days(d) for d in user.credited),
        "revoked": sorted(_days(d) for d in user.revoked),
        "portals": [
            (u.lap, u.slug, _days(u.reached_on), u.unlocked_at_ms) for u in user.unlocks.values()
        ],
        "granted": sorted(user.keys_granted),
        "claimed": sorted(user.keys_claimed),
        "pending": len(user.keys_pending),
    }


def _spelled(runs: tuple[Run, ...]) -> list[int]:
    return [run.start + i for run in runs for i in range(run.length)]


def _days(local_date: date | None) -> Any:
    return None if local_date is None else (local_date - EPOCH).days


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
    )


def _as_command(event: Command) -> SupportCommand:
    fields = msgspec.structs.asdict(event)
    del fields["payload"], fields["payload_append_time"]
    if event.local_date is not None:
        fields["local_date"] = EPOCH + timedelta(days=event.local_date)
    return SupportCommand(**fields)
