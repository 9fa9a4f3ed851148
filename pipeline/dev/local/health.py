"""Whether the servers really answer.

Owns: one probe a server, each a request of the kind that clients make.
Does not own: how long to go on asking (stack.py).
Invariant: a probe never hangs longer than its timeout, and never asks another host.
"""

import contextlib
import http.client
import json
import socket

from pipeline.dev.local.ports import LOOPBACK
from pipeline.dev.local.servers import REGISTRY_API_PATH

PROBE_TIMEOUT_S = 2.0


def kafka_cluster(port: int) -> str | None:
    """Which Kafka cluster serves metadata on a loopback port.

    Args:
        port: Kafka's.

    Returns:
        Its cluster id, as an admin client was told by the broker that listens there, or None when
        none answers.
    """
    if not _listens(port):  # spares the log a client's complaints
        return None
    from confluent_kafka import KafkaException  # noqa: PLC0415 - slow to import
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    client = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0})
    try:
        metadata = client.list_topics(timeout=PROBE_TIMEOUT_S)
    except KafkaException:
        return None
    known = any(broker.port == port for broker in metadata.brokers.values())
    return str(metadata.cluster_id) if known else None


def registry_answers(port: int) -> bool:
    """Whether a registry that can read its storage listens on a loopback port.

    Args:
        port: the registry's.

    Returns:
        True when it lists its subjects.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PROBE_TIMEOUT_S)
    with contextlib.closing(connection):
        try:
            connection.request("GET", f"{REGISTRY_API_PATH}/subjects")
            response = connection.getresponse()
            subjects = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
    return response.status == http.client.OK and isinstance(subjects, list)


def _listens(port: int) -> bool:
    """Whether anything accepts connections on a loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True
