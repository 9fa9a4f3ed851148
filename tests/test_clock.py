"""The one reading of the wall clock."""

import time

from pipeline.clock import now_ms, rfc3339


def test_now_is_in_milliseconds() -> None:
    before = time.time()
    now = now_ms()
    after = time.time()
    assert before * 1000 - 1 <= now <= after * 1000 + 1


def test_instants_are_written_in_utc_with_milliseconds() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_772_346_600_007) == "2026-03-01T06:30:00.007Z"
    assert rfc3339(-1) == "1969-12-31T23:59:59.999Z"
