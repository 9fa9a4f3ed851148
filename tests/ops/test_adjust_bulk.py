"""Many corrections from a file: read, planned in numbers, sent at a rate, told for each row."""

import csv
import io
import time
from datetime import date
from typing import Any

import pytest

from pipeline.core.calendar import day_of
from pipeline.core.records import Command, RecordCoordinates
from pipeline.core.state import EMPTY
from pipeline.errors import ConfigError
from pipeline.ops.adjust import bulk
from pipeline.ops.adjust.bulk import (
    Pace,
    Planned,
    Row,
    Run,
    as_csv,
    numbers_of,
    plan,
    request_id_of,
    rows_of,
)
from pipeline.ops.adjust.request import Asked
from pipeline.ops.adjust.send import Effect, Pending
from tests.core.scenes import DAY, NOW, TODAY, Log, completion, revoke, world

OUTAGE = day_of(TODAY - 2)
QUICK = Pace(per_s=10_000, wait_s=30)


def rows(text: str, default: date | None = OUTAGE) -> list[Row]:
    return rows_of(text.encode(), default, "outage.csv")


def planned(*listed: Row, **states: Any) -> list[Planned]:
    known = {row.user_id: EMPTY for row in listed} | states

    def asked(row: Row) -> tuple[Asked, str]:
        return Asked("credit-day", row.user_id, row.local_date, "an outage", "T-1"), "eva"

    return plan(listed, known, asked, world(), NOW)


# --- the file ------------------------------------------------------------------------------------


def test_a_file_has_users_and_perhaps_dates() -> None:
    assert rows('\ufeffuser_id,local_date\nada,2026-03-01\n\n bo ,\n"c,d"\n') == [
        Row(2, "ada", date(2026, 3, 1)),
        Row(4, " bo ", OUTAGE),
        Row(5, "c,d", OUTAGE),
    ]


@pytest.mark.parametrize(
    ("text", "default", "why"),
    [
        ("", OUTAGE, "no rows"),
        ("user_id\n", OUTAGE, "no rows"),
        ("ada,1.3.2026\n", OUTAGE, "line 1: '1.3.2026' is no date"),
        ("ada\nbo,2026-03-01,x\n", OUTAGE, "line 2 has 3 columns"),
        ("ada,2026-03-01\nbo\n", None, "line 2 has no date"),
        ('"ada\n', OUTAGE, "unexpected end"),
        ("ada\nbo\ncy\nda\n", OUTAGE, "at most 3"),
    ],
)
def test_a_file_that_is_none_says_where(
    text: str, default: date | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "ROWS_MAX", 3)
    with pytest.raises(ConfigError, match=why):
        rows(text, default)


def test_bytes_that_are_no_text_are_no_file() -> None:
    with pytest.raises(ConfigError, match="utf-8"):
        rows_of(b"ada\n\xff\n", OUTAGE, "outage.csv")


def test_a_request_id_follows_from_ticket_user_and_date_alone() -> None:
    one = request_id_of("T-1", Row(1, "ada", OUTAGE))
    assert one == request_id_of("T-1", Row(77, "ada", OUTAGE))
    others = {
        request_id_of("T-2", Row(1, "ada", OUTAGE)),
        request_id_of("T-1", Row(1, "bo", OUTAGE)),
        request_id_of("T-1", Row(1, "ada", day_of(TODAY))),
    }
    assert len(others - {one}) == 3


# --- the plan ------------------------------------------------------------------------------------


def test_the_numbers_of_a_plan() -> None:
    gap = Log().take_all([(completion(n, NOW - n * DAY), NOW) for n in (3, 1)]).state
    there = Log().take_all([(completion(2, NOW - 2 * DAY), NOW)]).state
    revoked = Log().take_all([(revoke("r1", TODAY - 2), NOW)]).state
    listed = rows("gap\nthere\nrevoked\nnew\nnew\nold,2009-01-01\nnew,2026-06-12\n")
    found = numbers_of(planned(*listed, gap=gap, there=there, revoked=revoked))
    assert (found.rows, found.users, found.users_changed, found.unknown_users) == (7, 5, 2, 2)
    assert (found.to_send, found.repeated, found.without_effect) == (5, 1, 2)
    assert found.rejected == {"date_too_early": 1}
    assert (found.portals, found.keys) == (2, 2)  # vesica-piscis of one, bindu of another


# --- the run -------------------------------------------------------------------------------------


class Brokers:
    """Takes commands; a worker answers each at the next poll, unless it is `silent` about it."""

    def __init__(self, silent: str = "", verdict: Any = "applied") -> None:
        self.pending: dict[str, Pending] = {}
        self.sent: list[tuple[str, float]] = []
        self._silent, self._verdict = silent, verdict

    def send(self, command: Command) -> None:
        self.sent.append((command.user_id, time.monotonic()))
        self.pending[command.request_id] = Pending(command, time.monotonic())

    def poll(self) -> list[Effect]:
        time.sleep(0.001)
        place = RecordCoordinates("commands", 0, len(self.sent))
        answered = [one for one in self.pending.values() if one.command.user_id != self._silent]
        for one in answered:
            self.forget(one)
        return [
            Effect(
                one.command.request_id,
                one.command.user_id,
                place,
                self._verdict,
                "date_too_early" if self._verdict == "dead_letter" else None,
                4,
                ("u1",),
                0.1,
                0.2,
            )
            for one in answered
        ]

    def forget(self, one: Pending) -> None:
        del self.pending[one.command.request_id]


def test_each_row_has_its_verdict() -> None:
    brokers, told = Brokers(), list[tuple[int, int]]()
    run = Run(planned(*rows("ada\nbo\nada\ncy,2009-01-01\n")), brokers, QUICK)
    assert [one.verdict for one in run.report()] == ["not_sent", "not_sent", "repeated", "rejected"]
    assert run.send_all(lambda done, total: told.append((done, total)))
    assert [user for user, _ in brokers.sent] == ["ada", "bo"]
    assert told[-1] == (2, 2)
    report = run.report()
    assert [one.verdict for one in report] == ["applied", "applied", "repeated", "rejected"]
    assert [one.revision for one in report] == [4, 4, None, None]
    assert report[3].why.startswith("date_too_early: ")
    (heading, first, *_) = csv.reader(io.StringIO(as_csv(report)))
    assert dict(zip(heading, first, strict=True))["user_id"] == "ada"


@pytest.mark.parametrize(
    ("verdict", "shown"), [("dead_letter", "rejected"), ("repeated", "repeated")]
)
def test_the_workers_word_is_the_last(verdict: str, shown: str) -> None:
    run = Run(planned(*rows("ada\n")), Brokers(verdict=verdict), QUICK)
    assert run.send_all(lambda *_: None)
    assert [one.verdict for one in run.report()] == [shown]


def test_rows_are_sent_at_the_rate() -> None:
    brokers = Brokers()
    Run(planned(*rows("a\nb\nc\nd\n")), brokers, Pace(20, 30)).send_all(lambda *_: None)
    times = [at for _, at in brokers.sent]
    assert times[3] - times[0] >= 3 / 20 - 0.01


def test_after_an_effect_that_does_not_come_nothing_more_is_sent() -> None:
    brokers = Brokers(silent="b")
    run = Run(
        planned(*rows("a\nb\n" + "".join(f"u{n}\n" for n in range(99)))), brokers, Pace(20, 0.2)
    )
    assert not run.send_all(lambda *_: None)
    assert 2 < len(brokers.sent) < 20
    verdicts = [one.verdict for one in run.report()]
    assert verdicts[:2] == ["applied", "not_read_back"] and verdicts[-1] == "not_sent"
    assert "no effect within 0.2 s: not acknowledged" in run.report()[1].why


def test_not_too_many_wait_for_their_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "IN_FLIGHT_MAX", 1)
    brokers = Brokers(silent="a")
    Run(planned(*rows("a\nb\n")), brokers, Pace(1000, 0.1)).send_all(lambda *_: None)
    assert [user for user, _ in brokers.sent] == ["a"]
