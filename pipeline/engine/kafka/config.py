"""How the engine's Kafka clients connect, and what a failed request means.

Owns: the settings that all of them share. Does not own: each client's own settings (producer.py,
consumers.py); what is known about librdkafka as such (pipeline/kafka/__init__.py).
Invariant: `transaction_timeout_ms` is below `session_timeout_ms`, so that the transaction that a
dead worker left open is aborted before its partitions move.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaException

from pipeline.engine.errors import BrokerError

logger = logging.getLogger("pipeline.engine.kafka.cluster")

REQUEST_TIMEOUT_S: Final = 15.0
"""Max seconds to wait for the answer to one request."""


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """How the engine's clients connect.

    Attributes:
        client: librdkafka settings of every client: addresses, security.
        group_id: `group.id` of the worker group.
        slot_id: this slot's `group.instance.id` and `transactional.id`.
        session_timeout_ms: max milliseconds without a heartbeat before the group drops a member.
        transaction_timeout_ms: max milliseconds that a transaction may be open.
        poll_interval_ms_max: max milliseconds between two polls of a member.
        poll_linger_s: seconds for which a poll gathers more records after the first.
        consumer, producer: more librdkafka settings, of the group consumer and of the producer.
    """

    client: Mapping[str, Any]
    group_id: str
    slot_id: str
    session_timeout_ms: int = 10_000
    transaction_timeout_ms: int = 5_000
    poll_interval_ms_max: int = 300_000
    poll_linger_s: float = 0.005
    consumer: Mapping[str, Any] = field(default_factory=dict)
    producer: Mapping[str, Any] = field(default_factory=dict)


def broker_error(doing: str, error: KafkaException) -> BrokerError:
    """The engine's error for a request that failed while `doing` something."""
    return BrokerError(f"{doing} failed", why=error.args[0].str())
