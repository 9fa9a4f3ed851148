"""Records that must be refused, one of every kind that has been seen or feared.

Owns: one function for each kind of garbage.
Does not own: completions that are reported twice (reports.py), that only look wrong (oddities.py),
commands that must be refused (commands.py).
Invariant: each record has exactly one thing wrong with it, so that the reason for which it must be
rejected is known.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec

from pipeline.core.records import PracticeCompleted
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.people import DAY_MS, MINUTE_MS
from pipeline.dev.workload.template import Template
from pipeline.dev.workload.wire import completion_fields, json_completion, rfc3339

NOISE_BYTES: Final = 1_000_000
NOISE_RECORDS_MAX: Final = 3
DEPTH: Final = 1_000
UNKNOWN_SCHEMA_ID: Final = 0x7FFF_FFF0
HUGE: Final = 1 << 62


def _either(template: Template, completion: PracticeCompleted, rng: Random) -> bytes:
    if rng.random() < 0.5:
        return template.wire.avro_completion(completion)
    return json_completion(completion)


def _no_key(template: Template, rng: Random) -> InputRecord:
    value = _either(template, template.completion(rng), rng)
    return template.send(value, key=None, partition=rng.randrange(template.wire.partitions))


def _key_not_user(template: Template, rng: Random) -> InputRecord:
    return template.send(
        _either(template, template.completion(rng), rng), key=template.stranger.encode()
    )


def _wrong_partition(template: Template, rng: Random) -> InputRecord:
    home = template.wire.partition_of(template.user_id.encode())
    elsewhere = (home + rng.randrange(1, template.wire.partitions)) % template.wire.partitions
    return template.send(_either(template, template.completion(rng), rng), partition=elsewhere)


def _unknown_schema(template: Template, rng: Random) -> InputRecord:
    framed = template.wire.avro_completion(template.completion(rng))
    header = b"\0" + (UNKNOWN_SCHEMA_ID + rng.randrange(8)).to_bytes(4, "big")
    return template.send(header + rng.choice((b"", framed[5:])))


def _truncated(template: Template, rng: Random) -> InputRecord:
    framed = template.wire.avro_completion(template.completion(rng))
    return template.send(framed[: rng.randrange(6, len(framed) - 1)])


def _wrong_type(template: Template, rng: Random) -> InputRecord:
    fields = completion_fields(template.completion(rng))
    wrong: dict[str, Any] = rng.choice(
        (
            {"completion_id": 17},
            {"completed_at": [1, 2, 3]},
            {"practice": None},
            {"context": ["calm"]},
            {"tz": {"name": "Europe/Berlin"}},
        )
    )
    return template.send(msgspec.json.encode(fields | wrong))


def _bad_instant(template: Template, rng: Random) -> InputRecord:
    fields = completion_fields(template.completion(rng))
    day, time = fields["completed_at"][:10], fields["completed_at"][11:19]
    wrong = rng.choice(
        (
            *("yesterday", f"{day}T{time}", f"{day}T{time},5Z", f"{day}T24:00:00Z"),
            *(f"{day}T12:00:60Z", f"{day}T{time}+24:00", "2026-W24-1T12:00:00Z"),
            *("2026-02-30T12:00:00Z", f"{day}T12:61:00Z", f"{day}T{time}\u221202:00"),
        )
    )
    return template.send(msgspec.json.encode(fields | {"completed_at": wrong}))


def _repeated_field(template: Template, rng: Random) -> InputRecord:
    text = json_completion(template.completion(rng, context={"mood": "calm"}))
    field, again = rng.choice(
        (
            (b'"tz":', b'"tz":"UTC",'),
            (b'"tz":', b'"t\\u007a":"UTC",'),
            (b'"mood":', b'"mood":"calm",'),
        )
    )
    return template.send(text.replace(field, again + field))


def _half_a_character(template: Template, rng: Random) -> InputRecord:
    field = rng.choice(("completion_id", "session_id", "tz"))
    text = json_completion(template.completion(rng, **{field: "MARK"}))
    return template.send(text.replace(b"MARK", rb"cut \ud83d"))


def _bad_name(template: Template, rng: Random) -> InputRecord:
    names: dict[str, Any] = rng.choice(
        (
            {"completion_id": "i" * 256},
            {"session_id": "s\u202e1"},
            {"completion_id": "\u2800\u3164"},
            {"session_id": "a\x85"},
            {"practice": "\u3000\u200d"},
            {"practice": "tab\tbed"},
            {"practice": "p" * 65},
        )
    )
    return template.send(_either(template, template.completion(rng, **names), rng))


def _missing_field(template: Template, rng: Random) -> InputRecord:
    fields = completion_fields(template.completion(rng))
    del fields[rng.choice(sorted(fields.keys() - {"tz"}))]  # whose absence is forgiven
    return template.send(msgspec.json.encode(fields))


def _empty(template: Template, rng: Random) -> InputRecord:
    return template.send(rng.choice((b"", None)))


def _noise(template: Template, rng: Random) -> InputRecord:
    return template.send(b"\xff" + rng.randbytes(NOISE_BYTES - 1))


def _invalid_utf8(template: Template, rng: Random) -> InputRecord:
    marked = template.completion(rng, practice="silence-mark")
    return template.send(_either(template, marked, rng).replace(b"-mark", b"\xff\xfe\xc3\x28\x80"))


def _unknown_zone(template: Template, rng: Random) -> InputRecord:
    """A zone that nobody knows, without an offset that could stand in for it."""
    tz = rng.choice(
        ("Mars/Olympus_Mons", "Etc/Unknown", "../../etc/passwd", "UTC+25", "", "+14:01")
    )
    completion = template.completion(rng, tz=tz)
    if rng.random() < 0.5:
        return template.send(template.wire.avro_completion(completion))
    fields = completion_fields(completion)
    wall = rfc3339(completion.completed_at + 15 * 60 * MINUTE_MS).replace("Z", "+15:00")
    return template.send(msgspec.json.encode(fields | {"completed_at": wall}))


def _ends_before_start(template: Template, rng: Random) -> InputRecord:
    fine = template.completion(rng)
    turned = template.completion(rng, started_at=fine.completed_at, completed_at=fine.started_at)
    return template.send(_either(template, turned, rng))


def _too_short(template: Template, rng: Random) -> InputRecord:
    fine = template.completion(rng)
    short = msgspec.structs.replace(
        fine, started_at=fine.completed_at - template.limits.session_ms_min // 2
    )
    return template.send(_either(template, short, rng))


def _too_far_ahead(template: Template, rng: Random) -> InputRecord:
    ahead = (
        template.append_time_ms
        + template.limits.future_skew_ms
        + rng.randrange(MINUTE_MS, 10 * DAY_MS)
    )
    early = template.completion(rng, started_at=ahead - 10 * MINUTE_MS, completed_at=ahead)
    return template.send(_either(template, early, rng))


def _clock_too_far_ahead(template: Template, rng: Random) -> InputRecord:
    fine = template.completion(rng)
    ahead_ms = template.limits.clock_ahead_ms_max + rng.randrange(MINUTE_MS, 40 * DAY_MS)
    skewed = msgspec.structs.replace(
        fine,
        started_at=fine.started_at + ahead_ms,
        completed_at=fine.completed_at + ahead_ms,
        sent_at=template.append_time_ms + ahead_ms,
    )
    return template.send(_either(template, skewed, rng))


def _too_late(template: Template, rng: Random) -> InputRecord:
    past = (
        template.append_time_ms - template.limits.late_ms - rng.randrange(MINUTE_MS, 400 * DAY_MS)
    )
    stale = template.completion(rng, started_at=past - 10 * MINUTE_MS, completed_at=past)
    return template.send(_either(template, stale, rng))


def _not_a_number(template: Template, rng: Random) -> InputRecord:
    text = json_completion(template.completion(rng, context={"pulse": "MARK"}))
    return template.send(text.replace(b'"MARK"', rng.choice((b"NaN", b"Infinity", b"-Infinity"))))


def _huge_number(template: Template, rng: Random) -> InputRecord:
    if rng.random() < 0.5:
        sign = rng.choice((1, -1))
        return template.send(
            template.wire.avro_completion(
                template.completion(rng, started_at=sign * HUGE - 600_000, completed_at=sign * HUGE)
            )
        )
    number = rng.choice((b"1e999", b"9" * 400, b"-" + b"8" * 9000))
    return template.send(json_completion(template.completion(rng)).replace(b'"silence"', number))


def _nested(template: Template, rng: Random) -> InputRecord:
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    depth = rng.choice((DEPTH, 100 * DEPTH))
    deep = opening * depth + b"1" + closing * depth
    text = json_completion(template.completion(rng, context={"pulse": "MARK"}))
    where, what = rng.choice(((b'"MARK"', deep), (b'{"pulse":', b'{"more":' + deep + b',"pulse":')))
    return template.send(text.replace(where, what))


KINDS: Final[dict[str, Callable[[Template, Random], InputRecord]]] = {
    "no_key": _no_key,
    "key_not_user": _key_not_user,
    "wrong_partition": _wrong_partition,
    "unknown_schema": _unknown_schema,
    "truncated": _truncated,
    "wrong_type": _wrong_type,
    "bad_instant": _bad_instant,
    "repeated_field": _repeated_field,
    "half_a_character": _half_a_character,
    "bad_name": _bad_name,
    "missing_field": _missing_field,
    "empty": _empty,
    "noise": _noise,
    "invalid_utf8": _invalid_utf8,
    "unknown_zone": _unknown_zone,
    "ends_before_start": _ends_before_start,
    "too_short": _too_short,
    "too_far_ahead": _too_far_ahead,
    "clock_too_far_ahead": _clock_too_far_ahead,
    "too_late": _too_late,
    "not_a_number": _not_a_number,
    "huge_number": _huge_number,
    "nested": _nested,
}


LARGE: Final = frozenset({"noise", "nested"})
"""Kinds that may be as large as a record can be."""

NEED_AVRO: Final = frozenset({"huge_number", "unknown_zone"})
"""Kinds that need a wire with Avro: JSON cannot say the value, or says more than Avro."""


def garbage(kind: str, template: Template, rng: Random) -> InputRecord:
    """Return one piece of garbage of `kind`, one of `KINDS`."""
    return msgspec.structs.replace(KINDS[kind](template, rng), garbage=kind)
