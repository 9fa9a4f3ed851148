"""Input values to records: Confluent-framed Avro or JSON.

Owns: which bytes are a completion or a command, and the reason when they are not.
Does not own: whether the record makes sense (core), what becomes of a refused one (engine/).
Invariant: whatever the bytes, the outcome is a record or a `DecodeError` with a reason of
`REASONS`; the work is proportional to their number. Only `RegistryUnavailableError` says something
else: that the schema could not be asked for, and that the record must be tried again.
"""

from collections.abc import Mapping
from typing import Any, Final

from pipeline.codec import input_bounds, json_inputs
from pipeline.codec.errors import DecodeError
from pipeline.codec.framed import FramedReader, WriterSchemas
from pipeline.codec.instants import INSTANT_MAX, INSTANT_MIN, LOCAL_DATE_MAX, LOCAL_DATE_MIN
from pipeline.codec.partitioner import partition_of
from pipeline.codec.schemas import Schema
from pipeline.core.enumerations import COMMAND_KINDS
from pipeline.core.records import Command, PracticeCompleted

REASONS: Final = (
    "null_value",
    "empty_value",
    "unknown_format",
    "truncated_framing",
    "unknown_schema_id",
    "schema_not_readable",
    "unresolvable_schema",
    "truncated_avro",
    "trailing_bytes",
    "malformed_avro",
    "malformed_json",
    "invalid_utf8",
    "invalid_text",
    "missing_field",
    "duplicate_field",
    "wrong_type",
    "number_out_of_range",
    "field_too_long",
    "collection_too_large",
    "invalid_instant",
    "instant_without_offset",
    "instant_out_of_range",
    "invalid_date",
    "date_out_of_range",
    "unknown_kind",
)
"""Every reason of a rejection in the stage `decode`."""

KEY_REASONS: Final = ("no_key", "key_not_utf8", "key_not_user", "wrong_partition")
"""Every reason for which `check_key` rejects."""

TEXT_CHARS_MAX: Final = input_bounds.TEXT_CHARS_MAX
_SHOWN_MAX: Final = 16


class InputDecoder:
    """Decodes the two inputs.

    Args:
        schemas: ours, by record name (`load_schemas`).
        writer_schema: finds the schema of an id (`SubjectSchemas.writer_schema`; where there is no
            hurry `SchemaResolver.writer_schema`).
        command_schema: the same for commands, where their topic has a subject of its own.

    Attributes:
        ignored_fields: of the JSON inputs taken so far, those that are none of ours.
    """

    def __init__(
        self,
        schemas: Mapping[str, Schema],
        writer_schema: WriterSchemas,
        command_schema: WriterSchemas | None = None,
    ) -> None:
        self.ignored_fields = 0
        self._completions = FramedReader(schemas["PracticeCompleted"], writer_schema)
        self._commands = FramedReader(schemas["Command"], command_schema or writer_schema)

    def decode_completion(self, value: bytes | None) -> PracticeCompleted:
        """Decode one value of the topic of completions.

        Raises:
            DecodeError: it is not a completion.
            RegistryUnavailableError: its schema could not be asked for; try again.
        """
        if value and json_inputs.is_json(value):
            return json_inputs.completion(value, self._count_ignored)
        row, schema_id = self._completions.read(value)
        _bound_texts(row, _COMPLETION_TEXTS, TEXT_CHARS_MAX, schema_id)
        for n, name in _COMPLETION_INSTANTS:
            _bound_instant(row[n], name, schema_id)
        for n, _ in _COMPLETION_LABELS:
            row[n] = row[n] and row[n][:TEXT_CHARS_MAX]
        row[-1] = input_bounds.bounded(row[-1])
        return PracticeCompleted(*row)

    def decode_command(self, value: bytes | None) -> Command:
        """Decode one value of the topic of commands.

        Raises:
            DecodeError: it is not a command.
            RegistryUnavailableError: its schema could not be asked for; try again.
        """
        if value and json_inputs.is_json(value):
            return json_inputs.command(value, self._count_ignored)
        row, schema_id = self._commands.read(value)
        _bound_texts(row, _COMMAND_TEXTS, TEXT_CHARS_MAX, schema_id)
        _bound_texts(row, _COMMAND_LONG_TEXTS, input_bounds.REASON_CHARS_MAX, schema_id)
        command = Command(*row)
        _bound_instant(command.payload_append_time, "payload_append_time", schema_id)
        local_date = command.local_date
        if local_date is not None and not LOCAL_DATE_MIN <= local_date <= LOCAL_DATE_MAX:
            raise DecodeError(
                "date_out_of_range",
                f"local_date is {local_date} days from 1970-01-01; send a date of years 2 to 9998",
                schema_id,
            )
        if command.kind not in COMMAND_KINDS:
            raise input_bounds.unknown_kind(command.kind, schema_id)
        return command

    def _count_ignored(self, fields: int) -> None:
        self.ignored_fields += fields


def _indexes(record: type[PracticeCompleted | Command], *names: str) -> list[tuple[int, str]]:
    return [(record.__struct_fields__.index(name), name) for name in names]


_COMPLETION_TEXTS: Final = _indexes(PracticeCompleted, *input_bounds.COMPLETION_TEXTS)
_COMPLETION_LABELS: Final = _indexes(PracticeCompleted, *input_bounds.COMPLETION_LABELS)
_COMPLETION_INSTANTS: Final = _indexes(PracticeCompleted, "started_at", "completed_at", "sent_at")
_COMMAND_TEXTS: Final = _indexes(Command, *input_bounds.COMMAND_TEXTS)
_COMMAND_LONG_TEXTS: Final = _indexes(Command, *input_bounds.COMMAND_LONG_TEXTS)


def _bound_texts(
    row: list[Any], indexes: list[tuple[int, str]], chars_max: int, schema_id: int
) -> None:
    for n, name in indexes:
        text = row[n]
        if text is not None and len(text) > chars_max:
            raise input_bounds.too_long(name, len(text), chars_max, schema_id)


def _bound_instant(instant: int | None, name: str, schema_id: int) -> None:
    if instant is not None and not INSTANT_MIN <= instant <= INSTANT_MAX:
        raise DecodeError(
            "instant_out_of_range",
            f"{name} is {instant} ms from 1970; send milliseconds (not seconds, not microseconds)"
            " within the years 2 to 9998",
            schema_id,
        )


def names_no_user(event: PracticeCompleted | Command) -> bool:
    """Tell whether an input is about nobody, so that it may have any key and be in any partition:
    an operation with an empty user id."""
    return isinstance(event, Command) and event.kind == "operation" and not event.user_id


def check_key(key: bytes | None, user_id: str, partition: int, partitions: int) -> None:
    """Check that a record has its user's key and is in the key's partition.

    Args:
        key: of the record.
        user_id: in its value.
        partition: where it was read, 0 to partitions − 1.
        partitions: of its topic, 1 and up.

    Raises:
        DecodeError: of stage `transport`, with a reason of `KEY_REASONS`.
    """
    if key != user_id.encode():
        raise _key_error(key, user_id)
    home = partition_of(key, partitions)
    # guard (False): a record in the wrong partition is a dead letter
    if home != partition:
        raise _transport_error(
            "wrong_partition",
            f"key {user_id[:64]!r} belongs to partition {home} of {partitions} and was sent to"
            f" {partition}; set `partitioner=murmur2_random` in librdkafka clients, or leave the"
            " default partitioner of Java clients",
        )


def _key_error(key: bytes | None, user_id: str) -> DecodeError:
    if not key:
        return _transport_error("no_key", "the record has no key; send the user id as its key")
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return _transport_error(
            "key_not_utf8",
            f"the key begins with {key[:_SHOWN_MAX].hex(' ')}, which is not UTF-8; send the user id"
            " in UTF-8, without framing",
        )
    return _transport_error(
        "key_not_user",
        f"the key is {text[:64]!r} and the value's user_id {user_id[:64]!r}; send the user id as"
        " the key",
    )


def _transport_error(reason: str, detail: str) -> DecodeError:
    error = DecodeError(reason, detail)
    error.stage = "transport"
    return error
