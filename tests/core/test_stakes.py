"""A duplicate that would have counted for another date than its original: a day is at stake."""

from typing import Any

import pytest

from pipeline.core.dedupe import SEVERITIES
from tests.core.scenes import DAY, HOUR, NOW, TODAY, Log, at, completion, day, spanning

EVENING = at("2026-06-15T20:00:00Z")  # 15 June in London, 16 June in Tokyo


@pytest.mark.parametrize(
    ("second", "verdict", "differing"),
    [
        ({"tz": "Asia/Tokyo"}, "exact", ("tz",)),
        ({"tz": "Asia/Tokyo", "completion_id": "c2"}, "twin", ("tz",)),
        (
            {"tz": "Asia/Tokyo", "completion_id": "c2", "practice": "walk"},
            "twin",
            ("practice", "tz"),
        ),
        ({"tz": "Asia/Tokyo", "practice": "walk"}, "collision", ("practice", "tz")),
        ({"tz": "Etc/Unknown", "offset_minutes": 540}, "exact", ("tz",)),
    ],
)
def test_another_zone_and_another_date(
    second: dict[str, Any], verdict: str, differing: tuple[str, ...]
) -> None:
    log = Log()
    log.take(completion(1, EVENING, "Europe/London"), EVENING)
    outcome = log.take(completion(1, EVENING, **{"tz": "", **second}), EVENING)
    (alert,) = outcome.alerts
    assert (alert.verdict, alert.severity) == (verdict, "error")
    assert alert.differing_fields == differing
    assert (alert.local_date, alert.original_local_date) == (day("2026-06-16"), day("2026-06-15"))
    assert outcome.verdict == verdict
    assert log.state.sets.practised == ((day("2026-06-15"), 1),)


@pytest.mark.parametrize(
    ("second", "verdict", "severity"),
    [
        ({"tz": "Europe/Lisbon"}, "exact", "info"),
        ({"tz": "Europe/Lisbon", "completion_id": "c2"}, "twin", "notice"),
        ({"tz": "Europe/Lisbon", "practice": "walk"}, "collision", "error"),
    ],
)
def test_another_zone_and_the_same_date(
    second: dict[str, Any], verdict: str, severity: str
) -> None:
    log = Log()
    log.take(completion(1, EVENING, "Europe/London"), EVENING)
    (alert,) = log.take(completion(1, EVENING, **{"tz": "", **second}), EVENING).alerts
    assert (alert.verdict, alert.severity) == (verdict, severity)
    assert "tz" in alert.differing_fields
    assert alert.local_date == alert.original_local_date == day("2026-06-15")


def test_a_client_that_counts_its_sessions_from_one() -> None:
    log = Log()
    for n in range(4):
        end = NOW + n * DAY
        log.take(completion(n, end, "Africa/Accra", session_id="1"), end)
    assert log.verdicts == ["accepted", "twin", "twin", "twin"]
    for n, outcome in enumerate(log.outcomes[1:], 1):
        (alert,) = outcome.alerts
        assert (alert.verdict, alert.severity) == ("twin", "error")
        assert alert.differing_fields == ("started_at", "completed_at")
        assert (alert.local_date, alert.original_local_date) == (TODAY + n, TODAY)
        assert alert.original.completion_id == "c0"


def test_a_client_that_reuses_its_completion_id_another_day() -> None:
    log = Log()
    log.take(completion(1, NOW), NOW)
    (alert,) = log.take(completion(1, NOW + DAY), NOW + DAY).alerts
    assert (alert.verdict, alert.severity) == ("collision", "error")
    assert (alert.local_date, alert.original_local_date) == (TODAY + 1, TODAY)


def test_two_devices_with_different_zones_around_the_days_start() -> None:
    """Half past two in Berlin is half past three in Helsinki, where the next day began."""
    night = at("2026-06-15T02:30:00+02:00")
    log = Log()
    log.take(completion(1, night, "Europe/Berlin"), night)
    outcome = log.take(completion(2, night, "Europe/Helsinki", session_id="s1"), night)
    (alert,) = outcome.alerts
    assert (alert.verdict, alert.severity, alert.differing_fields) == ("twin", "error", ("tz",))
    assert (alert.local_date, alert.original_local_date) == (day("2026-06-15"), day("2026-06-14"))


def test_an_overlap_counts_so_no_date_is_at_stake() -> None:
    log = Log()
    log.take(completion(1, EVENING, "Europe/London"), EVENING)
    outcome = log.take(completion(2, EVENING, "Asia/Tokyo"), EVENING)
    (alert,) = outcome.alerts
    assert (alert.verdict, alert.severity) == ("overlap", "notice")
    assert alert.differing_fields == ("session_id", "tz")
    assert (alert.local_date, alert.original_local_date) == (day("2026-06-16"), day("2026-06-15"))
    assert log.state.sets.practised == ((day("2026-06-15"), 2),)


def test_an_overlap_with_what_the_window_knows_no_more_of() -> None:
    log = Log()
    log.take(spanning(1, NOW - HOUR, NOW), NOW)
    log.memory.ids.clear()
    (alert,) = log.take(completion(2, NOW, "Asia/Tokyo"), NOW).alerts
    assert (alert.severity, alert.differing_fields) == ("notice", ())
    assert (alert.local_date, alert.original_local_date) == (TODAY, None)


def test_what_is_remembered_is_the_zone_and_the_date_that_decided() -> None:
    log = Log()
    outcome = log.take(completion(1, EVENING, "asia/tokyo"), EVENING)
    assert outcome.seen is not None
    entry = outcome.seen.entry
    assert (entry.tz, entry.local_date) == ("Asia/Tokyo", day("2026-06-16"))
    assert SEVERITIES.keys() == {"exact", "twin", "collision", "overlap", "assumed_zone"}
