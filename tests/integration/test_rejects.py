"""Everything bad goes to the dead letters, whole and with its reason; nothing else is held up."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.codec.partitioner import partition_of
from pipeline.core.geometry.cycle import FRAMES
from pipeline.dev.workload.wire import plain_completion
from tests.integration.ledger import Ledger, iso

NOW = datetime.now(UTC)
NOW_MS = int(NOW.timestamp() * 1000)
USER = "good user"
HEADERS: list[tuple[str, str | bytes | None]] = [("traceparent", b"00-1-2-01"), ("raw", b"\xff\0")]


def changed(**fields: Any) -> bytes:
    """A good completion with some fields changed; a value of ... takes the field away."""
    record = json.loads(plain_completion(USER, "bad", NOW_MS - 60_000)) | fields
    return json.dumps({k: v for k, v in record.items() if v is not ...}).encode()


GOOD = plain_completion(USER, "bad", NOW_MS - 60_000)
KEY = USER.encode()
HOUR_MS = 3_600_000

REJECTS: dict[str, tuple[bytes | None, bytes | None, str, str]] = {
    "no key": (None, GOOD, "transport", "no_key"),
    "another user's key": (b"somebody", GOOD, "transport", "key_not_user"),
    "key that is no text": (b"\xff\xfe", GOOD, "transport", "key_not_utf8"),
    "null value": (KEY, None, "decode", "null_value"),
    "empty value": (KEY, b"", "decode", "empty_value"),
    "a megabyte of noise": (KEY, b"\x01" + b"\x9c\x17" * 500_000, "decode", "unknown_format"),
    "invalid UTF-8": (KEY, GOOD.replace(b"breath", b"\xff\xfe"), "decode", "invalid_utf8"),
    "unknown schema id": (KEY, b"\0\x7f\xff\xff\xfe" + b"x" * 20, "decode", "unknown_schema_id"),
    "truncated framing": (KEY, b"\0\0", "decode", "truncated_framing"),
    "NaN": (KEY, GOOD.replace(b'"breath"', b"NaN"), "decode", "malformed_json"),
    "huge number": (KEY, changed(started_at=10**400), "decode", "wrong_type"),
    "nested a thousand deep": (
        KEY,
        b'{"context":' + b'{"a":' * 1000 + b"1" + b"}" * 1001,
        "decode",
        "malformed_json",
    ),
    "wrong type": (KEY, changed(practice=7), "decode", "wrong_type"),
    "missing field": (KEY, changed(practice=...), "decode", "missing_field"),
    "half a character in an id": (
        KEY,
        changed(session_id="s\ud83d"),
        "decode",
        "invalid_text",
    ),
    "unknown zone, beyond any offset": (
        KEY,
        changed(
            tz="Atlantis/Capital", completed_at=iso(NOW_MS).replace("+00:00", "Z")[:-1] + "+23:00"
        ),
        "validate",
        "unknown_zone",
    ),
    "ends before it starts": (
        KEY,
        changed(started_at=iso(NOW_MS), completed_at=iso(NOW_MS - HOUR_MS)),
        "validate",
        "ends_before_start",
    ),
    "too short": (KEY, changed(started_at=iso(NOW_MS - 61_000)), "validate", "too_short"),
    "too far ahead": (
        KEY,
        changed(started_at=iso(NOW_MS + HOUR_MS), completed_at=iso(NOW_MS + 2 * HOUR_MS)),
        "validate",
        "too_far_ahead",
    ),
    "too late": (
        KEY,
        changed(
            started_at=iso(NOW_MS - 40 * 24 * HOUR_MS),
            completed_at=iso(NOW_MS - 40 * 24 * HOUR_MS + HOUR_MS),
        ),
        "validate",
        "too_late",
    ),
}


def test_everything_bad_is_kept_whole(ledger: Ledger) -> None:
    partition = partition_of(KEY, ledger.partitions)
    for n, (key, value, _, _) in enumerate(REJECTS.values()):
        ledger.send("completions", key, value, partition=partition, headers=HEADERS)
        ledger.complete(f"other-{n}", f"c{n}", NOW - timedelta(hours=1))
    wrong = (partition + 1) % ledger.partitions
    ledger.send("completions", KEY, GOOD, partition=wrong, headers=HEADERS)
    ledger.complete(USER, "a good one", NOW - timedelta(hours=3))
    ledger.flush()
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)

    assert "aborted" not in ledger.log()
    letters = ledger.read("deadletters")
    found = {(o.value["cause"]["partition"], o.value["cause"]["offset"]): o for o in letters}
    sent = {
        (r.partition(), r.offset()): r
        for r in ledger.raw("completions")
        if dict(r.headers() or []).get("traceparent")
    }
    assert found.keys() == sent.keys()
    reasons = []
    for coordinates, letter in found.items():
        original, rejected = sent[coordinates], letter.value
        assert rejected["key"] == original.key()
        assert rejected["value"] == original.value()
        kept = [(header["key"], header["value"]) for header in rejected["headers"]]
        assert kept == [(name, _bytes(content)) for name, content in HEADERS]
        assert letter.headers[: len(HEADERS)] == original.headers()
        named = dict(letter.headers)
        assert named["__streams.errors.topic"] == ledger.topic("completions").encode()
        assert named["__streams.errors.reason"] == rejected["reason"].encode()
        assert rejected["detail"]
        reasons.append((rejected["stage"], rejected["reason"]))
    expected = [(stage, reason) for _, _, stage, reason in REJECTS.values()]
    assert sorted(reasons) == sorted([*expected, ("transport", "wrong_partition")])
    progress = ledger.progress()
    assert progress.keys() == {USER} | {f"other-{n}" for n in range(len(REJECTS))}
    assert progress[USER]["lifetime_days"] == 1
    assert ledger.audited_offsets() == ledger.input_offsets()


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content


def test_an_event_that_makes_the_fold_raise_costs_itself_only(ledger: Ledger) -> None:
    ledger.complete("ada", "c1", NOW - timedelta(days=1))
    ledger.complete("ada", "poison", NOW - timedelta(hours=5))
    ledger.complete("ada", "c2", NOW)
    ledger.flush()
    with ledger.worker(plan={"poison": "poison"}) as worker:
        ledger.drain(worker)
    (letter,) = ledger.read("deadletters")
    assert (letter.value["stage"], letter.value["reason"]) == ("fold", "zero_division_error")
    assert "planted" in letter.value["detail"]
    assert ledger.progress()["ada"]["lifetime_days"] == 2
    assert ledger.audited_offsets() == ledger.input_offsets()


@pytest.mark.verify
def test_too_many_of_them_stop_the_worker(ledger: Ledger) -> None:
    for n in range(150):
        ledger.complete(f"user-{n}", "poison", NOW)
    ledger.flush()
    worker = ledger.start_worker(plan={"poison": "poison"})
    assert worker.wait(60) == 1
    assert "roll back" in ledger.log() or "TooManyFoldFailures" in ledger.log()
    assert ledger.read("deadletters") == []
    with ledger.worker(plan={}) as good_release:
        ledger.drain(good_release)
    assert len(ledger.progress()) == 150


@pytest.mark.parametrize("name", ["completions", "commands"])
def test_header_names_that_are_no_text(ledger: Ledger, name: str) -> None:
    ledger.send(name, b"ada", b"noise", headers=[("naïve", b"\xff")])
    ledger.flush()
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    (letter,) = ledger.read("deadletters")
    assert letter.value["headers"] == [{"key": "naïve", "value": b"\xff"}]


def test_frames_are_the_catalogues(ledger: Ledger) -> None:
    ledger.complete("ada", "c1", NOW)
    ledger.flush()
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    frames = [output.value for output in ledger.read("geometry")]
    assert frames
    for frame in frames:
        assert 1 <= frame["frame"] <= FRAMES
        assert (ledger.assets / "svg" / f"{frame['asset_id']}.svg").is_file()
