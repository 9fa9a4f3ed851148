"""The members of the worker group, on a real Kafka.

Owns: the admin client that asks for them, and the thread on which it does.
Does not own: what follows from the answer (consumers.py, recovery/standby.py); why an admin client
needs this care (pipeline/kafka/__init__.py).
Invariants: a broker is reached before each request; only the thread uses the client; a client is
held until its request has an answer, which is long after nobody waits for it any more.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, cast

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.engine.errors import BrokerError
from pipeline.engine.kafka.config import REQUEST_TIMEOUT_S, KafkaConfig, broker_error, logger
from pipeline.engine.kafka.unanswered import hold

OFFSETS_TOPIC: Final = "__consumer_offsets"
"""A topic that every cluster with consumer groups has; asking for it reaches a broker.

pipeline/kafka/admin.py has this constant, too: the engine imports nothing of that room (ADR 0026).
"""

ATTEMPTS_MAX: Final = 3
"""Max attempts for one answer, which share `REQUEST_TIMEOUT_S`; each but the first has a new
client, as one that lived through a broker's restart may no longer find the group's coordinator."""


NEVER_S: Final = 3_600.0
"""librdkafka's greatest time-out of a request. One that passes while the coordinator is being
looked for ends the process once it is found (`rd_kafka_enq_once_del_source_return`)."""


class KafkaGroup:
    """Lists the members of the worker group."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._admin: AdminClient | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="group members")
        self._under_way: Future[Sequence[Any]] | None = None

    def members(self) -> Sequence[Any]:
        """Return the members.

        Raises:
            BrokerError: no attempt was answered.
        """
        return self._thread.submit(self._ask).result()

    def members_soon(self) -> Sequence[Any] | None:
        """Return the members; None while the answer is under way.

        Raises:
            BrokerError: no attempt was answered.
        """
        asked = self._under_way = self._under_way or self._thread.submit(self._ask)
        if not asked.done():
            return None
        self._under_way = None
        return asked.result()

    def _ask(self) -> Sequence[Any]:
        for _ in range(ATTEMPTS_MAX - 1):
            with suppress(BrokerError):
                return self._ask_once()
        return self._ask_once()

    def _ask_once(self) -> Sequence[Any]:
        admin = self._admin = self._admin or AdminClient(dict(self._config.client), logger=logger)
        timeout_s = REQUEST_TIMEOUT_S / ATTEMPTS_MAX / 2
        group_id = self._config.group_id
        try:
            admin.list_topics(OFFSETS_TOPIC, timeout=timeout_s)
            asked = admin.describe_consumer_groups([group_id], request_timeout=NEVER_S)[group_id]
            hold(admin, [asked])
            return cast(Sequence[Any], asked.result(timeout_s).members)
        except TimeoutError:
            self._admin = None
            raise BrokerError(f"no answer about the group within {timeout_s:.1f} s") from None
        except KafkaException as error:
            self._admin = None
            raise broker_error("listing the group's members", error) from error
