"""How the made-up clients put records into bytes.

Owns: JSON as a client would write it; the choice between JSON and Avro.
Does not own: the Avro encoder, which is given.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from pipeline.core.records import Command, PracticeCompleted

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DATE: Final = date(1970, 1, 1)


class Wire(msgspec.Struct, frozen=True):
    """What the generator must be given to write what real clients write.

    Attributes:
        avro_completion, avro_command: a record as framed Avro.
        partition_of: the partition (0 and up) that a key belongs to.
        partitions: of each input topic.
        key_id: id of a Field Key, from user id, lap, slug and index.
    """

    avro_completion: Callable[[PracticeCompleted], bytes]
    avro_command: Callable[[Command], bytes]
    partition_of: Callable[[bytes], int]
    partitions: int
    key_id: Callable[[str, int, str, int], str]


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def rfc3339(instant_ms: int, tz: str | None = None) -> str:
    """Return `instant_ms` as text, with the offset of `tz`; as UTC without it."""
    instant = EPOCH + timedelta(milliseconds=instant_ms)
    if tz is None:
        return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return instant.astimezone(_zone(tz)).isoformat(timespec="milliseconds")


def completion_fields(completion: PracticeCompleted, *, local: bool) -> dict[str, Any]:
    """Return the JSON fields of a completion, instants in local time if `local`."""
    tz = completion.tz if local else None
    fields: dict[str, Any] = {
        "completion_id": completion.completion_id,
        "user_id": completion.user_id,
        "session_id": completion.session_id,
        "practice": completion.practice,
        "started_at": rfc3339(completion.started_at, tz),
        "completed_at": rfc3339(completion.completed_at, tz),
        "tz": completion.tz,
    }
    if completion.sent_at is not None:
        fields["sent_at"] = rfc3339(completion.sent_at, tz)
    if completion.device_id is not None:
        fields["device_id"] = completion.device_id
    if completion.app_version is not None:
        fields["app_version"] = completion.app_version
    if completion.context:
        fields["context"] = completion.context
    return fields


def json_completion(completion: PracticeCompleted, *, local: bool = False) -> bytes:
    """Return a completion as JSON."""
    return msgspec.json.encode(completion_fields(completion, local=local))


def json_command(command: Command) -> bytes:
    """Return a command as JSON; absent fields are left out."""
    fields: dict[str, Any] = {
        name: value for name, value in msgspec.structs.asdict(command).items() if value is not None
    }
    if command.local_date is not None:
        fields["local_date"] = (EPOCH_DATE + timedelta(days=command.local_date)).isoformat()
    return msgspec.json.encode(fields)
