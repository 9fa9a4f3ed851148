"""Completions that look wrong and are valid: each must count.

Owns: one function for each kind of oddity that clients are known to send.
Does not own: what must be refused (garbage.py), unusual ways to write JSON (json_variants.py).
Invariant: each record has exactly one oddity, and is the only one of its user, so that it must be
accepted.
"""

from collections.abc import Callable
from random import Random
from typing import Final
from uuid import UUID

import msgspec

from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.json_variants import VARIANTS, Variant
from pipeline.dev.workload.people import DAY_MS, MINUTE_MS
from pipeline.dev.workload.template import Template
from pipeline.dev.workload.wire import Spelling, completion_fields, json_completion, rfc3339
from pipeline.dev.workload.zone_names import ZoneNaming, zone_text

ID_CHARS_MAX: Final = 255
NEWER_WRITERS: Final = ("extra_field", "nullable_practice", "uuid")
"""What is new in each schema that other producers registered; each keeps the earlier changes."""


def _in_variant(write: Variant) -> Callable[[Template, Random], bytes]:
    return lambda template, rng: write(completion_fields(template.completion(rng)), rng)


def _practice(practice: str) -> Callable[[Template, Random], bytes]:
    def made(template: Template, rng: Random) -> bytes:
        completion = template.completion(rng, practice=practice)
        avro = rng.random() < 0.5
        return template.wire.avro_completion(completion) if avro else json_completion(completion)

    return made


def _spelled(spelling: Spelling) -> Callable[[Template, Random], bytes]:
    def made(template: Template, rng: Random) -> bytes:
        completed = template.append_time_ms // MINUTE_MS * MINUTE_MS
        started = completed - 10 * MINUTE_MS
        completion = template.completion(rng, started_at=started, completed_at=completed)
        return json_completion(completion, "Asia/Kolkata", spelling)

    return made


def _leap_second(template: Template, rng: Random) -> bytes:
    midnight = template.append_time_ms // DAY_MS * DAY_MS
    completion = template.completion(
        rng, started_at=midnight - 10 * MINUTE_MS, completed_at=midnight
    )
    last = rfc3339(midnight - 1).replace("59.999Z", rng.choice(("60Z", "60.5Z")))
    return msgspec.json.encode(completion_fields(completion) | {"completed_at": last})


def _long_ids(template: Template, rng: Random) -> bytes:
    longest = "i" * (ID_CHARS_MAX - 16) + f"{rng.getrandbits(64):016x}"
    return json_completion(template.completion(rng, completion_id=longest, session_id=longest))


def _zone(naming: ZoneNaming, place: str) -> Callable[[Template, Random], bytes]:
    def made(template: Template, rng: Random) -> bytes:
        tz = zone_text(naming, place, template.append_time_ms, rng)
        return json_completion(template.completion(rng, tz=tz), place)

    return made


def _newer_writer(what: str) -> Callable[[Template, Random], bytes]:
    def made(template: Template, rng: Random) -> bytes:
        completion_id = str(UUID(int=rng.getrandbits(128)))
        completion = template.completion(rng, completion_id=completion_id)
        return template.wire.newer_completions[what](completion)

    return made


KINDS: Final[dict[str, Callable[[Template, Random], bytes]]] = {
    **{name: _in_variant(write) for name, write in VARIANTS.items()},
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


def user_of(kind: str, suffix: str) -> str:
    """Return the id of a user who sends one oddity of `kind` and nothing else."""
    user_id = f"odd-{kind}-{suffix}"
    return user_id.ljust(ID_CHARS_MAX, "y") if kind == "long_ids" else user_id


def oddity(kind: str, template: Template, rng: Random) -> InputRecord:
    """Return a completion of `kind`, one of `KINDS`, for a user who has no other."""
    return template.send(KINDS[kind](template, rng), verdict="accepted", odd=kind)
