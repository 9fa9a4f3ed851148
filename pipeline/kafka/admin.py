"""What the brokers say of topics: their ids and how many partitions they have.

Owns: the admin client, how long it is kept, when it is replaced.
Does not own: offsets, which a reader asks for (reader.py); changing topics (ops/topics/admin.py).
Invariants: it changes nothing. A client is kept until all that it was asked has an answer, and a
broker is reached before each question (the room's docstring says why). After a failure a new client
asks.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

import confluent_kafka as ck
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.kafka.errors import unreadable

ANSWER_GRACE_S: Final = 2.0
"""Seconds beyond the time of a request by which librdkafka says that there was no answer."""

LONGEST_S: Final = 3_600.0
"""librdkafka's greatest time-out, for the question about a group: see the room's docstring."""

OFFSETS_TOPIC: Final = "__consumer_offsets"
"""A topic that each cluster with consumers has. To ask for one of ours would make it where brokers
make topics that are asked for (`auto.create.topics.enable`)."""

_keeping: Final = threading.Lock()
_kept: Final[list[tuple[AdminClient, Sequence["Future[Any]"]]]] = []
"""Clients that nobody asks any more, with what they have not answered yet; for all threads."""


def keep(client: AdminClient, asked: Sequence["Future[Any]"]) -> None:
    """Keep a client that nobody asks any more until all that it was asked has an answer."""
    with _keeping:
        left = [*_kept, (client, asked)]
        _kept[:] = [one for one in left if not all(answer.done() for answer in one[1])]


class Topic(NamedTuple):
    """A topic as it is now. `topic_id`: its UUID; one that was made again has another."""

    topic_id: str
    partitions: int


class Admin:
    """Asks about topics; for one thread.

    Args:
        settings: librdkafka's, which reach the cluster.
        timeout_s: seconds that a question may take.
        logger: of the client; without one it writes to stderr, as `log_level` says.
    """

    def __init__(
        self, settings: Mapping[str, Any], timeout_s: float, logger: logging.Logger | None = None
    ) -> None:
        self._settings = dict(settings)
        self._timeout_s = timeout_s
        self._logger = {"logger": logger} if logger else {}
        self._client: AdminClient | None = None

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        """What each topic is now.

        Raises:
            UnreadableLogError: the brokers do not say it of one.
        """
        client = self._client = self._client or AdminClient(self._settings, **self._logger)
        asked: dict[str, Future[Any]] = {}
        try:
            client.list_topics(OFFSETS_TOPIC, timeout=self._timeout_s)
            asked = client.describe_topics(
                ck.TopicCollection(list(names)), request_timeout=self._timeout_s
            )
            found = {n: one.result(self._timeout_s + ANSWER_GRACE_S) for n, one in asked.items()}
        except (KafkaException, TimeoutError) as error:
            self._client = None
            keep(client, tuple(asked.values()))
            raise unreadable(f"{', '.join(names)} cannot be described", error) from error
        return {name: Topic(str(one.topic_id), len(one.partitions)) for name, one in found.items()}
