"""The errors of the codec.

Owns: the codec's errors. Does not own: what becomes of a record that has one (engine/).
Invariant: a `DecodeError` is about one record and costs only that record; every other error here is
about the program's own schemas or the registry, and stops the worker or makes it wait.
"""

from pipeline.core.enumerations import Stage
from pipeline.errors import AwawayError

DETAIL_CHARS_MAX = 600
"""Max characters of a decode error's `detail`, which is put into a record and shown."""


def readable(text: str) -> str:
    """Return a text that can be written to a record: bounded, and without what UTF-8 cannot hold.

    Args:
        text: of any origin and length, such as a traceback.

    Returns:
        At most `DETAIL_CHARS_MAX` characters; the end is marked where it was cut.
    """
    whole = text[: DETAIL_CHARS_MAX + 1].encode("utf-8", "backslashreplace").decode()
    return whole if len(whole) <= DETAIL_CHARS_MAX else whole[: DETAIL_CHARS_MAX - 1] + "…"


class CodecError(AwawayError):
    """Base of the codec's errors.

    **Operator action**: see the subclass.
    """


class SchemaFileError(CodecError):
    """A schema file is missing, is not Avro, or uses a type that the encoder does not know.

    **Operator action**: mend the file that the message names; `awaway schemas check` tells when it
    is right.
    """


class EncodeError(CodecError):
    """A value does not fit its schema: a fault of this program, never of an input.

    **Operator action**: report it with the message, which names the record and the field; the event
    at hand becomes a dead letter and others go on.
    """


class DecodeError(CodecError):
    """An input that is not what its topic promises. It becomes a dead letter, untouched.

    Args:
        reason: a stable code in snake_case.
        detail: for a person, with the fix where there is one; cut at `DETAIL_CHARS_MAX`.
        schema_id: of the Confluent framing, where there was one.

    Attributes:
        stage: `decode`; `transport` where the key or the partition is wrong.

    **Operator action**: tell the producer what `detail` says; once it is mended, redrive the dead
    letter.
    """

    stage: Stage = "decode"

    def __init__(self, reason: str, detail: str, schema_id: int | None = None) -> None:
        detail = readable(detail)
        super().__init__(detail, reason=reason, schema_id=schema_id)
        self.reason = reason
        self.detail = detail
        self.schema_id = schema_id


class RegistryError(CodecError):
    """Base of the errors of the schema registry.

    **Operator action**: see the subclass.
    """


class RegistryUnavailableError(RegistryError):
    """The registry did not answer, or answered with a fault of its own. It can pass.

    **Operator action**: look at the registry; the worker tries again by itself, and no record is
    rejected meanwhile.
    """


class UnknownSchemaIdError(RegistryError):
    """The registry answered that it has no schema of this id, or that the topic's subject has none.

    **Operator action**: none here; the record that named the id becomes a dead letter.
    """


class SchemaNotReadableError(RegistryError):
    """The registry answers, and has refused for long to show a schema that a record needs.

    **Operator action**: let this pipeline's credentials read the subject that the message names;
    then redrive the dead letters of reason `schema_not_readable`.
    """


class SchemaMissingError(RegistryError):
    """The registry has no schema for a subject that this program writes or reads.

    **Operator action**: `awaway schemas register`, then start again.
    """


class SchemaDiffersError(RegistryError):
    """The registry's schema for a subject is not the one that this program was built with.

    **Operator action**: `awaway schemas plan` shows the difference. Start the release that matches
    the registry, or `awaway schemas register` this one's.
    """


class CompatibilityLevelError(RegistryError):
    """A subject's compatibility level is not the one that keeps its consumers safe.

    **Operator action**: `awaway schemas register` sets it; find out who changed it.
    """
