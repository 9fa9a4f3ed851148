"""Completions that look wrong and are not: each must count.

Owns: one maker for each kind of oddity that clients are known to send.
Does not own: what must be rejected (garbage.py), odd ways to write JSON (dressing.py).
Invariant: each record has exactly one thing odd about it, and is the only one of its user, so that
it must be accepted.
"""

from collections.abc import Callable
from random import Random
from typing import Final
from uuid import UUID

import msgspec

from pipeline.dev.demo.dressing import DRESSES, Dress
from pipeline.dev.demo.naming import Naming, zone_text
from pipeline.dev.demo.people import DAY_MS, MINUTE_MS
from pipeline.dev.demo.planted import ToSend
from pipeline.dev.demo.spot import Spot
from pipeline.dev.demo.wire import Spelling, completion_fields, json_completion, rfc3339

ID_CHARS_MAX: Final = 255
NEWER_WRITERS: Final = ("extra_field", "nullable_practice", "uuid")
"""What is new in the schemas that other producers registered; a later one has it all."""


def _in_dress(dress: Dress) -> Callable[[Spot, Random], bytes]:
    return lambda spot, rng: dress(completion_fields(spot.completion(rng)), rng)


def _practice(practice: str) -> Callable[[Spot, Random], bytes]:
    def made(spot: Spot, rng: Random) -> bytes:
        completion = spot.completion(rng, practice=practice)
        avro = rng.random() < 0.5
        return spot.wire.avro_completion(completion) if avro else json_completion(completion)

    return made


def _spelled(spelling: Spelling) -> Callable[[Spot, Random], bytes]:
    def made(spot: Spot, rng: Random) -> bytes:
        completed = spot.append_time_ms // MINUTE_MS * MINUTE_MS
        started = completed - 10 * MINUTE_MS
        completion = spot.completion(rng, started_at=started, completed_at=completed)
        return json_completion(completion, "Asia/Kolkata", spelling)

    return made


def _leap_second(spot: Spot, rng: Random) -> bytes:
    midnight = spot.append_time_ms // DAY_MS * DAY_MS
    completion = spot.completion(rng, started_at=midnight - 10 * MINUTE_MS, completed_at=midnight)
    last = rfc3339(midnight - 1).replace("59.999Z", rng.choice(("60Z", "60.5Z")))
    return msgspec.json.encode(completion_fields(completion) | {"completed_at": last})


def _long_ids(spot: Spot, rng: Random) -> bytes:
    longest = "i" * (ID_CHARS_MAX - 16) + f"{rng.getrandbits(64):016x}"
    return json_completion(spot.completion(rng, completion_id=longest, session_id=longest))


def _zone(naming: Naming, place: str) -> Callable[[Spot, Random], bytes]:
    def made(spot: Spot, rng: Random) -> bytes:
        tz = zone_text(naming, place, spot.append_time_ms, rng)
        return json_completion(spot.completion(rng, tz=tz), place)

    return made


def _newer_writer(what: str) -> Callable[[Spot, Random], bytes]:
    def made(spot: Spot, rng: Random) -> bytes:
        completion_id = str(UUID(int=rng.getrandbits(128)))
        completion = spot.completion(rng, completion_id=completion_id)
        return spot.wire.newer_completions[what](completion)

    return made


KINDS: Final[dict[str, Callable[[Spot, Random], bytes]]] = {
    **{name: _in_dress(dress) for name, dress in DRESSES.items()},
    "practice_persian": _practice("نفس\u200cگیری"),
    "practice_joined_emoji": _practice("🧘🏽\u200d♀️ sit"),
    "practice_ideographic_space": _practice("朝\u3000瞑想"),
    "practice_new_emoji": _practice("\U0001fae8 shake"),
    "no_seconds": _spelled("java"),
    "basic_offset": _spelled("basic"),
    "leap_second": _leap_second,
    "long_ids": _long_ids,
    "zone_offset": _zone("offset", "Asia/Kathmandu"),
    "zone_gmt": _zone("gmt", "Europe/Berlin"),
    "zone_utc": _zone("utc", "America/St_Johns"),
    "zone_odd_case": _zone("odd_case", "America/New_York"),
    "zone_former": _zone("former", "America/Los_Angeles"),
    "zone_unknown": _zone("unknown", "Asia/Kathmandu"),
    **{f"newer_{what}": _newer_writer(what) for what in NEWER_WRITERS},
}


def oddity(kind: str, spot: Spot, rng: Random) -> ToSend:
    """Return a completion of `kind`, one of `KINDS`, for a user who has no other."""
    return spot.send(KINDS[kind](spot, rng), verdict="accepted", odd=kind)
