"""The policy file, read as the plain YAML it is.

Owns: the numbers and portals of each policy version, and which version rules an instant.
Does not own: whether the file is coherent; the pipeline refuses one that is not.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import yaml

DAY_MS = 86_400_000
SECOND_MS = 1_000


@dataclass(frozen=True, slots=True)
class Portal:
    """A milestone: it opens on `day` (1 and up) of a cycle and grants `keys` (0 and up) keys."""

    slug: str
    day: int
    keys: int


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of the policy. Every length of time is in milliseconds.

    Attributes:
        bridge_shift: whether a bridge takes the shift of a traveller's clock into account.
    """

    version: str
    effective_from_ms: int
    cycle_days: int
    day_start: timedelta
    late_ms: int
    skew_tolerance_ms: int
    clock_ahead_ms_max: int
    future_skew_ms: int
    session_ms_min: int
    session_ms_max: int
    window_ms: int
    earliest_date: date
    bridge_shift: bool
    portals: tuple[Portal, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """Every version, earliest first."""

    policies: tuple[Policy, ...]

    def at(self, append_time_ms: int) -> Policy:
        """Return the version in force; the first one also rules what came before it."""
        in_force = self.policies[0]
        for policy in self.policies:
            if policy.effective_from_ms <= append_time_ms:
                in_force = policy
        return in_force


def load_rules(text: str) -> Rules:
    """Return the rules in a policy file's YAML `text`."""
    document = yaml.safe_load(text)
    versions = [_policy(document, version) for version in document["versions"]]
    return Rules(tuple(sorted(versions, key=lambda policy: policy.effective_from_ms)))


def _policy(document: dict[str, Any], version: dict[str, Any]) -> Policy:
    hours, minutes = map(int, version["day_start"].split(":"))
    effective_from: datetime = version["effective_from"]
    return Policy(
        version=version["version"],
        effective_from_ms=int(effective_from.timestamp()) * SECOND_MS,
        cycle_days=document["cycle_days"],
        day_start=timedelta(hours=hours, minutes=minutes),
        late_ms=version["late_days"] * DAY_MS,
        skew_tolerance_ms=version["skew_tolerance_s"] * SECOND_MS,
        clock_ahead_ms_max=version.get("clock_ahead_s_max", DAY_MS // SECOND_MS) * SECOND_MS,
        future_skew_ms=version["future_skew_s"] * SECOND_MS,
        session_ms_min=version["session_s_min"] * SECOND_MS,
        session_ms_max=version["session_s_max"] * SECOND_MS,
        window_ms=document["window_days"] * DAY_MS,
        earliest_date=document["earliest_date"],
        bridge_shift=version.get("bridge_shift", False),
        portals=tuple(
            Portal(portal["slug"], portal["day"], portal["keys"]) for portal in version["portals"]
        ),
    )
