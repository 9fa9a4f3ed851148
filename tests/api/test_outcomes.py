"""The index of what became of each input, without brokers: pages, bounds, restarts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import Message

from pipeline.api.outcomes import index as module
from pipeline.api.outcomes import latest_rows
from pipeline.api.outcomes.index import OutcomeReaders, Outcomes, Receipt
from pipeline.api.outcomes.rows import Entry
from pipeline.api.outcomes.statuses import PARTS_MS_MAX, status_of
from pipeline.codec.avro import AvroEncoder
from pipeline.codec.schemas import load_schemas
from pipeline.core.enumerations import AlertVerdict
from pipeline.core.records import (
    AuditEntry,
    Cause,
    DeadLetter,
    Header,
    OriginalCompletion,
    ReconciliationAlert,
)
from pipeline.kafka.reader import Partition
from pipeline.kafka.tail import Log
from tests.integration.ledger import ROOT

SCHEMAS = load_schemas(ROOT / "schemas")
IDS = {name: number for number, name in enumerate(SCHEMAS, 1)}
DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000


class Clock:
    ms = NOW_MS

    def __call__(self) -> int:
        return self.ms


@dataclass
class Read:
    """A consumed message."""

    name: str
    at: int
    record: AuditEntry | DeadLetter | ReconciliationAlert
    raw_key: bytes | None = b"ana"
    garbage: bool = False

    def topic(self) -> str:
        return f"t.{self.name}"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self.raw_key

    def timestamp(self) -> tuple[int, int]:
        return 1, NOW_MS

    def value(self) -> bytes:
        kind = type(self.record).__name__
        whole = AvroEncoder(SCHEMAS[kind], IDS[kind]).encode(self.record)
        return whole[:9] if self.garbage else whole


def audit(number: int, **changed: Any) -> AuditEntry:
    given: dict[str, Any] = {
        "audit_id": f"audit-{number}",
        "generation": "blue",
        "partition": 0,
        "sequence": number,
        "user_id": "ana",
        "action": "completion",
        "actor": "ana",
        "reason": None,
        "ticket": None,
        "verdict": "accepted",
        "local_date": 20_000,
        "unlock_ids": (),
        "digest_before": None,
        "digest_after": None,
        "revision": number + 1,
        "policy_version": "1",
        "tzdata_version": "1",
        "append_time": NOW_MS - 1_000 + number,
        "cause": Cause("t.completions", 0, number, f"c{number}"),
        "rejection": None,
        "tz": "UTC",
        "tz_assumed": False,
        "revoked_by": (),
        "prev_hash": bytes(32),
        "hash": bytes(32),
    }
    return AuditEntry(**(given | changed))


def letter(number: int, **changed: Any) -> DeadLetter:
    given: dict[str, Any] = {
        "stage": "validate",
        "reason": "too_late",
        "detail": "it is late",
        "key": b"ana",
        "value": b"x" * 10_000,
        "headers": (Header("h", b"v"),),
        "schema_id": None,
        "cause": Cause("t.completions", 0, number, f"c{number}"),
        "append_time": NOW_MS - 1_000 + number,
    }
    return DeadLetter(**(given | changed))


def alert(number: int, verdict: AlertVerdict) -> ReconciliationAlert:
    return ReconciliationAlert(
        alert_id=f"alert-{number}-{verdict}",
        user_id="ana",
        verdict=verdict,
        severity="notice",
        completion_id=f"c{number}",
        original=OriginalCompletion("c0", "t.completions", 0, 0),
        differing_fields=("tz",),
        local_date=20_000,
        original_local_date=20_000,
        cause=Cause("t.completions", 0, number, f"c{number}"),
    )


def opened(folder: Path, clock: Clock) -> Outcomes:
    trees = {number: SCHEMAS[name].tree for name, number in IDS.items()}
    return Outcomes(folder, "t.", OutcomeReaders(SCHEMAS, trees.__getitem__), 90, clock)


def follow(
    index: Outcomes, *records: Read, positions: Mapping[Partition, int] | None = None
) -> None:
    index.take(cast(Sequence[Message], records), positions or {})


def log(topic_id: str, ends: Mapping[Partition, int]) -> Log:
    topic_ids = {name: topic_id for name, _ in ends}
    return Log(dict.fromkeys(ends, 0), ends, topic_ids, lambda asked, _: dict.fromkeys(asked, -1))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def index(tmp_path: Path, clock: Clock) -> Outcomes:
    return opened(tmp_path / "index", clock)


def test_a_user_is_told_newest_first_in_pages(index: Outcomes) -> None:
    follow(
        index, *[Read("audit", n, audit(n)) for n in range(7)], Read("deadletters", 0, letter(3))
    )
    follow(index, Read("audit", 9, audit(9, user_id="anabel"), b"anabel"))
    seen: list[Entry] = []
    before = b""
    while True:
        page, before = index.of_user("ana", before=before, limit=3)
        seen += page
        if not before:
            break
    assert [(e.topic, e.offset) for e in seen] == [
        ("audit", 6), ("audit", 5), ("audit", 4), ("deadletters", 0), ("audit", 3),
        ("audit", 2), ("audit", 1), ("audit", 0),
    ]  # fmt: skip
    letters, _ = index.of_user("ana", ["deadletters"])
    assert [entry.record.cause.offset for entry in letters] == [3]
    assert index.of_user("an") == ([], b"")


def test_a_record_that_comes_again_is_there_once_and_garbage_is_passed_over(
    index: Outcomes,
) -> None:
    follow(index, Read("audit", 1, audit(1)), Read("audit", 2, audit(2), garbage=True))
    follow(index, Read("audit", 1, audit(1)))
    assert [entry.offset for entry in index.of_user("ana")[0]] == [1]
    assert [entry.offset for entry in index.of_completion("ana", "c1")] == [1]
    assert index.of_completion("ana", "c") == []


def test_dead_letters_are_kept_short_and_by_whoever_their_key_names(index: Outcomes) -> None:
    follow(
        index,
        Read("deadletters", 1, letter(1)),
        Read("deadletters", 2, letter(2), b"\xff\xfe"),
        Read("deadletters", 3, letter(3, value=None), None),
    )
    mine, nobodys = index.of_user("ana")[0], index.of_user("")[0]
    kept = mine[0].record
    assert isinstance(kept, DeadLetter)
    assert (len(kept.value or b""), kept.headers) == (module.VALUE_BYTES_KEPT, ())
    assert [entry.offset for entry in nobodys] == [3, 2]


def test_what_is_older_than_the_history_is_not_shown(index: Outcomes, clock: Clock) -> None:
    follow(index, Read("audit", 1, audit(1)))
    index.remember("ana", "c1", Receipt(b"d", 0, 1, NOW_MS))
    clock.ms += 89 * DAY_MS
    assert index.of_completion("ana", "c1") and index.receipt("ana", "c1")
    clock.ms += 2 * DAY_MS
    assert index.of_user("ana") == ([], b"")
    assert index.of_completion("ana", "c1") == []
    assert index.receipt("ana", "c1") is None


def test_it_reads_on_where_it_stopped_and_begins_anew_with_other_topics(
    tmp_path: Path, clock: Clock
) -> None:
    """Where the topic has nothing within the history, it begins at the end."""
    partition = ("t.audit", 0)
    first = opened(tmp_path / "index", clock)
    follow(first, Read("audit", 4, audit(4)), positions={partition: 5})
    first.begin(log("one", {partition: 9}))
    first.remember("ana", "c9", Receipt(b"d", 0, 9, NOW_MS))
    first.close()
    again = opened(tmp_path / "index", clock)
    assert again.begin(log("one", {partition: 9})) == {partition: 5}
    assert again.of_user("ana")[0] and again.receipt("ana", "c9")
    assert again.begin(log("two", {partition: 9})) == {partition: 9}
    assert again.of_user("ana") == ([], b"")
    assert again.receipt("ana", "c9") is None


def test_what_came_last_and_the_counts_of_verdicts_outlive_a_restart(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latest_rows, "LATEST_MAX", 5)
    first = opened(tmp_path / "index", clock)
    early = NOW_MS - 59 * 60_000
    for number in range(4):
        follow(
            first,
            Read("audit", 2 * number, audit(2 * number, verdict="exact", append_time=early)),
            Read("audit", 2 * number + 1, audit(2 * number + 1)),
        )
    follow(first, Read("audit", 8, audit(8, append_time=NOW_MS - DAY_MS)))
    follow(first, Read("deadletters", 0, letter(9)))
    latest = first.latest()
    assert [(user, entry.offset) for user, entry in latest] == [
        ("ana", 5), ("ana", 6), ("ana", 7), ("ana", 8), ("ana", 0),
    ]  # fmt: skip
    counts = [count for _, count in first.latest_rows.minutes() if count]
    assert counts == [{"exact": 4}, {"accepted": 4}]
    first.close()
    again = opened(tmp_path / "index", clock)
    assert again.latest() == latest
    assert [count for _, count in again.latest_rows.minutes() if count] == counts
    follow(again, Read("audit", 10, audit(10)))
    assert [entry.offset for _, entry in again.latest()] == [6, 7, 8, 0, 10]
    clock.ms += 30 * 60_000
    assert [count for _, count in again.latest_rows.minutes() if count] == [{"accepted": 5}]
    assert len(again.latest_rows.minutes()) == latest_rows.MINUTES_MAX


def test_a_status_waits_for_all_that_its_audit_entry_speaks_of(index: Outcomes) -> None:
    follow(index, Read("audit", 1, audit(1, unlock_ids=("u1",))))
    follow(index, Read("audit", 2, audit(2, verdict="dead_letter")))
    for name in ("c1", "c2"):
        entries = index.of_completion("ana", name)
        assert status_of("ana", name, entries, NOW_MS) is None
        late = status_of("ana", name, entries, NOW_MS + PARTS_MS_MAX)
        assert late is not None and late.verdict
    follow(index, Read("deadletters", 1, letter(2)))
    status = status_of("ana", "c2", index.of_completion("ana", "c2"), NOW_MS)
    assert status is not None and status.refusal is not None
    assert (status.status, status.refusal.reason) == ("rejected", "too_late")


@pytest.mark.parametrize(
    ("verdict", "tz_assumed", "alerts", "state"),
    [
        ("accepted", False, (), "accepted"),
        ("accepted", True, ("assumed_zone",), "accepted"),
        ("overlap", False, ("overlap",), "accepted"),
        ("overlap", True, ("overlap", "assumed_zone"), "accepted"),
        ("exact", False, ("exact",), "duplicate"),
    ],
)
def test_an_assumed_zone_is_an_alert_to_wait_for_and_no_duplicate(
    index: Outcomes, verdict: str, tz_assumed: bool, alerts: tuple[AlertVerdict, ...], state: str
) -> None:
    entry = audit(1, verdict=verdict, tz="+05:30", tz_assumed=tz_assumed, revoked_by=("r1", "r2"))
    follow(index, Read("audit", 1, entry))
    for number, name in enumerate(alerts):
        assert status_of("ana", "c1", index.of_completion("ana", "c1"), NOW_MS) is None
        follow(index, Read("reconciliation", number, alert(1, name)))
    status = status_of("ana", "c1", index.of_completion("ana", "c1"), NOW_MS)
    assert status is not None
    assert (status.status, status.verdict) == (state, verdict)
    assert (status.tz, status.tz_assumed, status.revoked_by) == ("+05:30", tz_assumed, ("r1", "r2"))
    assert (status.original is not None) == (verdict != "accepted")


def test_an_index_of_another_form_is_emptied_before_it_is_read(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(tmp_path / "index", clock)
    follow(first, Read("audit", 1, audit(1)), positions={("t.audit", 0): 2})
    first.remember("ana", "c1", Receipt(b"d", 0, 1, NOW_MS))
    first.close()
    monkeypatch.setattr(module, "FORM", b"next")
    again = opened(tmp_path / "index", clock)
    assert again.latest() == []
    assert again.of_user("ana") == ([], b"")
    assert again.receipt("ana", "c1") is None
    again.close()
    kept = opened(tmp_path / "index", clock)
    follow(kept, Read("audit", 1, audit(1)))
    kept.close()
    assert opened(tmp_path / "index", clock).latest() != []


def test_an_input_is_found_by_its_position_while_the_history_lasts(
    index: Outcomes, clock: Clock
) -> None:
    command = audit(9, action="credit", cause=Cause("t.commands", 0, 9, "r9"))
    follow(
        index,
        Read("audit", 1, audit(1)),
        Read("audit", 2, audit(3, verdict="dead_letter")),
        Read("audit", 3, command),
        Read("deadletters", 1, letter(3)),
        Read("deadletters", 2, letter(8)),
    )
    assert [entry.topic for entry in index.of_input(0, 1)] == ["audit"]
    assert [entry.topic for entry in index.of_input(0, 3)] == ["audit", "deadletters"]
    assert index.of_input(0, 2) == index.of_input(1, 1) == index.of_input(0, 9) == []
    assert (index.last_input(0), index.last_input(1)) == (3, -1)
    clock.ms += 91 * DAY_MS
    assert index.of_input(0, 1) == []
    assert index.last_input(0) == 3
