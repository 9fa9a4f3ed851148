"""How the made-up clients put records into bytes.

Owns: JSON as a client would write it, instants in their spellings.
Does not own: the Avro encoders, which are given; unusual JSON (json_variants.py); which format a
client writes (reports.py).
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from pipeline.codec.partitioner import partition_of
from pipeline.core.keys import key_ids
from pipeline.core.records import Command, PracticeCompleted

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DATE: Final = date(1970, 1, 1)

Spelling = Literal["full", "java", "basic"]
"""How an instant is written: in full; without seconds that are zero, as Java does; with an offset
like +0200."""

SPELLINGS: Final[tuple[Spelling, ...]] = ("full", "java", "basic")


class Wire(msgspec.Struct, frozen=True):
    """What a generator must be given to write what real clients write.

    Attributes:
        avro_completion, avro_command: encode a record as framed Avro.
        newer_completions: the same with the schemas that other producers registered after ours; by
            what is new in each.
        partition_of: the partition (0 and up) that a key belongs to.
        partitions: of each input topic.
        key_id: id of a Field Key, from user id, lap, slug and index.
    """

    avro_completion: Callable[[PracticeCompleted], bytes]
    avro_command: Callable[[Command], bytes]
    newer_completions: Mapping[str, Callable[[PracticeCompleted], bytes]]
    partition_of: Callable[[bytes], int]
    partitions: int
    key_id: Callable[[str, int, str, int], str]


def json_only(partitions: int) -> Wire:
    """Return a wire of clients that write nothing but JSON, with our own partitioner and ids."""
    return Wire(
        avro_completion=json_completion,
        avro_command=json_command,
        newer_completions={},
        partition_of=lambda key: partition_of(key, partitions),
        partitions=partitions,
        key_id=lambda user_id, lap, slug, i: key_ids(user_id, lap, slug, i + 1)[i],
    )


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def offset_minutes(instant_ms: int, place: str) -> int:
    """Return how far east of UTC the clocks of `place`, an IANA name, are at an instant."""
    at = (EPOCH + timedelta(milliseconds=instant_ms)).astimezone(_zone(place))
    return (at.utcoffset() or timedelta()) // timedelta(minutes=1)


def offset_text(minutes: int, colon: str = ":") -> str:
    """Return an offset as `+02:00`."""
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}{colon}{rest:02d}"


def rfc3339(instant_ms: int, place: str | None = None, spelling: Spelling = "full") -> str:
    """Return `instant_ms` as text, by the clocks of `place`; as UTC without it."""
    east = 0 if place is None else offset_minutes(instant_ms, place)
    wall = (EPOCH + timedelta(milliseconds=instant_ms, minutes=east)).replace(tzinfo=None)
    is_short = spelling == "java" and instant_ms % 60_000 == 0
    text = wall.isoformat(timespec="minutes" if is_short else "milliseconds")
    if place is None:
        return f"{text}Z"
    return text + offset_text(east, "" if spelling == "basic" else ":")


def completion_fields(
    completion: PracticeCompleted, place: str | None = None, spelling: Spelling = "full"
) -> dict[str, Any]:
    """Return the JSON fields of a completion, instants by the clocks of `place`, or in UTC."""

    def said(instant_ms: int) -> str:
        return rfc3339(instant_ms, place, spelling)

    fields: dict[str, Any] = {
        "completion_id": completion.completion_id,
        "user_id": completion.user_id,
        "session_id": completion.session_id,
        "practice": completion.practice,
        "started_at": said(completion.started_at),
        "completed_at": said(completion.completed_at),
        "tz": completion.tz,
    }
    if completion.sent_at is not None:
        fields["sent_at"] = said(completion.sent_at)
    if completion.device_id is not None:
        fields["device_id"] = completion.device_id
    if completion.app_version is not None:
        fields["app_version"] = completion.app_version
    if completion.context:
        fields["context"] = completion.context
    return fields


def json_completion(
    completion: PracticeCompleted, place: str | None = None, spelling: Spelling = "full"
) -> bytes:
    """Return a completion as JSON."""
    return msgspec.json.encode(completion_fields(completion, place, spelling))


def json_command(command: Command) -> bytes:
    """Return a command as JSON; absent fields are left out."""
    fields: dict[str, Any] = {
        name: value for name, value in msgspec.structs.asdict(command).items() if value is not None
    }
    if command.local_date is not None:
        fields["local_date"] = (EPOCH_DATE + timedelta(days=command.local_date)).isoformat()
    if command.payload_append_time is not None:
        fields["payload_append_time"] = rfc3339(command.payload_append_time)
    return msgspec.json.encode(fields)


def plain_completion(user_id: str, completion_id: str, end_ms: int, **fields: Any) -> bytes:
    """Return the JSON of a completion of twenty minutes.

    Args:
        end_ms: when it ended, in ms since the epoch.
        fields: replace fields or add some; any value that Python's JSON can write.
    """
    completion = PracticeCompleted(
        completion_id=completion_id,
        user_id=user_id,
        session_id=f"session of {completion_id}",
        practice="breath",
        started_at=end_ms - 1_200_000,
        completed_at=end_ms,
        tz="Europe/Berlin",
    )
    return json.dumps(completion_fields(completion, "UTC") | fields).encode()
