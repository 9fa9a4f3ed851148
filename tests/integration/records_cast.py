"""Every kind of input that the records can tell of, on a simulated clock.

Owns: who sends what, when it is appended, and what is wrong with it.
Does not own: sending (records_scene.py), what ought to become of it (records_meaning.py).
Invariant: the same inputs in every run, but for schema ids. Inputs of one act are consumed before
the next act begins; within an act only one user's order in one topic is fixed.
"""

import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final

import fastavro

from pipeline.dev.oracle.partition import home
from tests.integration.ledger import ROOT, iso

PARTITIONS: Final = 4
HEADERS: Final = (("traceparent", b"00-1-2-01"), ("raw", b"\xff\0"), ("none", None))
POISON: Final = "poison"
"""A completion id at which the fold of the scene's worker raises."""

ACTS: Final = (
    datetime(2026, 5, 20, 12, tzinfo=UTC),
    datetime(2026, 5, 20, 18, tzinfo=UTC),
    datetime(2026, 5, 21, 12, tzinfo=UTC),
    datetime(2026, 8, 31, 12, tzinfo=UTC),
    datetime(2026, 9, 1, 12, tzinfo=UTC),
)
"""When each act's first input is appended. Policy 2026-06 is in force from the fourth on, and one
with another last portal from the fifth on (records_scene.py)."""

FIRST, SECOND, THIRD, FOURTH, FIFTH = range(len(ACTS))
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
INDIA: Final = timezone(5 * HOUR + 30 * MINUTE)
BECAUSE: Final[dict[str, Any]] = {"reason": "was on a plane", "ticket": "S-17"}


@dataclass(frozen=True)
class Wrong:
    """What a dead letter has to say.

    Attributes:
        says: words that must be in its detail.
    """

    stage: str
    reason: str
    says: str


@dataclass(frozen=True)
class Sent:
    """One input.

    Attributes:
        wrong: of one that has to be rejected.
        is_skipped: an operator puts it aside.
    """

    act: int
    topic: str
    key: bytes | None
    value: bytes | None
    append_time_ms: int
    wrong: Wrong | None = None
    partition: int = -1
    is_skipped: bool = False
    headers: Sequence[tuple[str, str | bytes | None]] = ()


@dataclass
class Cast:
    """Everything that is sent, in order.

    Args:
        schema_ids: by topic, of the inputs' own schemas.
    """

    schema_ids: Mapping[str, int]
    inputs: list[Sent] = field(default_factory=list)
    act: int = 0

    def send(self, topic: str, key: bytes | None, value: bytes | None, **more: Any) -> None:
        """One raw input; each is appended a second after the one before."""
        at = ms(ACTS[self.act]) + 1_000 * sum(one.act == self.act for one in self.inputs)
        self.inputs.append(Sent(self.act, topic, key, value, at, **more))

    def complete(
        self, user: str, name: str, end: datetime, wrong: Wrong | None = None, **fields: Any
    ) -> None:
        """One JSON completion of twenty minutes."""
        self.send("completions", user.encode(), completion(user, name, end, **fields), wrong=wrong)

    def command(
        self, user: str, name: str, kind: str, wrong: Wrong | None = None, **fields: Any
    ) -> None:
        """One JSON command."""
        record = {"request_id": name, "user_id": user, "kind": kind, "actor": "eva@support"}
        value = json.dumps(record | fields).encode()
        self.send("commands", user.encode(), value, wrong=wrong)

    def credit(self, user: str, name: str, day: date, **fields: Any) -> None:
        """One credit."""
        self.command(user, name, "credit", local_date=day.isoformat(), **BECAUSE | fields)

    def framed(self, topic: str, record: str, fields: Mapping[str, Any]) -> bytes:
        """A record as Confluent's serialiser writes it."""
        schema = json.loads((ROOT / "schemas" / f"{record}.avsc").read_text(encoding="utf-8"))
        body = io.BytesIO()
        fastavro.schemaless_writer(body, fastavro.parse_schema(schema), dict(fields))
        return b"\0" + struct.pack(">i", self.schema_ids[topic]) + body.getvalue()


def ms(instant: datetime) -> int:
    """Milliseconds since 1970-01-01T00:00:00Z."""
    return round(instant.timestamp() * 1000)


def completion(user: str, name: str, end: datetime, **fields: Any) -> bytes:
    """One JSON completion of twenty minutes; `fields` replace some of it, ... takes one away."""
    record = {
        "completion_id": name,
        "user_id": user,
        "session_id": f"session of {name}",
        "practice": "breath",
        "started_at": iso(ms(end - 20 * MINUTE)),
        "completed_at": end.isoformat(),
        "tz": "Europe/Berlin",
    } | fields
    return json.dumps({k: v for k, v in record.items() if v is not ...}).encode()


def cast(schema_ids: Mapping[str, int], key_id: Callable[[str], str]) -> Cast:
    """Every input of the scene.

    Args:
        key_id: of a Field Key by its name, such as ada/0/bindu/0.
    """
    found = Cast(schema_ids)
    _duplicates(found)
    _rejects(found)
    _avro(found)
    _gaps(found)
    found.act = SECOND
    _commands(found, key_id)
    _wrong_commands(found)
    found.act = THIRD
    _what_commands_change(found)
    found.act = FOURTH
    _bridges(found)
    _many_credits(found)
    found.act = FIFTH
    found.credit("dee", "join", date(2026, 5, 8), tz="Europe/Lisbon")
    found.credit("eli", "join", date(2026, 9, 1))
    return found


def _duplicates(found: Cast) -> None:
    """What a client may say of one session of ada's, and what merely crosses it."""
    now = ACTS[FIRST]
    end = now - 2 * DAY + 4 * HOUR  # the next morning in Auckland
    found.complete("ada", "a1", end)
    found.complete("ada", "a1", end)
    found.complete("ada", "a1", end, tz="Pacific/Auckland")  # exact, of another date
    twin: dict[str, Any] = {"session_id": "session of a1"}
    found.complete("ada", "a1 of the watch", end, practice="walking", **twin)
    found.complete("ada", "a1 of the tablet", end + DAY, **twin)  # a twin of another date
    found.complete("ada", "a1", end + MINUTE, session_id="another", practice="walking")
    found.complete("ada", "a1", end + DAY)  # a collision of another date
    found.complete("ada", "a2", end + 5 * MINUTE)
    found.complete("ada", "a3", end + 10 * MINUTE, tz="Mars/Base")  # crosses two, in no zone
    found.complete("ada", "a4", (now - DAY).astimezone(INDIA), tz="Mars/Base")
    ahead = ACTS[FIRST] + HOUR
    found.complete("ada", "a5", ahead, sent_at=(ahead + MINUTE).isoformat(), tz="europe/berlin")
    found.complete("ada", "a5", ahead, sent_at=(ahead + 2 * HOUR).isoformat())  # sent again


def _rejects(found: Cast) -> None:
    """Completions that do not count, for each stage."""
    now = ACTS[FIRST]
    key, good = b"rex", completion("rex", "r", now - HOUR)
    elsewhere = (home(key, PARTITIONS) + 1) % PARTITIONS
    raw: list[tuple[bytes | None, bytes | None, str, str, str]] = [
        (None, good, "transport", "no_key", "key"),
        (b"somebody", good, "transport", "key_not_user", "user"),
        (b"\xff\xfe", good, "transport", "key_not_utf8", "UTF-8"),
        (key, None, "decode", "null_value", "null"),
        (key, b"", "decode", "empty_value", "send a record"),
        (key, b"\x01noise", "decode", "unknown_format", "send Avro"),
        (key, b"\0\0", "decode", "truncated_framing", "send all of it"),
        (key, b"\0\x7f\xff\xff\xfe" + b"x" * 20, "decode", "unknown_schema_id", "2147483646"),
        (key, completion("rex", "r", now, practice=...), "decode", "missing_field", "practice"),
        (key, completion("rex", "r", now, practice=7), "decode", "wrong_type", "practice"),
    ]
    for with_key, value, *wrong in raw:
        found.send("completions", with_key, value, wrong=Wrong(*wrong), headers=HEADERS)
    wrong_partition = Wrong("transport", "wrong_partition", "partition")
    found.send("completions", key, good, partition=elsewhere, wrong=wrong_partition)
    for fields, reason, says in (
        ({"started_at": now.isoformat()}, "too_short", "at least"),
        ({"started_at": (now + HOUR).isoformat()}, "ends_before_start", "before started_at"),
        ({"practice": " "}, "bad_practice", "practice"),
        ({"session_id": "\u202e"}, "bad_session_id", "session_id"),
        ({"sent_at": (now + 2 * DAY).isoformat()}, "clock_too_far_ahead", "by the network"),
    ):
        found.complete("rex", f"r {reason}", now, Wrong("validate", reason, says), **fields)
    late = Wrong("validate", "too_late", "14 count without a review")
    found.complete("ada", "a6", now - 15 * DAY, late)  # of one who has a revision
    found.complete("\u2028", "r", now, Wrong("validate", "bad_user_id", "user_id"))
    planted = Wrong("fold", "zero_division_error", "planted")
    found.complete("ada", POISON, now, planted)
    skipped = {"wrong": Wrong("operator", "skipped", "it ends the decoder"), "is_skipped": True}
    found.send("completions", key, good, headers=HEADERS, **skipped)
    found.send("completions", None, b"\0\0\0\0\7 as it were", **skipped)
    found.send("commands", key, b"{}", **skipped)


def _avro(found: Cast) -> None:
    """Framed inputs: one that counts, and one rejected at each stage from which an id is known."""
    now = ACTS[FIRST]
    fields = {
        "completion_id": "b1",
        "user_id": "bo",
        "session_id": "s1",
        "practice": "chant",
        "started_at": now - DAY - 20 * MINUTE,
        "completed_at": now - DAY,
        "tz": "US/Pacific-New",
        "context": {"mood": "calm"},
    }

    def framed(**changed: Any) -> bytes:
        return found.framed("completions", "PracticeCompleted", fields | changed)

    good = framed()
    found.send("completions", b"bo", good)
    found.send("completions", b"bo", good)  # sent twice
    for value, key, *wrong in (
        (framed(tz="Atlantis"), b"bo", "validate", "unknown_zone", "send an IANA name"),
        (good[:-9], b"bo", "decode", "truncated_avro", "as schema id"),
        (good, b"somebody", "transport", "key_not_user", "bo"),
        (framed(completion_id=POISON), b"bo", "fold", "zero_division_error", "planted"),
    ):
        found.send("completions", key, value, wrong=Wrong(*wrong))


def _gaps(found: Cast) -> None:
    """Completions that come late: one closes a gap, one is of a run that is over."""
    now = ACTS[FIRST]
    for days in (3, 1, 2):
        found.complete("ivy", f"i{days}", now - days * DAY, tz="Asia/Kolkata")
    found.complete("jon", "j1", now - 12 * DAY, tz="America/New_York")
    for days in (6, 5, 1, 4):  # an old run grows longer than the one that goes on
        tz = "Asia/Tokyo" if days == 4 else "Asia/Seoul"  # the last to come, not the last to end
        found.complete("kim", f"k{days}", now - days * DAY, tz=tz)


def _commands(found: Cast, key_id: Callable[[str], str]) -> None:
    today = ACTS[SECOND].date()
    yesterday = today - DAY
    found.credit("cy", "credit-0", yesterday)
    for name, key in (("claim-0", "cy/0/vesica-piscis/0"), ("claim-2", "cy/0/tripod-of-life/0")):
        found.command("cy", name, "claim_key", key_id=key_id(key))  # before they are granted
    found.credit("cy", "credit-1", today, tz="tokyo time", wrong=_unknown_zone())
    found.credit("cy", "credit-1", today - 2 * DAY, tz="asia/tokyo")
    found.credit("cy", "credit-1", today - 2 * DAY, tz="asia/tokyo")  # repeated
    found.command("cy", "revoke-0", "revoke", local_date=today.isoformat(), **BECAUSE)
    found.command("cy", "revoke-1", "revoke", local_date=today.isoformat(), **BECAUSE)
    found.credit("cy", "credit-2", today)  # of a date that is revoked twice
    found.credit("cy", "credit-2", today)
    found.command("ada", "claim-1", "claim_key", key_id=key_id("ada/0/bindu/0"))
    found.command("ada", "revoke-2", "revoke", local_date=today.isoformat(), **BECAUSE)
    fields = {
        "request_id": "credit-3",
        "user_id": "bo",
        "kind": "credit",
        "actor": "rewards",
        **BECAUSE,
        "local_date": today - 3 * DAY,
        "tz": "+05:45",
    }
    found.send("commands", b"bo", found.framed("commands", "Command", fields))


def _unknown_zone() -> Wrong:
    return Wrong("validate", "unknown_zone", "'tokyo time'")


def _wrong_commands(found: Cast) -> None:
    today = ACTS[SECOND].date()
    for name, kind, fields, reason, says in (
        ("w1", "credit", {"local_date": today.isoformat()}, "unexplained", "a reason and a ticket"),
        ("w2", "credit", BECAUSE, "no_local_date", "local_date"),
        (
            "w3",
            "revoke",
            BECAUSE | {"local_date": (today + 9 * DAY).isoformat()},
            "date_too_far_ahead",
            "tomorrow",
        ),
        ("w4", "withdraw", {"withdraws": "w4", "reason": "mine"}, "withdraws_itself", "itself"),
        ("w5", "claim_key", {"key_id": "no key"}, "unknown_key", "'no key'"),
        ("w6", "redrive", {}, "unexplained", "a redrive needs"),
        ("w6", "operation", {"subject": "all of it"}, "bad_operation", "operation must"),
        ("w7", "erase", {"reason": "asked to"}, "kind_not_supported", "erase"),
        ("w8", "repair", BECAUSE, "bad_repair", "payload"),
        (
            "credit-0",
            "credit",
            BECAUSE | {"local_date": today.isoformat()},
            "request_id_reused",
            "a new id",
        ),
    ):
        found.command("cy", name, kind, Wrong("validate", reason, says), **fields)
    found.command("rex", "w8", "credit", Wrong("validate", "unexplained", "a reason"))
    no_actor = Wrong("validate", "bad_actor", "actor")
    found.command("cy", "w9", "withdraw", no_actor, actor="\u202e", withdraws="revoke-0")
    found.send("commands", b"cy", b"[]", wrong=Wrong("decode", "unknown_format", "send Avro"))
    stray = json.dumps({"request_id": "w", "user_id": "cy", "kind": "credit", "actor": "eva"})
    found.send("commands", b"bo", stray.encode(), wrong=Wrong("transport", "key_not_user", "'cy'"))


def _what_commands_change(found: Cast) -> None:
    now = ACTS[THIRD]
    found.complete("ada", "a7", now - DAY)  # of a date that is revoked
    found.complete("ada", "a8", now - MINUTE)
    found.command("cy", "back-0", "withdraw", withdraws="revoke-0", reason="a mistake")
    found.command("cy", "back-1", "withdraw", withdraws="revoke-1")
    found.command("cy", "back-2", "withdraw", withdraws="not yet asked")
    found.command("bo", "back-3", "withdraw", withdraws="credit-3")
    found.command("ada", "back-4", "withdraw", withdraws="claim-1")
    found.credit("cy", "credit-4", now.date(), tz="Asia/Tokyo", actor="rewards")
    found.complete("bo", "b2", now - HOUR, tz="UTC-3:30", practice="نیم‌فاصله")


def _bridges(found: Cast) -> None:
    """A flight over the date line's side of the world, and one by mornings; one is walked after."""
    for user in ("fay", "fil"):
        found.complete(user, "f1", datetime(2026, 8, 29, 6, tzinfo=UTC), tz="Pacific/Honolulu")
        found.complete(user, "f2", datetime(2026, 8, 29, 19, tzinfo=UTC), tz="Asia/Tokyo")
    found.complete("fil", "f3", datetime(2026, 8, 29, 9, tzinfo=UTC), tz="Asia/Tokyo")
    found.complete("gus", "g1", datetime(2026, 8, 28, 23, tzinfo=UTC), tz="America/Los_Angeles")
    found.complete("gus", "g2", datetime(2026, 8, 30, 4, tzinfo=UTC), tz="Asia/Tokyo")
    found.complete("hal", "h1", ACTS[FOURTH] - 34 * DAY, tz="Europe/Kiev")


def _many_credits(found: Cast) -> None:
    """Two laps each: dee's in two runs that want one date, eli's in one that wants the last."""
    last = ACTS[FOURTH].date()
    for back in range(216):
        day = last - back * DAY
        if day != date(2026, 5, 8):
            found.credit("dee", f"credit-{back}", day, tz="Europe/Lisbon")
        if back < 215:
            found.credit("eli", f"credit-{back}", day)
