"""What it means that Kafka does not answer, or refuses.

Owns: the errors of this room, and which of librdkafka's errors is which of them.
Does not own: the engine's reading of the same errors (pipeline/engine).
Invariant: no answer of a broker leaves this room as a KafkaException; a client that cannot be made,
for a setting that librdkafka refuses, does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from pipeline.errors import AwawayError, Scalar

_AWAY: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TRANSPORT,
    }
)
_TIMED_OUT_FIX: Final = (
    "check AWAWAY_BOOTSTRAP_SERVERS; if the brokers answer others, they are busy, or a transaction "
    "is open that nobody ended (`kafka-transactions.sh find-hanging`)"
)
_GONE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})


class UnreadableLogError(AwawayError):
    """A topic cannot be read, or not to its end, or its brokers do not say what it has.

    Attributes:
        code: librdkafka's, where it gave one.

    Operator action: is the broker up, and is there a transaction that nobody ended
    (`kafka-transactions.sh find-hanging`)?
    """

    def __init__(
        self, what: str, *, why: str = "", fix: str = "", code: int | None = None, **fields: Scalar
    ) -> None:
        super().__init__(what, why=why, fix=fix, **fields)
        self.code = code


class OffsetGoneError(UnreadableLogError):
    """A partition does not have the offset to read on from: no longer, or not yet.

    Operator action: where it happens again and again, find out who deletes the topic's records.
    """


def unreadable(doing: str, error: Any) -> UnreadableLogError:
    """Translate an error of librdkafka.

    Args:
        doing: what failed, as a sentence without its full stop.
        error: a KafkaException, the KafkaError of an event, or the TimeoutError of an answer.
    """
    cause = error.args[0] if isinstance(error, KafkaException) else error
    code = cause.code() if isinstance(cause, KafkaError) else None
    why = cause.str() if isinstance(cause, KafkaError) else str(cause)
    if code in _AWAY:
        why, fix = f"{doing}: {why}", "check AWAWAY_BOOTSTRAP_SERVERS"
        return UnreadableLogError("the brokers do not answer", why=why, fix=fix, code=code)
    if code == KafkaError._TIMED_OUT or isinstance(cause, TimeoutError):
        what, why = "the brokers do not answer in time", f"{doing}: {why}"
        return UnreadableLogError(what, why=why, fix=_TIMED_OUT_FIX, code=code)
    kind = OffsetGoneError if code in _GONE else UnreadableLogError
    return kind(doing, why=why, code=code)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn a KafkaException into an UnreadableLogError; `doing` as in `unreadable`."""
    try:
        yield
    except KafkaException as error:
        raise unreadable(doing, error) from error
