"""One ledger under one prefix, seen only from outside: inputs, workers, outputs.

Owns: making topics and schemas; producing inputs; starting and ending worker processes; reading
what any other consumer would read.
Does not own: which faults there are, expectations (judge.py, the tests).
Invariant: outputs are read read_committed, to the read_uncommitted end, with schemas by id.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry.avro import AvroDeserializer

from chaos.errors import OverdueError
from pipeline.codec.registry import connect
from pipeline.codec.schemas import load_schemas
from pipeline.dev.local.stack import LocalStack
from pipeline.kafka.committed_log import LOG_LEVEL, CommittedLog
from pipeline.kafka.errors import translated
from pipeline.kafka.reader import Partition, Reader
from pipeline.ops.schemas import sync as schema_ops
from pipeline.ops.topics import sync as topic_ops
from pipeline.ops.topics.file import Target, load_topics

ROOT: Final = Path(__file__).resolve().parents[1]
PLANTED: Final = Path(__file__).with_name("planted_worker.py")
DEADLINE_S: Final = 120.0
"""Of what takes seconds on a machine of its own; nobody waits for it but who fails."""
REQUEST_S: Final = 10.0
LOG_TAIL_CHARS: Final = 6_000
INPUTS: Final = ("completions", "commands")
TOPICS: Final = load_topics(ROOT / "topics.yaml")
OUTPUTS: Final = tuple(TOPICS.outputs)
CHANGELOGS: Final = ("blue.streaks-changelog", "blue.seen-changelog")
STARTING: Final = (
    ck.KafkaError.NOT_COORDINATOR,
    ck.KafkaError.COORDINATOR_NOT_AVAILABLE,
    ck.KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    ck.KafkaError._TIMED_OUT,
    ck.KafkaError._TRANSPORT,
    ck.KafkaError._ALL_BROKERS_DOWN,
    ck.KafkaError.NOT_LEADER_FOR_PARTITION,
    ck.KafkaError.FENCED_LEADER_EPOCH,
)
"""What a broker answers that has only just started, or that waits for an open transaction."""

Headers = list[tuple[str, str | bytes | None]]


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
    """Everything under one prefix.

    Attributes:
        folder: for data and logs. assets: the published catalogue's.
        launcher: words before each worker's command, such as a leash that ends it with us.
        workers: every process that was started.
    """

    stack: LocalStack
    prefix: str
    folder: Path
    assets: Path
    partitions: int = 4
    simulated_time: bool = False
    launcher: tuple[str, ...] = ()
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bootstrap = self.stack.bootstrap_servers
        self.admin = self._new_admin()
        self.registry = connect({"url": self.stack.registry_url})

    def _new_admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": LOG_LEVEL})

    def set_up(self) -> None:
        """Topics and schemas."""
        target = Target(
            prefix=self.prefix, partitions=self.partitions, simulated_time=self.simulated_time
        )
        topic_ops.apply(self.admin, TOPICS, target)
        wanted = schema_ops.expected(TOPICS, load_schemas(ROOT / "schemas"), target)
        schema_ops.register(self.registry, wanted)
        self.producer = self.new_producer()

    def new_producer(self, **settings: Any) -> ck.Producer:
        """A client that places users as the pipeline wants it, with more `settings` if given."""
        return ck.Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "message.max.bytes": 2_097_152,
                "log_level": 2,
            }
            | settings
        )

    def topic(self, name: str) -> str:
        """Full name."""
        return f"{self.prefix}{name}"

    @property
    def group(self) -> str:
        """The workers' group."""
        return f"{self.prefix}blue"

    # --- inputs ----------------------------------------------------------------------------------

    def send(
        self,
        name: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int = -1,
        headers: Headers | None = None,
    ) -> None:
        """Produce one raw record; `flush` before relying on it."""
        self.producer.produce(
            self.topic(name), value, key, partition=partition, headers=headers or []
        )

    def flush(self) -> None:
        """Return when everything produced is in the log."""
        if self.producer.flush(30):
            raise OverdueError("the inputs were not acknowledged within 30 s")

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
            "DEVELOPMENT_BROKER": "true",
        } | settings
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AWAWAY_")}
        return clean | {f"AWAWAY_{name}": value for name, value in given.items()}

    def start_worker(
        self, slot: int = 0, plan: dict[str, Any] | None = None, **settings: Any
    ) -> subprocess.Popen[bytes]:
        """Start a worker process.

        Args:
            slot: of the worker.
            plan: what is planted into it; see planted_worker.py. Without one it is the product's
                own command.
            settings: `AWAWAY_` variables, without the prefix.
        """
        command = [*self.launcher, sys.executable, "-m", "pipeline.cli.main", "worker"]
        if plan is not None:
            command = [*self.launcher, sys.executable, str(PLANTED), json.dumps(plan)]
        with self.log_file(slot).open("ab") as log:
            worker = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment(slot, **settings) | {"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
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

    def close(self) -> None:
        """End every worker that still runs."""
        for worker in self.workers:
            if worker.poll() is None:
                self.kill_worker(worker)

    def log_file(self, slot: int = 0) -> Path:
        """Where the slot's workers write."""
        return self.folder / f"worker-{slot}.log"

    def log(self, slot: int = 0) -> str:
        """What the slot's workers wrote so far."""
        path = self.log_file(slot)
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for(self, met: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Poll until a condition holds.

        Raises:
            OverdueError: it did not within `deadline_s` seconds.
        """
        deadline = time.monotonic() + deadline_s
        while not met():
            if time.monotonic() > deadline:
                raise OverdueError(f"not within {deadline_s} s", why=self.log()[-LOG_TAIL_CHARS:])
            time.sleep(0.1)

    # --- where things stand ----------------------------------------------------------------------

    def lag(self) -> int:
        """Inputs that are in the log and not committed by the group."""
        lag = 0
        ends = self.ends(INPUTS)
        for partition, next_offset in self.committed().items():
            lag += max(0, ends[partition] - next_offset)
        return lag

    def committed(self) -> dict[Partition, int]:
        """The group's offset of each input partition; 0 where there is none."""
        with self._reader("read_committed") as reader:
            committed = reader.committed(self._partitions(INPUTS))
        return {one: at or 0 for one, at in committed.items()}

    def members(self) -> int:
        """How many workers the group has."""
        with translated("the group is not known"):
            try:
                self.admin.list_topics(self.topic(INPUTS[0]), timeout=REQUEST_S)
                asked = self.admin.describe_consumer_groups([self.group], request_timeout=REQUEST_S)
                return len(asked[self.group].result().members)
            except ck.KafkaException:
                self.admin = self._new_admin()
                raise

    def ends(self, names: Sequence[str], *, stable: bool = False) -> dict[Partition, int]:
        """The end of each partition: read_uncommitted, or the last stable offset."""
        with self._reader("read_committed" if stable else "read_uncommitted") as reader:
            return reader.ends(self._partitions(names))

    def _reader(self, isolation: str) -> Reader:
        settings = {
            "bootstrap.servers": self.bootstrap,
            "log_level": LOG_LEVEL,
            "isolation.level": isolation,
        }
        return Reader(settings, self.group, timeout_s=REQUEST_S)

    def _partitions(self, names: Sequence[str]) -> list[Partition]:
        return [(self.topic(name), p) for name in names for p in range(self.partitions)]

    # --- outputs ---------------------------------------------------------------------------------

    def read(self, name: str, *, decode: bool = True) -> list[Output]:
        """Everything committed in a topic, by partition and offset."""
        decoder = AvroDeserializer(self.registry)
        context = ck.serialization.SerializationContext(
            self.topic(name), ck.serialization.MessageField.VALUE
        )
        found = []
        for record in self.raw(name):
            value = record.value()
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
