"""What the outputs ought to say, from the oracle's answer.

Owns: the oracle's users and verdicts in the words of the public records.
Does not own: the oracle, the comparison (comparing.py).
"""

from collections.abc import Collection
from datetime import date
from typing import Any, Final

from pipeline.dev.oracle import Rules, UserModel, Verdict

EPOCH: Final = date(1970, 1, 1)

REASONS: Final[dict[str, frozenset[str]]] = {
    kind: frozenset(reasons.split())
    for kind, reasons in {
        "no_key": "no_key",
        "key_not_user": "key_not_user",
        "wrong_partition": "wrong_partition",
        "unknown_schema": "unknown_schema_id",
        "truncated": "truncated_avro malformed_avro",
        "wrong_type": "wrong_type",
        "bad_instant": "invalid_instant instant_without_offset",
        "repeated_field": "duplicate_field",
        "half_a_character": "invalid_text",
        "bad_name": "bad_completion_id bad_session_id bad_practice",
        "missing_field": "missing_field",
        "empty": "null_value empty_value",
        "noise": "unknown_format",
        "invalid_utf8": "invalid_utf8",
        "unknown_zone": "unknown_zone",
        "ends_before_start": "ends_before_start",
        "too_short": "too_short",
        "too_far_ahead": "too_far_ahead",
        "clock_too_far_ahead": "clock_too_far_ahead",
        "too_late": "too_late",
        "not_a_number": "malformed_json",
        "huge_number": "instant_out_of_range wrong_type field_too_long",
        "nested": "malformed_json wrong_type",
        "impossible_key": "unknown_key",
        "credit_ahead": "date_too_far_ahead",
        "credit_too_early": "date_too_early",
        "credit_without_date": "no_local_date",
        "withdraws_nothing": "bad_withdraws",
        "credit_in_no_zone": "unknown_zone",
        "outdated_repair": "state_changed",
    }.items()
}
"""Reasons that the pipeline may give for each kind of garbage."""


def days(local_date: date | None) -> int | None:
    """Return a date as the records have it."""
    return None if local_date is None else (local_date - EPOCH).days


def spelled(runs: Collection[dict[str, int]]) -> list[int]:
    """Return each date of a record's runs."""
    return [run["start"] + i for run in runs for i in range(run["length"])]


def sorted_days(dates: Collection[date]) -> list[int]:
    """Return dates as the records have them, in order."""
    return sorted((one - EPOCH).days for one in dates)


def expected_audit(verdict: Verdict) -> dict[str, Any]:
    """Return what the audit entry of an input has to say, by the record's field names."""
    return {
        "user_id": verdict.user_id,
        "local_date": days(verdict.local_date),
        "revision": verdict.revision,
        "tz": verdict.tz,
        "tz_assumed": verdict.assumed,
        "revoked_by": list(verdict.revoked_by),
    }


def expected_progress(user: UserModel, rules: Rules, at_ms: int) -> dict[str, Any]:
    """Return what a user's progress record of the instant `at_ms` has to say.

    Returns:
        By the record's field names; dates spelled out, portals without their assets.
    """
    shown = user.progress(at_ms, rules.at(at_ms))
    return {
        "revision": user.revision,
        "streak_days": shown.streak_days,
        "longest_days": shown.longest_days,
        "lifetime_days": shown.lifetime_days,
        "lap": shown.lap,
        "cycle_day": shown.cycle_day,
        "last_local_date": days(shown.last_local_date),
        "streak_safe_until": days(shown.streak_safe_until),
        "tz": user.tz,
        "tz_known": user.zone is not None,
        "dates": {
            "practised": sorted_days(user.practised),
            "bridged": sorted_days(user.bridged),
            "credited": sorted_days(user.credited),
            "revoked": sorted_days(user.revoked),
        },
        "portals": [
            (one.lap, one.slug, days(one.reached_on), one.unlocked_at_ms)
            for one in user.unlocks.values()
        ],
        "keys": {"granted": sorted(user.keys_granted), "claimed": sorted(user.keys_claimed)},
        "field_keys_pending": len(user.keys_pending),
    }


def shown_progress(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a progress record says, in the form of `expected_progress`."""
    renamed = {
        "dates": {kind: spelled(runs) for kind, runs in record["dates"].items()},
        "portals": [
            (one["lap"], one["slug"], one["reached_on"], one["unlocked_at"])
            for one in record["portals"]
        ],
        "keys": {kind: list(ids) for kind, ids in record["keys"].items()},
    }
    plain = (
        "revision", "streak_days", "longest_days", "lifetime_days", "lap", "cycle_day",
        "last_local_date", "streak_safe_until", "tz", "tz_known", "field_keys_pending",
    )  # fmt: skip
    return renamed | {name: record[name] for name in plain}
