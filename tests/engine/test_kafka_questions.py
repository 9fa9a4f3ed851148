"""The engine's questions to a real broker, from a process of their own: a client can end it."""

import subprocess
import sys
from typing import Final

from pipeline.dev.local.stack import LocalStack
from tests.contract.sides import RealSide

ROUNDS: Final = 5

SCRIPT: Final = f"""
import sys
import time

from confluent_kafka import KafkaError, KafkaException

from pipeline.engine.kafka.cluster import KafkaCluster
from pipeline.engine.kafka.config import KafkaConfig

bootstrap, topic = sys.argv[1:]
cluster = KafkaCluster(KafkaConfig({{"bootstrap.servers": bootstrap}}, "group", "slot"))
for _ in range({ROUNDS}):
    known = cluster.topic_ids([topic])
    cluster.topic_ids_soon([topic])
    cluster._failed("another question", KafkaException(KafkaError(KafkaError._TRANSPORT)))
    deadline = time.monotonic() + 20
    while (found := cluster.topic_ids_soon([topic])) is None:
        assert time.monotonic() < deadline, "the answer never came"
        time.sleep(0.001)
    assert found == known and known[topic], found
cluster.topic_ids([topic])
"""


def test_a_client_that_is_left_answers_what_it_was_asked(
    stack: LocalStack, topic_prefix: str
) -> None:
    topic = RealSide(stack, topic_prefix).topic("asked")
    asked = subprocess.run(
        [sys.executable, "-c", SCRIPT, stack.bootstrap_servers, topic],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr[-2_000:]
