"""What a JSON input may do beside what the schema says, and what it then is."""

import json
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codec import json_inputs
from pipeline.codec.errors import DecodeError
from pipeline.codec.input_bounds import bounded
from pipeline.codec.inputs import InputDecoder
from pipeline.codec.instants import instant_and_offset, instant_ms
from pipeline.core.records import PracticeCompleted
from tests.codec.inputs_scene import (
    BASE,
    DECODER,
    ENCODERS,
    command_json,
    completion_json,
    writer_schema,
)
from tests.codec.samples import SCHEMAS

PLAIN = DECODER.decode_completion(completion_json())
FULL: dict[str, Any] = {
    "sent_at": "2026-03-01T05:31:00Z",
    "device_id": "pixel-8",
    "app_version": "4.0.1",
    "context": {"mood": "calm", "place": "kitchen"},
}


def with_more(more: bytes, **changes: object) -> bytes:
    """A completion with more members, written as they are."""
    return completion_json(**changes)[:-1] + b"," + more + b"}"


def context_of(text: str) -> dict[str, str]:
    """The context that comes of one, written as it is."""
    return DECODER.decode_completion(with_more(b'"context":' + text.encode())).context


@pytest.mark.parametrize(
    "before",
    [b" ", b"\t\r\n  ", b"\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf \n", b"\n" * 1_000_000],
    ids=["space", "space of each kind", "CRLF", "mark", "mark and space", "a million lines"],
)
def test_a_byte_order_mark_and_space_before_the_object_are_skipped(before: bytes) -> None:
    for after in (b"", b"\r\n"):
        assert DECODER.decode_completion(before + completion_json() + after) == PLAIN
    assert DECODER.decode_command(before + command_json()) == DECODER.decode_command(command_json())


@pytest.mark.parametrize(
    ("members", "ignored"),
    [
        (b'"app_build":412', 1),
        (b'"flags":{"beta":[1,null,{"beta":true}]},"locale":"de-AT"', 2),
        (b'"":null', 1),
        (b'"__proto__":{"user_id":"root"}', 1),
        (b'"User_Id":"user-2"', 1),
        (b'"offset_minutes":300', 1),
        (b'"note":"she said \\"now\\" \\\\"', 1),
        (b'"say \\"when\\"":1', 1),
        (b'"half \\ud83d":"half \\ude00"', 1),
        (b'"large":' + b"9" * 5_000, 1),
        (b'"far":1E400,"near":-1e-999', 2),
        (b'"empty":[[],{},""]', 1),
        (b'"x":{"twice":1,"twice":2}', 1),
        (b'"deep":' + b"[" * 99 + b"]" * 99, 1),
        (b'"text":"' + b"[{" * 500 + b'"', 1),
        (b'"wide":[' + b",".join([b"[{}]"] * 100_000) + b"]", 1),
        (b",".join(b'"k%d":"%d"' % (n, n) for n in range(60_000)), 60_000),
    ],
    ids=lambda v: repr(v[:20]) if isinstance(v, bytes) else "",
)
def test_unknown_fields_are_ignored_and_counted(members: bytes, ignored: int) -> None:
    decoder = InputDecoder(SCHEMAS, writer_schema)
    assert decoder.decode_completion(with_more(members)) == PLAIN
    assert decoder.ignored_fields == ignored
    command = decoder.decode_command(command_json()[:-1] + b"," + members + b"}")
    if b'"User_Id"' not in members:
        assert decoder.ignored_fields == 2 * ignored
    assert command == DECODER.decode_command(command_json())


def test_without_unknown_fields_nothing_is_counted() -> None:
    decoder = InputDecoder(SCHEMAS, writer_schema)
    for changes in ({}, FULL, dict.fromkeys(FULL), {"context": {"a": 'b "c"'}}, {"practice": "é"}):
        decoder.decode_completion(completion_json(**changes))
        decoder.decode_command(command_json(reason='"so"', ticket=None))
    assert decoder.ignored_fields == 0


def test_who_does_not_ask_is_not_told_what_was_ignored() -> None:
    assert json_inputs.completion(with_more(b'"app_build":412')) == PLAIN
    assert json_inputs.command(command_json(urgent=True)) == DECODER.decode_command(command_json())


def test_only_what_is_taken_is_counted() -> None:
    decoder = InputDecoder(SCHEMAS, writer_schema)
    for value in (with_more(b'"x":1', tz=7), with_more(b'"x":1,"x":2')):
        with pytest.raises(DecodeError):
            decoder.decode_completion(value)
    assert decoder.ignored_fields == 0


@pytest.mark.parametrize(
    ("written", "carried"),
    [
        ("62", "62"),
        ("1.50", "1.50"),
        ("1e3", "1e3"),
        ("-0", "-0"),
        ("1E400", "1E400"),
        ("9" * 1_024, "9" * 1_024),
        ("true", "true"),
        ("false", "false"),
        ('"true"', "true"),
        ('""', ""),
        (r'"\u0000"', "\0"),
        (r'"tea \ud83c\udf75"', "tea 🍵"),
        (r'"tea \ud83c"', "tea \ufffd"),
        (r'"\udf75 \ud83c\ud83c\udf75"', "\ufffd \ufffd🍵"),
        (r'"a\"b\\"', 'a"b\\'),
    ],
)
def test_a_label_of_any_plain_type_is_carried_as_it_was_written(written: str, carried: str) -> None:
    assert context_of(f'{{"pulse":{written},"place":"porch"}}') == {
        "pulse": carried,
        "place": "porch",
    }


def test_a_null_in_the_context_is_left_out() -> None:
    assert context_of('{"pulse":null}') == {}
    assert context_of('{"pulse":null,"place":"porch","":null}') == {"place": "porch"}
    nulls = ",".join(f'"{n}":null' for n in range(1_000))
    assert context_of(f'{{{nulls},"{"x" * 500}":null,"place":"porch"}}') == {"place": "porch"}
    assert context_of("null") == {}


def test_a_zone_that_is_not_said_is_an_empty_one() -> None:
    without = {name: value for name, value in BASE.items() if name != "tz"}
    for body in (without, BASE | {"tz": None}):
        record = DECODER.decode_completion(json.dumps(body).encode())
        assert (record.tz, record.offset_minutes) == (
            "",
            instant_and_offset(BASE["completed_at"])[1],
        )


def test_what_clients_write_for_nothing() -> None:
    record = DECODER.decode_completion(json.dumps(BASE | {"sent_at": "", "context": []}).encode())
    assert (record.sent_at, record.context) == (None, {})


def test_labels_of_other_types_are_carried_as_their_json() -> None:
    body = json.dumps(BASE | {"device_id": 1234, "app_version": True})
    record = DECODER.decode_completion(body.replace("1234", "12.50").encode())
    assert (record.device_id, record.app_version) == ("12.50", "true")
    assert context_of('{"a":[1.50, null, {"é":"x\\"","b":false}],"c":{}}') == {
        "a": '[1.50,null,{"é":"x\\"","b":false}]',
        "c": "{}",
    }


def test_labels_beyond_their_bounds_are_cut_or_left_out() -> None:
    labels = {"k" * 129: "gone"} | {str(n): "x" * 1_025 for n in range(65)}
    carried = context_of(json.dumps(labels))
    assert carried == {str(n): "x" * 1_024 for n in range(64)}
    assert bounded(carried) is carried
    body = json.dumps(BASE | {"device_id": "d" * 257, "app_version": None})
    record = DECODER.decode_completion(body.encode())
    assert (record.device_id, record.app_version) == ("d" * 256, None)


def test_a_byte_order_mark_may_stand_after_space() -> None:
    value = b" \xef\xbb\xbf\n" + json.dumps(BASE).encode()
    assert json_inputs.is_json(value)
    assert DECODER.decode_completion(value) == DECODER.decode_completion(json.dumps(BASE).encode())


def test_an_id_in_any_script_is_whole_beside_labels_that_are_not_texts() -> None:
    text = json.dumps(BASE | {"session_id": "séance ☯", "context": {"pulse": 62}})
    record = DECODER.decode_completion(text.encode())
    assert (record.session_id, record.context) == ("séance ☯", {"pulse": "62"})


def test_half_a_character_costs_the_character_where_nothing_interprets_the_text() -> None:
    half = r"\ud83d"
    cut = json.dumps(BASE | FULL | {"practice": "breath ~", "context": {"~k": "v ~", "j": "~"}})
    for name in ("device_id", "app_version"):
        cut = cut.replace(FULL[name], "~" + FULL[name])
    record = DECODER.decode_completion(cut.replace("~", half).encode())
    assert record.practice == "breath \ufffd"
    assert record.device_id == "\ufffdpixel-8"
    assert record.app_version == "\ufffd4.0.1"
    assert record.context == {"\ufffdk": "v \ufffd", "j": "\ufffd"}
    ENCODERS["PracticeCompleted"].encode(record)
    command = DECODER.decode_command(command_json(reason="flew \ude00 home"))
    assert command.reason == "flew \ufffd home"


def test_of_two_keys_that_become_one_by_mending_the_last_is_carried() -> None:
    assert context_of(r'{"a\ud83d":"first","b":"","a\ud83e":"last"}') == {
        "a\ufffd": "last",
        "b": "",
    }
    assert context_of(r'{"a\ud83d":"first","a\ud83e":null}') == {"a\ufffd": "first"}


@pytest.mark.parametrize(
    ("started", "completed", "offset_minutes"),
    [
        ("2026-06-15T13:40+02:00", "2026-06-15T14:00+02:00", 120),  # Java, at full minutes
        ("2026-06-15T11:40:30Z", "2026-06-15T12:00Z", 0),
        ("2026-06-15 06:10:00-0530", "2026-06-15 06:30:00.000-0530", -330),
        ("2026-06-15T11:40:00-00:00", "2026-06-15t12:00:00z", 0),
        ("2026-06-15T11:40:00Z", "2026-06-15T14:00:00.0004+02", 120),
    ],
)
def test_instants_as_clients_spell_them(started: str, completed: str, offset_minutes: int) -> None:
    record = DECODER.decode_completion(completion_json(started_at=started, completed_at=completed))
    assert record.completed_at == instant_ms("2026-06-15T12:00:00Z")
    assert record.started_at == instant_ms(started)
    assert record.offset_minutes == offset_minutes


def test_a_practice_that_ends_in_a_leap_second_ends_just_before_the_next_day() -> None:
    ends = completion_json(completed_at="2016-12-31T23:59:60Z", sent_at="2017-01-01T00:59:60+01:00")
    record = DECODER.decode_completion(ends)
    assert record.completed_at == record.sent_at == instant_ms("2017-01-01T00:00:00Z") - 1


def test_the_offset_is_that_of_completed_at_alone() -> None:
    zones = completion_json(
        started_at="2026-03-01T06:10:00+05:45",
        completed_at="2026-03-01T06:30:00-11:00",
        sent_at="2026-03-01T18:00:00+01:00",
    )
    assert DECODER.decode_completion(zones).offset_minutes == -660
    framed = ENCODERS["PracticeCompleted"].encode(DECODER.decode_completion(zones))
    assert DECODER.decode_completion(framed).offset_minutes is None


def test_a_command_may_say_the_zone() -> None:
    record = DECODER.decode_command(command_json(tz="Pacific/Auckland"))
    assert record.tz == "Pacific/Auckland"
    assert DECODER.decode_command(ENCODERS["Command"].encode(record)) == record
    assert DECODER.decode_command(command_json(tz=None)).tz is None


def spelled(value: object, rng: Random) -> str:
    """JSON of a value in one of its spellings: any order, escapes and space of any kind."""
    if isinstance(value, str):
        return '"' + "".join(_spelled_character(one, rng) for one in value) + '"'
    if not isinstance(value, dict):
        return json.dumps(value)
    members = [
        f"{_space(rng)}{spelled(name, rng)}{_space(rng)}:{_space(rng)}{spelled(held, rng)}"
        for name, held in rng.sample(sorted(value.items()), len(value))
    ]
    return "{" + ",".join(members) + _space(rng) + "}"


def _space(rng: Random) -> str:
    return "".join(rng.choices(" \t\r\n", k=rng.choice([0, 0, 0, 1, 2])))


def _spelled_character(one: str, rng: Random) -> str:
    if one >= " " and one not in '"\\' and rng.random() < 0.8:
        return one
    units = one.encode("utf-16-be").hex(" ", 2).split()
    short = json.dumps(one)[1:-1]
    return rng.choice(["".join(f"\\u{unit}" for unit in units), short])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
UNKNOWN = st.dictionaries(
    TEXT.filter(lambda name: name not in PracticeCompleted.__struct_fields__),
    st.recursive(
        TEXT | st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9),
        lambda inner: st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)


@settings(max_examples=150)
@given(
    st.fixed_dictionaries(
        dict.fromkeys(("completion_id", "user_id", "practice", "tz"), TEXT),
        optional={
            "device_id": st.none() | TEXT,
            "sent_at": st.none() | st.just("2026-03-01T05:31:00Z"),
            "context": st.none() | st.dictionaries(TEXT, TEXT, max_size=4),
        },
    ),
    UNKNOWN,
    st.integers(0, 2**32),
)
def test_however_it_is_spelled_it_is_the_same_completion(
    fields: dict[str, Any], unknown: dict[str, Any], seed: int
) -> None:
    whole = BASE | fields
    decoder = InputDecoder(SCHEMAS, writer_schema)
    rng = Random(seed)
    before = rng.choice(["", "", "\ufeff", " \r\n", "\ufeff\t"])
    text = before + spelled(whole | unknown, rng) + _space(rng)
    record = decoder.decode_completion(text.encode())
    assert decoder.ignored_fields == len(unknown)
    assert record == DECODER.decode_completion(json.dumps(whole).encode())
    for name, value in fields.items():
        held = getattr(record, name)
        assert (instant_ms(value) if name == "sent_at" and value else value or None) == (
            held or None
        )
    framed = ENCODERS["PracticeCompleted"].encode(record)
    assert DECODER.decode_completion(framed) == msgspec.structs.replace(record, offset_minutes=None)
