"""A flood of records with unknown schema ids costs those beside it no more than as many good ones.

Delays are from an input's append to the moment at which another consumer has its audit entry.
"""

import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import confluent_kafka as ck
import pytest
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from pipeline.clock import now_ms
from pipeline.codec.avro import AvroEncoder
from pipeline.codec.partitioner import partition_of
from pipeline.codec.schemas import load_schemas
from pipeline.core.records import PracticeCompleted
from pipeline.dev.workload.people import DAY_MS, MINUTE_MS
from pipeline.dev.workload.wire import plain_completion
from tests.integration.ledger import ROOT, Ledger

FLOOD = 5_000
EVERY_S = 0.2
FLOODED = 0
FIRST_UNKNOWN = 1_000_000


class Neighbours:
    """Users who complete a practice every now and then, and when their audit entries came."""

    def __init__(self, ledger: Ledger, users: dict[int, str]) -> None:
        self.ledger = ledger
        self.users = users
        self.arrived: dict[tuple[int, int], int] = {}
        self.appended: dict[tuple[int, int], int] = {}
        self.sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        decode = AvroDeserializer(self.ledger.registry)
        context = SerializationContext(self.ledger.topic("audit"), MessageField.VALUE)
        consumer = ck.Consumer(
            {
                "bootstrap.servers": self.ledger.bootstrap,
                "group.id": f"{self.ledger.prefix}neighbours",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe([self.ledger.topic("audit")])
        names = {name.encode() for name in self.users.values()}
        while not self._stop.is_set():
            record = consumer.poll(0.1)
            if record is None or record.error() or record.key() not in names:
                continue
            came = now_ms()
            entry: Any = decode(record.value(), context)
            coordinates = entry["cause"]["partition"], entry["cause"]["offset"]
            self.arrived[coordinates] = came
            self.appended[coordinates] = int(entry["append_time"].timestamp() * 1000)
        consumer.close()

    def __enter__(self) -> "Neighbours":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def send(self) -> None:
        """One completion of each, and wait a little."""
        for user in self.users.values():
            end_ms = now_ms() - self.sent % 11 * DAY_MS - self.sent // 11 % 600 * MINUTE_MS
            value = plain_completion(user, f"{user}-{self.sent}", end_ms)
            self.ledger.send("completions", user.encode(), value)
        self.ledger.flush()
        self.sent += 1
        time.sleep(EVERY_S)

    def delays_s(self, partition: int) -> list[float]:
        """Of those of a partition, least first."""
        return sorted(
            (came - self.appended[coordinates]) / 1000
            for coordinates, came in self.arrived.items()
            if coordinates[0] == partition
        )


def users_of(partition: int, ledger: Ledger, count: int) -> list[str]:
    names = (f"user-{number}" for number in range(count * ledger.partitions * 2))
    found = [n for n in names if partition_of(n.encode(), ledger.partitions) == partition]
    return found[:count]


def flooded(ledger: Ledger, value_of: Callable[[str, int], bytes]) -> dict[int, list[float]]:
    """The neighbours' delays, by partition, while `FLOOD` records come into one of them."""
    crowd = users_of(FLOODED, ledger, 201)
    beside = {FLOODED: crowd.pop(), 1: users_of(1, ledger, 1)[0]}
    with Neighbours(ledger, beside) as neighbours:
        for _ in range(15):  # the worker has started, and is warm
            neighbours.send()
        ledger.wait_for(lambda: len(neighbours.arrived) == 2 * neighbours.sent)
        neighbours.arrived.clear()
        before = neighbours.sent
        for n in range(FLOOD):
            user = crowd[n % len(crowd)]
            ledger.send("completions", user.encode(), value_of(user, n), partition=FLOODED)
        for _ in range(10):
            neighbours.send()
        ledger.drain()
        for _ in range(5):
            neighbours.send()
        ledger.wait_for(lambda: len(neighbours.arrived) == 2 * (neighbours.sent - before))
        return {partition: neighbours.delays_s(partition) for partition in beside}


@pytest.mark.verify
@pytest.mark.alone
def test_unknown_ids_delay_nobody_more_than_good_records(ledger: Ledger) -> None:
    schema = load_schemas(ROOT / "schemas")["PracticeCompleted"]
    known = AvroEncoder(
        schema,
        ledger.registry.register_schema(
            f"{ledger.topic('completions')}-value", RegistrySchema(schema.text, "AVRO")
        ),
    )

    def good(user: str, n: int) -> bytes:
        end = now_ms() - n % 11 * DAY_MS - n % 600 * MINUTE_MS
        record = PracticeCompleted(
            f"g{n}", user, f"s{n}", "breath", end - 20 * MINUTE_MS, end, "Europe/Berlin"
        )
        return known.encode(record)

    def unknown(user: str, n: int) -> bytes:
        return b"\0" + struct.pack(">i", FIRST_UNKNOWN + n) + good(user, n)[5:]

    with ledger.worker():
        as_good = flooded(ledger, good)
        as_unknown = flooded(ledger, unknown)
    for name, delays in (("good", as_good), ("unknown", as_unknown)):
        for partition, found in delays.items():
            print(
                f"{name} beside partition {partition}: median {found[len(found) // 2]:.2f} s,"
                f" most {found[-1]:.2f} s of {len(found)}"
            )
    letters = [one for one in ledger.read("deadletters") if one.partition == FLOODED]
    assert len(letters) == FLOOD
    assert {one.value["reason"] for one in letters} == {"unknown_schema_id"}
    for partition, found in as_unknown.items():
        assert found[-1] <= 1.5 * as_good[partition][-1] + 0.5, partition
