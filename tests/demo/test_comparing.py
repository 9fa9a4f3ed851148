"""The comparison finds each kind of difference, and nothing in a faultless run."""

from collections.abc import Callable
from copy import deepcopy

import pytest

from pipeline.dev.demo.comparing import (
    EXAMPLES_MAX,
    KINDS,
    Differences,
    compare,
    compare_early_reads,
)
from pipeline.dev.demo.outputs import where
from tests.demo.month import FakeMessage, Run, faultless, rules


def _counts(run: Run) -> dict[str, int]:
    found = compare(run.outputs, run.sent, run.judgement, rules())
    return {kind: count for kind, count in found.counts.items() if count}


def test_a_faultless_run_has_no_differences() -> None:
    run = faultless()
    assert _counts(run) == {}
    assert len(run.outputs.portals) > 100


def _drop_audit(run: Run) -> None:
    del run.outputs.audit[-1]


def _repeat_audit(run: Run) -> None:
    message, entry = run.outputs.audit[-1]
    run.outputs.audit.append((message, entry))


def _swap_audit(run: Run) -> None:
    audit = run.outputs.audit
    last = audit[-1][1]["partition"]
    before = max(n for n, (_, e) in enumerate(audit[:-1]) if e["partition"] == last)
    audit[-1], audit[before] = audit[before], audit[-1]


def _edit_audit(run: Run) -> None:
    message, entry = run.outputs.audit[7]
    value = message.value() or b""
    edited = FakeMessage(value.replace(b"com", b"COM"))
    run.outputs.audit[7] = (edited, entry)  # type: ignore[assignment]


def _other_verdict(run: Run) -> None:
    next(e for _, e in run.outputs.audit if e["verdict"] == "exact")["verdict"] = "accepted"


def _other_date(run: Run) -> None:
    next(e for _, e in run.outputs.audit if e["verdict"] == "accepted")["local_date"] += 1


def _other_revision(run: Run) -> None:
    next(e for _, e in run.outputs.audit if e["verdict"] == "exact")["revision"] = 0


def _zone_not_assumed(run: Run) -> None:
    next(e for _, e in run.outputs.audit if e["tz_assumed"])["tz_assumed"] = False


def _other_zone(run: Run) -> None:
    next(e for _, e in run.outputs.audit if e["tz"] == "Europe/Berlin")["tz"] = "Europe/Rome"


def _not_revoked(run: Run) -> None:
    next(e for _, e in run.outputs.audit if e["revoked_by"])["revoked_by"] = []


def _no_rejection(run: Run) -> None:
    next(e for _, e in run.outputs.audit if e["rejection"])["rejection"] = None


def _stray_audit(run: Run) -> None:
    entry = next(e for _, e in run.outputs.audit if not e["unlock_ids"])
    entry["cause"] = entry["cause"] | {"offset": 10**9}


def _drop_letter(run: Run) -> None:
    run.outputs.dead_letters.pop()


def _repeat_letter(run: Run) -> None:
    run.outputs.dead_letters.append(run.outputs.dead_letters[0])


def _alter_letter(run: Run) -> None:
    run.outputs.dead_letters[0]["value"] = b"tidied up"


def _alter_headers(run: Run) -> None:
    run.outputs.dead_letters[0]["headers"] = [{"key": "a", "value": None}]


def _other_reason(run: Run) -> None:
    run.outputs.dead_letters[0]["reason"] = "bad_weather"


def _drop_alert(run: Run) -> None:
    run.outputs.alerts.pop()


def _repeat_alert(run: Run) -> None:
    run.outputs.alerts.append(run.outputs.alerts[0])


def _other_original(run: Run) -> None:
    exact = next(alert for alert in run.outputs.alerts if alert["verdict"] == "exact")
    exact["original"] = exact["cause"]


def _other_severity(run: Run) -> None:
    next(a for a in run.outputs.alerts if a["severity"] == "error")["severity"] = "notice"


def _same_fields(run: Run) -> None:
    next(a for a in run.outputs.alerts if "tz" in a["differing_fields"])["differing_fields"] = []


def _other_alert_date(run: Run) -> None:
    run.outputs.alerts[0]["original_local_date"] += 1


def _drop_assumed_zone(run: Run) -> None:
    alerts = run.outputs.alerts
    alerts.remove(next(a for a in alerts if a["verdict"] == "assumed_zone"))


def _zone_is_known(run: Run) -> None:
    next(r for r in run.outputs.progress.values() if not r["tz_known"])["tz_known"] = True


def _drop_portal(run: Run) -> None:
    run.outputs.portals.pop()


def _repeat_portal(run: Run) -> None:
    run.outputs.portals.append(run.outputs.portals[3])


def _stray_portal(run: Run) -> None:
    run.outputs.portals[3] = run.outputs.portals[3] | {"lap": 9}


def _other_keys(run: Run) -> None:
    run.outputs.portals[3]["field_keys"] = []


def _other_asset(run: Run) -> None:
    run.outputs.portals[3]["asset_id"] = "0" * 64


def _other_streak(run: Run) -> None:
    run.outputs.portals[3]["streak_days"] += 1


def _no_next_portal(run: Run) -> None:
    run.outputs.portals[3]["next_portal"] = None


def _unlock_not_audited(run: Run) -> None:
    next(e for _, e in run.outputs.audit if e["unlock_ids"])["unlock_ids"] = []


def _drop_figure(run: Run) -> None:
    del run.outputs.geometry[0]


def _repeat_figure(run: Run) -> None:
    run.outputs.geometry.insert(0, run.outputs.geometry[0])


def _older_frame_last(run: Run) -> None:
    user_id = next(u for u, r in run.outputs.progress.items() if r["frame"] > 3)
    geometry = run.outputs.geometry
    first = next(one for one in geometry if one["user_id"] == user_id)
    geometry.remove(first)
    geometry.append(first)


def _drop_user(run: Run) -> None:
    run.outputs.progress.popitem()


def _stray_user(run: Run) -> None:
    _, record = next(iter(run.outputs.progress.items()))
    run.outputs.progress["nobody"] = record | {"user_id": "nobody", "frame": 0}


def _longer_streak(run: Run) -> None:
    next(iter(run.outputs.progress.values()))["longest_days"] += 1


def _other_dates(run: Run) -> None:
    next(iter(run.outputs.progress.values()))["dates"]["practised"].pop()


def _stale_progress(run: Run) -> None:
    next(iter(run.outputs.progress.values()))["updated_at"] -= 1


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (_drop_audit, {"inputs_unaudited": 1}),
        (_repeat_audit, {"inputs_audited_again": 1, "audit_chain_breaks": 1}),
        (_swap_audit, {"audit_chain_breaks": 2}),
        (_edit_audit, {"audit_chain_breaks": 1}),
        (_other_verdict, {"verdicts_wrong": 1}),
        (_other_date, {"audit_entries_wrong": 1}),
        (_other_revision, {"audit_entries_wrong": 1}),
        (_zone_not_assumed, {"audit_entries_wrong": 1}),
        (_other_zone, {"audit_entries_wrong": 1}),
        (_not_revoked, {"audit_entries_wrong": 1}),
        (_no_rejection, {"rejections_wrong": 1}),
        (_stray_audit, {"inputs_audited_again": 1, "inputs_unaudited": 1}),
        (_drop_letter, {"dead_letters_missing": 1, "rejections_wrong": 1}),
        (_repeat_letter, {"dead_letters_extra": 1}),
        (_alter_letter, {"dead_letters_altered": 1}),
        (_alter_headers, {"dead_letters_altered": 1}),
        (_other_reason, {"reasons_wrong": 1, "rejections_wrong": 1}),
        (_drop_alert, {"alerts_missing": 1}),
        (_repeat_alert, {"alerts_extra": 1}),
        (_other_original, {"alerts_wrong": 1}),
        (_other_severity, {"alerts_wrong": 1}),
        (_same_fields, {"alerts_wrong": 1}),
        (_other_alert_date, {"alerts_wrong": 1}),
        (_drop_assumed_zone, {"alerts_missing": 1}),
        (_zone_is_known, {"users_wrong": 1}),
        (_drop_portal, {"portals_missing": 1}),
        (_repeat_portal, {"portals_extra": 1}),
        (_stray_portal, {"portals_missing": 1, "portals_extra": 1}),
        (_other_keys, {"portals_wrong": 1}),
        (_other_streak, {"portals_wrong": 1}),
        (_no_next_portal, {"portals_wrong": 1}),
        (_unlock_not_audited, {"audited_unlocks_wrong": 1}),
        (_other_asset, {"assets_unknown": 1}),
        (_drop_figure, {"geometry_wrong": 1}),
        (_repeat_figure, {"geometry_wrong": 1}),
        (_older_frame_last, {"geometry_wrong": 1}),
        (_drop_user, {"users_wrong": 1}),
        (_stray_user, {"users_wrong": 1}),
        (_longer_streak, {"users_wrong": 1}),
        (_other_dates, {"users_wrong": 1}),
        (_stale_progress, {"users_wrong": 1}),
    ],
)
def test_each_difference_is_found(tamper: Callable[[Run], None], expected: dict[str, int]) -> None:
    run = faultless()
    tamper(run)
    assert _counts(run) == expected


def test_the_ground_truth_is_compared_too() -> None:
    run = faultless()
    sent = deepcopy(run.sent)
    coordinates = next(
        coordinates for coordinates, one in sent.items() if one.meant.verdict == "twin"
    )
    other = next(one for one in sent.values() if one.meant.verdict == "accepted")
    sent[coordinates] = type(other)(
        sent[coordinates].logged, sent[coordinates].headers, other.meant
    )
    found = compare(run.outputs, sent, run.judgement, rules())
    assert found.counts["verdicts_not_planted"] == found.total == 1


def test_what_was_read_early_must_still_be_there() -> None:
    run = faultless()
    seen = {where(m): (m.value() or b"", entry) for m, entry in run.outputs.audit[:50]}
    found = Differences()
    compare_early_reads(seen, run.outputs, found)
    assert found.total == 0
    seen[0, 2] = (b"another value", {})
    seen[0, 1] = (b"of an aborted transaction", {})
    compare_early_reads(seen, run.outputs, found)
    assert found.counts["early_reads_gone"] == found.total == 2


def test_every_kind_is_counted_but_only_a_few_are_told() -> None:
    found = Differences()
    assert set(found.counts) == set(KINDS)
    for n in range(10):
        found.note("users_wrong", f"user {n}")
    assert found.counts["users_wrong"] == found.total == 10
    assert len(found.examples) == EXAMPLES_MAX


def test_the_order_of_consumption_comes_from_the_audit() -> None:
    run = faultless()
    log = [one.logged for one in run.sent.values()]
    in_order = run.outputs.in_order(log[::-1])
    for partition in {one.partition for one in log}:
        of_partition = [one for one in in_order if one.partition == partition]
        assert of_partition == [one for one in log if one.partition == partition]
