"""Raw records, and what the oracle makes of them."""

import io
import json
from dataclasses import replace
from datetime import date
from typing import Any

import fastavro
import pytest

from pipeline.dev.oracle import Completion, Logged, Reader, SupportCommand, Verdict, judge
from pipeline.dev.oracle.partition import home, murmur2
from pipeline.dev.oracle.reading import UnreadableError
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


def _read(**changes: Any) -> Completion:
    fine = Completion("c", "ana", "s", "breath", START, END, "UTC", None, 120)
    return replace(fine, **changes)


def test_both_formats_say_the_same() -> None:
    assert READER.completion(as_json()) == _read()
    assert READER.completion(as_avro()) == _read(offset_minutes=None)


@pytest.mark.parametrize(
    "value",
    [
        b"\xef\xbb\xbf" + as_json(),
        b"\xef\xbb\xbf \r\n\t" + as_json() + b"\n",
        as_json(mood=5, extra={"a": [{"a": None}]}),
        as_json(extra=0).replace(b"0}", b'{"a": 1, "a": 2}}'),
        as_json(context=None, sent_at=None, device_id=None),
        as_json(context={"gone": None, "pulse": 62, "calm": True, "ratio": 1.5}),
        as_json(device_id="\ud83d", app_version="\ude00", context={"\ud83d": "\ud83d"}),
        as_json(extra="\ud83d"),
    ],
)
def test_what_cannot_be_mistaken_is_taken(value: bytes) -> None:
    assert READER.completion(value) == _read()


def test_half_a_character_costs_the_character() -> None:
    assert READER.completion(as_json(practice="calm \ud83d")).practice == "calm \ufffd"
    assert READER.completion(as_json(practice="\U0001f600")).practice == "\U0001f600"


def test_labels_are_texts_as_they_were_written() -> None:
    labels = {"a": 62, "b": "MARK", "c": True, "d": None, "e\ud83d": "\ude00"}
    value = as_json(context=labels | {"e\ufffd": "f"}).replace(b'"MARK"', b"1.50e+3")
    assert READER._fields(value).context() == {
        "a": "62", "b": "1.50e+3", "c": "true", "e\ufffd": "f",
    }  # fmt: skip


def test_labels_that_are_no_texts_or_too_much_cost_only_themselves() -> None:
    nested = READER._fields(as_json(context={"a": [1, None, {"b": "é"}], "c": {}}))
    assert nested.context() == {"a": '[1,null,{"b":"é"}]', "c": "{}"}
    assert READER._fields(as_json(context=[])).context() == {}
    wide = {"k" * 129: "a"} | {str(n): "b" * 1_025 for n in range(65)}
    carried = READER._fields(as_json(context=wide)).context()
    assert carried == {str(n): "b" * 1_024 for n in range(64)}
    read = READER.completion(b" \xef\xbb\xbf" + as_json(tz=None, device_id=7, sent_at=""))
    assert (read.tz, read.sent_at_ms) == ("", None)


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
        (as_json() + b"{}", "bad_json"),
        (as_json(extra=1)[:-1] + b', "\\u0065xtra": 1}', "repeated_field"),
        (as_json(context={"a": 1}).replace(b"1}", b'1, "\\u0061": 1}'), "repeated_field"),
        (as_json(context=[1]), "wrong_type"),
        (as_json(session_id="d" * 257), "too_long"),
        (as_json(user_id="ana\ud83d"), "bad_text"),
        (as_json(tz="UTC\ud83d"), "bad_text"),
        (as_json(completion_id=5), "wrong_type"),
        (as_json(practice=None), "wrong_type"),
        (as_json(started_at=5), "wrong_type"),
        (as_json(started_at="2026-05-10T11:50:00"), "bad_instant"),
        (as_json(started_at="2026-13-10T11:50:00Z"), "bad_instant"),
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
    return judge([record], RULES, READER, 4).verdicts[record.coordinates]


def test_a_record_counts_only_under_its_users_key_in_its_keys_partition() -> None:
    at_home = home(b"ana", 4)
    assert _judge(b"ana", at_home, as_json()).word == "accepted"
    assert _judge(b"ana", (at_home + 1) % 4, as_json()).category == "wrong_partition"
    assert _judge(b"bo", home(b"bo", 4), as_json()).category == "key_not_user"
    assert _judge(None, 0, as_json()).category == "no_key"
    assert _judge(b"ana", at_home, b"{").category == "bad_json"
    assert _judge(b"ana", at_home, as_json(tz="Nowhere")).assumed
    assert _judge(b"ana", at_home, as_avro(tz="Nowhere")).category == "unknown_zone"


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


@pytest.mark.parametrize("local_date", [20_000, "2026-02-30", "20260210", "2026-W06-1"])
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


def _as_avro_by(schema: dict[str, Any], **changes: Any) -> bytes:
    body = io.BytesIO()
    fields = FINE | {"started_at": START, "completed_at": END} | changes
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), fields)
    return b"\0\0\0\0\x0b" + body.getvalue()


def _with_type(name: str, kind: Any) -> dict[str, Any]:
    fields = [one | ({"type": kind} if one["name"] == name else {}) for one in SCHEMA["fields"]]
    return SCHEMA | {"fields": fields}


@pytest.mark.parametrize(
    ("schema", "changes"),
    [
        (_with_type("practice", ["null", "string"]), {}),
        (_with_type("completion_id", {"type": "string", "logicalType": "uuid"}), {}),
        (_with_type("practice", "bytes"), {"practice": b"breath"}),
        (SCHEMA | {"fields": [{"name": "mood", "type": "int"}, *SCHEMA["fields"]]}, {"mood": 1}),
        (SCHEMA | {"fields": SCHEMA["fields"][:-1]}, {}),
    ],
)
def test_other_writers_are_read_by_their_own_schemas(
    schema: dict[str, Any], changes: dict[str, Any]
) -> None:
    read = Reader({11: schema}).completion(_as_avro_by(schema, **changes))
    assert read == _read(offset_minutes=None)


def test_a_practice_that_is_null_is_none() -> None:
    schema = _with_type("practice", ["null", "string"])
    with pytest.raises(UnreadableError):
        Reader({11: schema}).completion(_as_avro_by(schema, practice=None))
