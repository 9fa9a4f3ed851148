"""Small logs for the oracle, written by hand."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.dev.oracle import (
    Completion,
    Judgement,
    Rules,
    SupportCommand,
    UserModel,
    Verdict,
    judge_read,
    load_rules,
)

POLICY = """
cycle_days: 6
earliest_date: 2010-01-01
window_days: 20
versions:
  - version: "one"
    effective_from: 1970-01-01T00:00:00Z
    day_start: "03:00"
    late_days: 14
    skew_tolerance_s: 120
    clock_ahead_s_max: 259200
    future_skew_s: 600
    session_s_min: 60
    session_s_max: 43200
    portals:
      - {day: 1, slug: seed, title: Seed, figure: a, keys: 1}
      - {day: 3, slug: leaf, title: Leaf, figure: b, keys: 2}
      - {day: 6, slug: tree, title: Tree, figure: c, keys: 0}
  - version: "two"
    effective_from: 2026-07-01T00:00:00Z
    day_start: "04:00"
    late_days: 15
    bridge_shift: true
    skew_tolerance_s: 120
    clock_ahead_s_max: 259200
    future_skew_s: 600
    session_s_min: 60
    session_s_max: 43200
    portals:
      - {day: 1, slug: seed, title: Seed, figure: a, keys: 1}
      - {day: 2, slug: stem, title: Stem, figure: b, keys: 1}
      - {day: 6, slug: tree, title: Tree, figure: c, keys: 0}
"""

RULES: Rules = load_rules(POLICY)


def ms(text: str) -> int:
    """Return the instant that ISO 8601 `text` names; in UTC where it names no offset."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return int(instant.timestamp() * 1000)


@dataclass
class Scene:
    """One user's log, written line by line; each line answers with its verdict."""

    tz: str = "UTC"
    user_id: str = "ana"
    judgement: Judgement = field(default_factory=Judgement)
    lines: int = 0

    @property
    def user(self) -> UserModel:
        """What is known of the user by now."""
        return self.judgement.users[self.user_id]

    def sat(
        self, end: str, *, minutes: float = 10, append: str | None = None, **fields: Any
    ) -> Verdict:
        """Report a session that ended at `end`, appended a second later unless said otherwise."""
        end_ms = ms(end)
        self.lines += 1
        described: dict[str, Any] = {
            "completion_id": f"c{self.lines}",
            "session_id": f"s{self.lines}",
            "practice": "breath",
            "tz": self.tz,
            "started_at_ms": end_ms - int(minutes * 60_000),
        } | fields
        completion = Completion(user_id=self.user_id, completed_at_ms=end_ms, **described)
        append_ms = ms(append) if append else end_ms + 1_000
        coordinates = ("completions", 0, self.lines)
        return judge_read(self.judgement, completion, coordinates, append_ms, RULES)

    def asked(self, kind: str, append: str, **fields: Any) -> Verdict:
        """Send a command."""
        self.lines += 1
        defaults = {"request_id": f"r{self.lines}", "actor": "lea"}
        if kind in ("credit", "revoke"):
            defaults |= {"reason": "why", "ticket": "T-1"}
        command = SupportCommand(user_id=self.user_id, kind=kind, **(defaults | fields))
        coordinates = ("commands", 0, self.lines)
        return judge_read(self.judgement, command, coordinates, ms(append), RULES)
