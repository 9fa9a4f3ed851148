"""How the engine's Kafka clients connect, and what a failed request means.

Owns: the settings that they share. Does not own: each client's own (producer.py,
consumers.py).
Invariant: `transaction_timeout_ms` is below `session_timeout_ms`, so that what a dead worker left
open is settled before its partitions move.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaException

from pipeline.engine.errors import BrokerError

logger = logging.getLogger("pipeline.engine.kafka.cluster")

REQUEST_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """How the engine's clients connect.

    Attributes:
        client: librdkafka settings for every client: addresses, security.
        group_id: the worker group's.
        slot_id: this slot's `group.instance.id` and `transactional.id`.
        session_timeout_ms, transaction_timeout_ms: the second below the first.
        poll_interval_ms_max: after this long without a poll the group moves on.
        poll_linger_s: how long a poll gathers more records after the first.
        consumer, producer: settings of just these clients.
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
    """A request that failed, as the engine's error."""
    return BrokerError(f"{doing} failed", why=error.args[0].str())
