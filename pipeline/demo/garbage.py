"""Records that no honest client sends, of every kind that has been seen or feared.

Owns: one maker for each kind of garbage.
Does not own: completions that are merely late or told twice (reports.py).
Invariant: each record has exactly one thing wrong with it, so that the reason for which it must be
rejected is known.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec

from pipeline.core.records import PracticeCompleted
from pipeline.demo.people import DAY_MS, MINUTE_MS
from pipeline.demo.planted import ToSend
from pipeline.demo.reports import Limits
from pipeline.demo.wire import Wire, completion_fields, json_completion

NOISE_BYTES: Final = 1_000_000
NOISE_RECORDS_MAX: Final = 3
DEPTH: Final = 1_000
UNKNOWN_SCHEMA_ID: Final = 0x7FFF_FFF0
HUGE: Final = 1 << 62


class Spot(msgspec.Struct, frozen=True):
    """Where a piece of garbage goes: whose key it bears, when, and within which bounds."""

    user_id: str
    stranger: str
    append_time_ms: int
    limits: Limits
    wire: Wire

    def completion(self, rng: Random, **changes: Any) -> PracticeCompleted:
        """Return a completion that is fine but for `changes`."""
        completed = self.append_time_ms - rng.randrange(500, 5_000)
        fine = PracticeCompleted(
            completion_id=f"g-{rng.getrandbits(64):016x}",
            user_id=self.user_id,
            session_id=f"h-{rng.getrandbits(64):016x}",
            practice="silence",
            started_at=completed - 10 * MINUTE_MS,
            completed_at=completed,
            tz="Europe/Berlin",
        )
        return msgspec.structs.replace(fine, **changes)

    def send(self, value: bytes | None, **changes: Any) -> ToSend:
        """Return `value` as a record under the user's own key."""
        record = ToSend(
            kind="completions",
            partition=None,
            key=self.user_id.encode(),
            value=value,
            append_time_ms=self.append_time_ms,
            headers=(),
            verdict="dead_letter",
        )
        return msgspec.structs.replace(record, **changes)


def _either(spot: Spot, completion: PracticeCompleted, rng: Random) -> bytes:
    if rng.random() < 0.5:
        return spot.wire.avro_completion(completion)
    return json_completion(completion)


def _no_key(spot: Spot, rng: Random) -> ToSend:
    value = _either(spot, spot.completion(rng), rng)
    return spot.send(value, key=None, partition=rng.randrange(spot.wire.partitions))


def _key_not_user(spot: Spot, rng: Random) -> ToSend:
    return spot.send(_either(spot, spot.completion(rng), rng), key=spot.stranger.encode())


def _wrong_partition(spot: Spot, rng: Random) -> ToSend:
    home = spot.wire.partition_of(spot.user_id.encode())
    elsewhere = (home + rng.randrange(1, spot.wire.partitions)) % spot.wire.partitions
    return spot.send(_either(spot, spot.completion(rng), rng), partition=elsewhere)


def _unknown_schema(spot: Spot, rng: Random) -> ToSend:
    framed = spot.wire.avro_completion(spot.completion(rng))
    return spot.send(b"\0" + UNKNOWN_SCHEMA_ID.to_bytes(4, "big") + framed[5:])


def _truncated(spot: Spot, rng: Random) -> ToSend:
    framed = spot.wire.avro_completion(spot.completion(rng))
    return spot.send(framed[: rng.randrange(6, len(framed) - 1)])


def _wrong_type(spot: Spot, rng: Random) -> ToSend:
    fields = completion_fields(spot.completion(rng), local=False)
    wrong: dict[str, Any] = rng.choice(
        (
            {"completion_id": 17},
            {"completed_at": [1, 2, 3]},
            {"started_at": "yesterday"},
            {"practice": None},
            {"context": {"mood": 5}},
            {"tz": {"name": "Europe/Berlin"}},
        )
    )
    return spot.send(msgspec.json.encode(fields | wrong))


def _missing_field(spot: Spot, rng: Random) -> ToSend:
    fields = completion_fields(spot.completion(rng), local=False)
    del fields[rng.choice(sorted(fields))]
    return spot.send(msgspec.json.encode(fields))


def _empty(spot: Spot, rng: Random) -> ToSend:
    return spot.send(rng.choice((b"", None)))


def _noise(spot: Spot, rng: Random) -> ToSend:
    return spot.send(b"\xff" + rng.randbytes(NOISE_BYTES - 1))


def _invalid_utf8(spot: Spot, rng: Random) -> ToSend:
    marked = spot.completion(rng, practice="silence-mark")
    return spot.send(_either(spot, marked, rng).replace(b"-mark", b"\xff\xfe\xc3\x28\x80"))


def _unknown_zone(spot: Spot, rng: Random) -> ToSend:
    tz = rng.choice(("Mars/Olympus_Mons", "Europe/Atlantis", "../../etc/passwd", "UTC+25"))
    return spot.send(_either(spot, spot.completion(rng, tz=tz), rng))


def _ends_before_start(spot: Spot, rng: Random) -> ToSend:
    fine = spot.completion(rng)
    turned = spot.completion(rng, started_at=fine.completed_at, completed_at=fine.started_at)
    return spot.send(_either(spot, turned, rng))


def _too_short(spot: Spot, rng: Random) -> ToSend:
    fine = spot.completion(rng)
    short = msgspec.structs.replace(
        fine, started_at=fine.completed_at - spot.limits.session_ms_min // 2
    )
    return spot.send(_either(spot, short, rng))


def _too_far_ahead(spot: Spot, rng: Random) -> ToSend:
    ahead = spot.append_time_ms + spot.limits.future_skew_ms + rng.randrange(MINUTE_MS, 10 * DAY_MS)
    early = spot.completion(rng, started_at=ahead - 10 * MINUTE_MS, completed_at=ahead)
    return spot.send(_either(spot, early, rng))


def _clock_too_far_ahead(spot: Spot, rng: Random) -> ToSend:
    fine = spot.completion(rng)
    ahead_ms = spot.limits.clock_ahead_ms_max + rng.randrange(MINUTE_MS, 40 * DAY_MS)
    skewed = msgspec.structs.replace(
        fine,
        started_at=fine.started_at + ahead_ms,
        completed_at=fine.completed_at + ahead_ms,
        sent_at=spot.append_time_ms + ahead_ms,
    )
    return spot.send(_either(spot, skewed, rng))


def _too_late(spot: Spot, rng: Random) -> ToSend:
    past = spot.append_time_ms - spot.limits.late_ms - rng.randrange(MINUTE_MS, 400 * DAY_MS)
    stale = spot.completion(rng, started_at=past - 10 * MINUTE_MS, completed_at=past)
    return spot.send(_either(spot, stale, rng))


def _not_a_number(spot: Spot, rng: Random) -> ToSend:
    text = json_completion(spot.completion(rng, context={"pulse": "MARK"}))
    return spot.send(text.replace(b'"MARK"', rng.choice((b"NaN", b"Infinity", b"-Infinity"))))


def _huge_number(spot: Spot, rng: Random) -> ToSend:
    if rng.random() < 0.5:
        sign = rng.choice((1, -1))
        return spot.send(
            spot.wire.avro_completion(
                spot.completion(rng, started_at=sign * HUGE - 600_000, completed_at=sign * HUGE)
            )
        )
    text = json_completion(spot.completion(rng, context={"pulse": "MARK"}))
    return spot.send(
        text.replace(b'"MARK"', rng.choice((b"1e999", b"9" * 400, b"-" + b"8" * 9000)))
    )


def _nested(spot: Spot, rng: Random) -> ToSend:
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    deep = opening * DEPTH + b"1" + closing * DEPTH
    text = json_completion(spot.completion(rng, context={"pulse": "MARK"}))
    return spot.send(text.replace(b'"MARK"', deep))


KINDS: Final[dict[str, Callable[[Spot, Random], ToSend]]] = {
    "no_key": _no_key,
    "key_not_user": _key_not_user,
    "wrong_partition": _wrong_partition,
    "unknown_schema": _unknown_schema,
    "truncated": _truncated,
    "wrong_type": _wrong_type,
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


def garbage(kind: str, spot: Spot, rng: Random) -> ToSend:
    """Return one piece of garbage of `kind`, one of `KINDS`."""
    return msgspec.structs.replace(KINDS[kind](spot, rng), garbage=kind)
