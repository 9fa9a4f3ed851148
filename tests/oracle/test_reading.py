"""Raw records, and what the oracle makes of them."""

import io
import json
from datetime import date
from typing import Any

import fastavro
import pytest

from pipeline.oracle import Completion, Logged, Reader, SupportCommand, Verdict, judge
from pipeline.oracle.partition import home, murmur2
from pipeline.oracle.reading import UnreadableError
from tests.oracle.scenes import RULES, ms

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "PracticeCompleted",
    "fields": [
        *({"name": n, "type": "string"} for n in ("completion_id", "user_id", "session_id")),
        {"name": "practice", "type": "string"},
        {"name": "started_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "completed_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "tz", "type": "string"},
        {"name": "sent_at", "type": ["null", "long"], "default": None},
    ],
}
FINE: dict[str, Any] = {
    "completion_id": "c",
    "user_id": "ana",
    "session_id": "s",
    "practice": "breath",
    "started_at": "2026-05-10T11:50:00Z",
    "completed_at": "2026-05-10T14:00:00.250+02:00",
    "tz": "UTC",
}
START, END = ms("2026-05-10T11:50:00"), ms("2026-05-10T12:00:00.250")
READER = Reader({7: SCHEMA})


def as_json(**changes: Any) -> bytes:
    return json.dumps(FINE | changes).encode()


def as_avro(**changes: Any) -> bytes:
    body = io.BytesIO()
    fields = FINE | {"started_at": START, "completed_at": END} | changes
    fastavro.schemaless_writer(body, fastavro.parse_schema(SCHEMA), fields)
    return b"\0\0\0\0\x07" + body.getvalue()


@pytest.mark.parametrize("value", [as_json(), as_avro()])
def test_both_formats_say_the_same(value: bytes) -> None:
    assert READER.completion(value) == Completion("c", "ana", "s", "breath", START, END, "UTC")


@pytest.mark.parametrize(
    ("value", "category"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"\xff" * 1000, "noise"),
        (b"[]", "noise"),
        (b"\0\0\0", "unknown_schema"),
        (b"\0\0\0\0\x08" + as_avro()[5:], "unknown_schema"),
        (as_avro()[:-3], "bad_avro"),
        (as_avro() + b"\0", "bad_avro"),
        (b"\0\0\0\0\x07", "bad_avro"),
        (as_avro(practice="aaa").replace(b"aaa", b"a\xffa"), "bad_utf8"),
        (as_json(practice="aaa").replace(b"aaa", b"a\xffa"), "bad_utf8"),
        (as_json()[:-1], "bad_json"),
        (as_json(started_at=1).replace(b": 1", b": NaN"), "bad_json"),
        (as_json(context={"a": 1}).replace(b"1}", b"[" * 1000 + b"]" * 1000 + b"}"), "bad_json"),
        (as_json(context={"a": 1}), "wrong_type"),
        (as_json(completion_id=5), "wrong_type"),
        (as_json(practice=None), "wrong_type"),
        (as_json(started_at=5), "wrong_type"),
        (as_json(started_at="2026-05-10T11:50:00"), "wrong_type"),
        (as_json(started_at="2026-13-10T11:50:00Z"), "wrong_type"),
        (as_json(sent_at=True), "wrong_type"),
    ],
)
def test_garbage_is_named(value: bytes | None, category: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        READER.completion(value)
    assert caught.value.category == category


@pytest.mark.parametrize(
    ("key", "expected"),
    # From Kafka's own tests of its partitioner.
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_javas(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected % 2**32


def _judge(key: bytes | None, partition: int, value: bytes | None) -> Verdict:
    record = Logged("completions", partition, 3, END + 1, key, value)
    return judge([record], RULES, READER, 4).verdicts[record.place]


def test_a_record_counts_only_under_its_users_key_in_its_keys_partition() -> None:
    at_home = home(b"ana", 4)
    assert _judge(b"ana", at_home, as_json()).word == "accepted"
    assert _judge(b"ana", (at_home + 1) % 4, as_json()).category == "wrong_partition"
    assert _judge(b"bo", home(b"bo", 4), as_json()).category == "key_not_user"
    assert _judge(None, 0, as_json()).category == "no_key"
    assert _judge(b"ana", at_home, b"{").category == "bad_json"
    assert _judge(b"ana", at_home, as_json(tz="Nowhere")).category == "unknown_zone"


COMMAND_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Command",
    "fields": [
        *({"name": n, "type": "string"} for n in ("request_id", "user_id", "kind", "actor")),
        {"name": "local_date", "type": ["null", {"type": "int", "logicalType": "date"}]},
    ],
}
COMMAND: dict[str, Any] = {
    "request_id": "r",
    "user_id": "ana",
    "kind": "credit",
    "actor": "lea",
    "local_date": "2026-05-10",
}


def test_commands_are_read_from_both_formats() -> None:
    expected = SupportCommand("r", "ana", "credit", "lea", local_date=date(2026, 5, 10))
    assert READER.command(json.dumps(COMMAND).encode()) == expected
    body = io.BytesIO()
    days = (date(2026, 5, 10) - date(1970, 1, 1)).days
    schema = fastavro.parse_schema(COMMAND_SCHEMA)
    fastavro.schemaless_writer(body, schema, COMMAND | {"local_date": days})
    framed = b"\0\0\0\0\x09" + body.getvalue()
    assert Reader({9: COMMAND_SCHEMA}).command(framed) == expected
    without_date = json.dumps(COMMAND | {"local_date": None}).encode()
    assert READER.command(without_date).local_date is None


@pytest.mark.parametrize("local_date", [20_000, "2026-02-30", "tomorrow"])
def test_a_command_with_a_date_that_is_none_is_garbage(local_date: object) -> None:
    with pytest.raises(UnreadableError) as caught:
        READER.command(json.dumps(COMMAND | {"local_date": local_date}).encode())
    assert caught.value.category == "wrong_type"


def test_a_date_beyond_the_calendar_is_garbage() -> None:
    body = io.BytesIO()
    schema = fastavro.parse_schema(COMMAND_SCHEMA)
    fastavro.schemaless_writer(body, schema, COMMAND | {"local_date": 2**31 - 1})
    with pytest.raises(UnreadableError):
        Reader({9: COMMAND_SCHEMA}).command(b"\0\0\0\0\x09" + body.getvalue())
