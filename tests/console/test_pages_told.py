"""Pages without a browser: in which zone they read people, and what rows say of a date."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.api.console.history import row_of
from pipeline.api.console.people import PAGE
from pipeline.api.outcomes.rows import Entry
from pipeline.core.enumerations import AlertVerdict, Severity
from pipeline.core.records import Cause, OriginalCompletion, ReconciliationAlert
from tests.api.scene import DAY, HOUR_MS, NOON, person
from tests.console.pages import audited, scene


async def test_a_page_reads_where_the_viewer_says_and_says_so(tmp_path: Path) -> None:
    entries = [Entry("audit", 2, 70 + n, NOON - n, audited(n)) for n in range(20)]
    one = scene(tmp_path, entries)
    one.put(person("ann", days=800, end=DAY - 1, tz="Pacific/Auckland"))
    one.now_ms = NOON + 5 * HOUR_MS
    own = (await one.get("/console/user", "id=ann")).body.decode()
    assert "Pacific/Auckland · Tue 24 Nov 2026 there" in own
    assert "The last streak ended after Sun 22 Nov 2026" in own
    assert "Read in their own zone" in own and "&amp;tz=" not in own
    there = (await one.get("/console/user", "id=ann&tz=america/los+angeles")).body.decode()
    assert "America/Los Angeles · Mon 23 Nov 2026 there" in there
    assert "Nothing yet today. Safe until the end of Mon 23 Nov 2026" in there
    assert "Their own zone is Pacific/Auckland; there it is Tue 24 Nov 2026" in there
    # Whatever leads on from here, links and parts fetched by scripts, keeps the zone.
    kept = "tz=America%2FLos_Angeles"
    for address in (
        "user?id=ann&amp;until=2024",
        "history?user=ann&amp;name=audit&amp;before=3132",
        "explain?user=ann&amp;date=2026-11-23",
    ):
        assert f"/console/{address}&amp;{kept}" in there, address
    assert 'explain?user=ann&amp;date=2026-11-22&amp;tz=America/Los_Angeles"' in there
    assert 'name="id" value="ann"' in there
    query = f"user=ann&name=audit&before=3130&{kept}"
    rest = (await one.get("/console/history", query, hx_request="true")).body.decode()
    assert f"explain?user=ann&amp;date=2026-11-23&amp;{kept}" in rest
    same = (await one.get("/console/user", "id=ann&tz=%2B13:00")).body.decode()
    assert "there it is the same date" in same


async def test_a_page_says_that_nobody_knows_where_a_person_is(tmp_path: Path) -> None:
    one = scene(tmp_path)
    one.put(person("ann", days=3, end=DAY - 2, tz_known=False))
    page = (await one.get("/console/user", "id=ann")).body.decode()
    assert "Zone unknown" in page and "UTC ·" not in page
    assert "there are credits alone, and none names a zone" in page
    assert "it is Sun 22 Nov 2026 at Etc/GMT+12" in page
    assert "<b>3</b> days in a row" in page
    read = (await one.get("/console/user", "id=ann&tz=UTC")).body.decode()
    assert "<b>0</b> days in a row" in read and "UTC · Mon 23 Nov 2026 there" in read
    assert "Nothing said where this person is" in read
    assert "zone unknown · 0 portals" in (await one.get("/console")).body.decode()


async def test_a_zone_that_nobody_knows_is_complained_of_on_the_page(tmp_path: Path) -> None:
    one = scene(tmp_path)
    one.put(person("ann", tz="Asia/Tokyo"))
    for path, query in (("/console/user", "id=ann&"), ("/console", "")):
        answer = await one.get(path, f'{query}tz="><script>')
        page = answer.body.decode()
        assert answer.status == 400
        assert "Nobody knows this zone" in page
        assert 'value="&#34;&gt;&lt;script&gt;"' in page and "><script>" not in page
        assert "Asia/Tokyo" in page
    assert (await one.get("/console/user", "id=ann&tz=")).status == 200


async def test_the_search_reads_everybody_in_one_zone(tmp_path: Path) -> None:
    one = scene(tmp_path)
    one.put(*(person(f"ann{number:03}", tz="Asia/Tokyo") for number in range(PAGE + 1)))
    one.now_ms = NOON + 30 * HOUR_MS
    page = (await one.get("/console")).body.decode()
    assert page.count("resting; longest 3 days") == PAGE
    assert "Each is read in their own zone" in page
    west = (await one.get("/console", "tz=America/Denver")).body.decode()
    assert west.count("3 days, not yet today") == PAGE
    assert "Everybody is read in America/Denver" in west
    assert 'href="/console/user?id=ann000&amp;tz=America%2FDenver"' in west
    assert "hx-include" in west and "hx-include" not in page
    more = "/console?after=ann023&amp;tz=America%2FDenver"
    assert f'hx-get="{more}"' in west
    rest = await one.get("/console", "after=ann023&tz=America/Denver", hx_request="true")
    assert "3 days, not yet today" in rest.body.decode()


def alert(
    verdict: AlertVerdict, severity: Severity, own: int, original: int | None
) -> ReconciliationAlert:
    return ReconciliationAlert(
        alert_id="a1",
        user_id="ann",
        verdict=verdict,
        severity=severity,
        completion_id="c9",
        original=OriginalCompletion("c1", "awaway.completions", 0, 7),
        differing_fields=("tz",),
        local_date=own,
        original_local_date=original,
        cause=Cause("awaway.completions", 0, 9, "c9"),
    )


@pytest.mark.parametrize(
    ("fields", "tone", "said"),
    [
        (
            {"tz": "+05:30", "tz_assumed": True},
            "notice",
            "completion, c1, zone assumed from the offset of its end: +05:30, revision 1",
        ),
        (
            {"action": "credit", "verdict": "applied", "revoked_by": ("r1", "r7"), "actor": "eva"},
            "notice",
            "credit, c1, by eva, the date does not count: withdraw r1, r7, revision 1",
        ),
        (
            {"action": "revoke", "verdict": "applied", "revoked_by": ("r7",), "actor": "eva"},
            "good",
            "revoke, c1, by eva, also revoked by r7, revision 1",
        ),
        (
            {"verdict": "dead_letter", "rejection": "too_late", "reason": "too_late"},
            "bad",
            "completion, c1, rejected: too late",
        ),
        (
            {"verdict": "dead_letter", "rejection": "unknown_date", "reason": "on a plane"},
            "bad",
            "completion, c1, rejected: unknown date, “on a plane”",
        ),
        ({"verdict": "exact"}, "quiet", "completion, c1"),
    ],
)
def test_a_row_of_the_audit_says_what_keeps_a_date_from_counting(
    fields: dict[str, Any], tone: str, said: str
) -> None:
    changed = fields.get("verdict", "accepted") in ("accepted", "applied")
    record = audited(1, digest_after="bb" if changed else "aa", **fields)
    row = row_of(Entry("audit", 0, 1, NOON, record), "awaway.")
    assert (row.tone, row.text) == (tone, said)


@pytest.mark.parametrize(
    ("alert", "tone", "said"),
    [
        (
            alert("twin", "error", DAY, DAY - 1),
            "bad",
            "c9 against c1 at completions[0]@7; differs in tz; a date was at stake: it is of "
            "2026-11-23, the original of 2026-11-22",
        ),
        (
            alert("overlap", "notice", DAY, DAY - 1),
            "notice",
            "c9 against c1 at completions[0]@7; differs in tz; it is of 2026-11-23, the original "
            "of 2026-11-22",
        ),
        (
            alert("twin", "notice", DAY, DAY),
            "notice",
            "c9 against c1 at completions[0]@7; differs in tz",
        ),
        (
            alert("exact", "info", DAY, None),
            "quiet",
            "c9 against c1 at completions[0]@7; differs in tz",
        ),
        (
            alert("assumed_zone", "notice", DAY, DAY),
            "notice",
            "c9 counts by the offset of its end: nobody knows the zone that it names",
        ),
    ],
)
def test_a_row_of_an_alert_says_whether_a_date_was_at_stake(
    alert: ReconciliationAlert, tone: str, said: str
) -> None:
    row = row_of(Entry("reconciliation", 0, 1, NOON, alert), "awaway.")
    assert (row.tone, row.text, row.date) == (tone, said, date(2026, 11, 23))
