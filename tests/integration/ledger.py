"""A ledger of a test's own on the shared servers, seen only from outside.

Owns: topics and schemas under one prefix; producing inputs; worker processes; reading outputs
with a plain Avro consumer that knows only the registry.
Does not own: expectations, which the tests have.
Invariant: what is read is what any other consumer would read: read_committed, schemas by id.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry.avro import AvroDeserializer

from pipeline.codec.registry import connect
from pipeline.codec.schemas import load_schemas
from pipeline.local.stack import LocalStack
from pipeline.ops import schemas as schema_ops
from pipeline.ops import topics as topic_ops
from pipeline.ops.committed_log import CommittedLog
from pipeline.ops.topics_file import Target, load_topics

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
INPUTS = ("completions", "commands")
READY = " ready\n"
"""Ends the line of a planted worker about a partition that it processes."""

STARTING = (
    ck.KafkaError.NOT_COORDINATOR,
    ck.KafkaError.COORDINATOR_NOT_AVAILABLE,
    ck.KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    ck.KafkaError._TIMED_OUT,
    ck.KafkaError._TRANSPORT,
    ck.KafkaError.NOT_LEADER_FOR_PARTITION,
)
"""What a broker answers that has only just started, or that waits for an open transaction."""


@dataclass(frozen=True)
class Output:
    """One record of an output topic, decoded."""

    key: bytes | None
    value: dict[str, Any]
    raw: bytes
    partition: int
    offset: int
    headers: list[tuple[str, bytes | None]]


@dataclass
class Ledger:
    """Everything of one test under one prefix."""

    stack: LocalStack
    prefix: str
    folder: Path
    assets: Path
    partitions: int = 4
    simulated_time: bool = False
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ready_before: int = 0
    is_planted: bool = False

    def __post_init__(self) -> None:
        self.bootstrap = self.stack.bootstrap_servers
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})
        self.registry = connect({"url": self.stack.registry_url})

    def set_up(self) -> None:
        """Topics and schemas."""
        file = load_topics(ROOT / "topics.yaml")
        target = Target(
            prefix=self.prefix, partitions=self.partitions, simulated_time=self.simulated_time
        )
        topic_ops.apply(self.admin, file, target)
        wanted = schema_ops.expected(file, load_schemas(ROOT / "schemas"), target)
        schema_ops.register(self.registry, wanted)
        self.producer = ck.Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "message.max.bytes": 2_097_152,
            }
        )

    def topic(self, name: str) -> str:
        """Full name."""
        return f"{self.prefix}{name}"

    # --- inputs ----------------------------------------------------------------------------------

    def send(
        self,
        name: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int = -1,
        headers: list[tuple[str, str | bytes | None]] | None = None,
    ) -> None:
        """Produce one raw record; `flush` before relying on it."""
        self.producer.produce(
            self.topic(name), value, key, partition=partition, headers=headers or []
        )

    def complete(self, user_id: str, completion_id: str, at: datetime, **fields: Any) -> None:
        """Produce one JSON completion of twenty minutes that ended at `at`."""
        end_ms = int(at.timestamp() * 1000)
        record = {
            "completion_id": completion_id,
            "user_id": user_id,
            "session_id": f"session of {completion_id}",
            "practice": "breath",
            "started_at": iso(end_ms - 1_200_000),
            "completed_at": iso(end_ms),
            "tz": "Europe/Berlin",
        } | fields
        self.send("completions", user_id.encode(), json.dumps(record).encode())

    def command(self, user_id: str, request_id: str, kind: str, **fields: Any) -> None:
        """Produce one JSON command."""
        record = {"request_id": request_id, "user_id": user_id, "kind": kind, "actor": "test"}
        self.send("commands", user_id.encode(), json.dumps(record | fields).encode())

    def flush(self) -> None:
        """Return when everything produced is in the log."""
        assert self.producer.flush(30) == 0

    # --- workers ---------------------------------------------------------------------------------

    def environment(self, slot: int = 0, **settings: Any) -> dict[str, str]:
        """The environment of a worker."""
        given = {
            "BOOTSTRAP_SERVERS": self.bootstrap,
            "REGISTRY_URL": self.stack.registry_url,
            "TOPIC_PREFIX": self.prefix,
            "TOPICS_FILE": str(ROOT / "topics.yaml"),
            "POLICY_FILE": str(ROOT / "policy.yaml"),
            "SCHEMAS_DIR": str(ROOT / "schemas"),
            "ASSETS_URL": str(self.assets),
            "DATA_DIR": str(self.folder / "data"),
            "HTTP_PORT": "0",
            "SLOT": str(slot),
            "SESSION_TIMEOUT_MS": "6000",
            "DEVELOPMENT": str(self.simulated_time).lower(),
        } | settings
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AWAWAY_")}
        return clean | {f"AWAWAY_{name}": value for name, value in given.items()}

    def start_worker(
        self, slot: int = 0, plan: dict[str, Any] | None = None, **settings: Any
    ) -> subprocess.Popen[bytes]:
        """Start a worker process.

        Args:
            slot: of the worker.
            plan: what the test plants into it; see planted_worker.py. Without one it is the
                product's own command.
            settings: `AWAWAY_` variables, without the prefix.
        """
        command = [sys.executable, "-m", "pipeline.cli.main", "worker"]
        if plan is not None:
            planted = Path(__file__).with_name("planted_worker.py")
            command = [sys.executable, str(planted), json.dumps(plan)]
        log = (self.folder / f"worker-{slot}.log").open("ab")
        self.ready_before = self.log(slot).count(READY)
        self.is_planted = plan is not None
        worker = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment(slot, **settings) | {"PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
        log.close()
        self.workers.append(worker)
        return worker

    def stop_worker(self, worker: subprocess.Popen[bytes]) -> int:
        """Stop gracefully; returns the exit code."""
        worker.send_signal(signal.SIGTERM)
        return worker.wait(40)

    def kill_worker(self, worker: subprocess.Popen[bytes]) -> None:
        """kill −9."""
        worker.kill()
        worker.wait(10)

    def log(self, slot: int = 0) -> str:
        """What the slot's workers wrote so far."""
        return (self.folder / f"worker-{slot}.log").read_text(errors="replace")

    @contextlib.contextmanager
    def worker(
        self, plan: dict[str, Any] | None = None, **settings: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A worker that is stopped at the end, and must then exit with 0."""
        running = self.start_worker(plan=plan, **settings)
        yield running
        assert self.stop_worker(running) == 0, self.log()

    def drain(self, worker: subprocess.Popen[bytes] | None = None) -> None:
        """Wait until every partition was ready once and every input is committed.

        Args:
            worker: that must live while we wait; None when the test restarts it elsewhere.
        """

        def drained() -> bool:
            if worker is not None and worker.poll() is not None:
                raise AssertionError(f"the worker ended with {worker.returncode}\n{self.log()}")
            if self.is_planted and self.log().count(READY) < self.ready_before + self.partitions:
                return False
            try:
                return self.lag() == 0
            except ck.KafkaException as error:
                assert error.args[0].code() in STARTING, error
                return False

        self.wait_for(drained)

    def wait_for(self, met: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Poll until a condition holds."""
        deadline = time.monotonic() + deadline_s
        while not met():
            assert time.monotonic() < deadline, f"not within {deadline_s} s\n{self.log()[-6000:]}"
            time.sleep(0.1)

    def lag(self) -> int:
        """Inputs that are in the log and not committed by the group."""
        consumer = ck.Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": f"{self.prefix}blue"}
        )
        try:
            places = [
                ck.TopicPartition(self.topic(name), p)
                for name in INPUTS
                for p in range(self.partitions)
            ]
            lag = 0
            for place in consumer.committed(places, 10):
                low, high = consumer.get_watermark_offsets(place, 10)
                lag += high - max(low, place.offset)
            return lag
        finally:
            consumer.close()

    # --- outputs ---------------------------------------------------------------------------------

    def read(self, name: str, *, decode: bool = True) -> list[Output]:
        """Everything committed in a topic, by partition and offset."""
        decoder = AvroDeserializer(self.registry)
        found = []
        for record in self.raw(name):
            topic, value = record.topic(), record.value()
            assert topic is not None
            context = ck.serialization.SerializationContext(
                topic, ck.serialization.MessageField.VALUE
            )
            decoded = decoder(value, context) if decode and value is not None else {}
            found.append(
                Output(
                    record.key(),
                    decoded,
                    value or b"",
                    record.partition() or 0,
                    record.offset() or 0,
                    list(record.headers() or []),
                )
            )
        return sorted(found, key=lambda output: (output.partition, output.offset))

    def raw(self, name: str) -> Sequence[Any]:
        """The committed records of a topic, as they are."""
        with CommittedLog(self.bootstrap, [self.topic(name)]) as log:
            return list(log.rest(DEADLINE_S))

    def input_offsets(self) -> list[tuple[str, int, int]]:
        """(topic, partition, offset) of every input there is."""
        return sorted(
            (record.topic(), record.partition(), record.offset())
            for name in INPUTS
            for record in self.raw(name)
        )

    def audited_offsets(self) -> list[tuple[str, int, int]]:
        """(topic, partition, offset) of the input of every audit entry, repeats included."""
        causes = (entry.value["cause"] for entry in self.read("audit"))
        return sorted((c["topic"], c["partition"], c["offset"]) for c in causes)

    def progress(self) -> dict[str, dict[str, Any]]:
        """The last progress of each user."""
        return {output.value["user_id"]: output.value for output in self.read("progress")}

    def close(self) -> None:
        """End every worker that still runs."""
        for worker in self.workers:
            if worker.poll() is None:
                self.kill_worker(worker)


def iso(instant_ms: int) -> str:
    """RFC 3339 with an offset."""
    return datetime.fromtimestamp(instant_ms / 1000, UTC).isoformat(timespec="milliseconds")
