"""What Kafka and the registry are told.

Owns: command lines, settings and heap sizes of the two servers, and their health checks' addresses.
Does not own: where their files come from (artifacts.py), starting them (supervisor.py).
Invariant: everything listens on loopback only, and nothing outside the stack's folder is written.
"""

import shutil
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pipeline.dev.local.ports import LOOPBACK
from pipeline.dev.local.state import KAFKA, REGISTRY, Layout, ServerSpec

FORMAT = "format"
REGISTRY_API_PATH = "/apis/ccompat/v7"

_KAFKA_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller}
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}{proxied}
advertised.listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=33554432
log.segment.bytes=268435456
"""

_JVM = ("-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData", "-Djava.awt.headless=true")
_QUICK_JVM = (*_JVM, "-XX:TieredStopAtLevel=1")
_KAFKA_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


class Ports(msgspec.Struct, frozen=True):
    """The four loopback ports of a stack."""

    kafka: int
    controller: int
    registry: int
    management: int


class ProxiedPorts(msgspec.Struct, frozen=True):
    """One more way to Kafka, through a proxy of the caller's: both on loopback.

    `behind` is where Kafka listens for the proxy; `advertised`, where the proxy listens, is what
    clients that came that way are told.
    """

    behind: int
    advertised: int


class Files(msgspec.Struct, frozen=True):
    """What the servers are run from: the Java launcher, Kafka's jars, the unpacked registry.

    `jvm_flags` are more flags for a server, by its name, and for Kafka's `FORMAT`.
    """

    java: Path
    kafka_jars: tuple[Path, ...]
    registry_home: Path
    jvm_flags: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


def specs(
    layout: Layout,
    files: Files,
    ports: Ports,
    cluster_id: str,
    proxied: ProxiedPorts | None = None,
) -> tuple[ServerSpec, ...]:
    """Write the servers' settings and say how to run them.

    Args:
        layout: the stack's folder, which exists.
        files: what to run.
        ports: free ones, all different.
        cluster_id: Kafka's, as `new_cluster_id` makes them; used on the very first start only.
        proxied: one more listener of Kafka, if any.

    Returns:
        The registry first, as Kafka may have to be formatted while the registry starts.
    """
    return (_registry(layout, files, ports), _kafka(layout, files, ports, cluster_id, proxied))


def new_cluster_id() -> str:
    """A fresh cluster id: 16 random bytes in URL-safe base 64 without padding.

    Never one that begins with a hyphen: the format tool would take it for an option.
    """
    while True:
        made = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made


def _kafka(
    layout: Layout, files: Files, ports: Ports, cluster_id: str, proxied: ProxiedPorts | None
) -> ServerSpec:
    """Kafka as one KRaft node, formatted before its first start."""
    data = layout.data / KAFKA
    settings = layout.root / "kafka.properties"
    settings.write_text(
        _KAFKA_SETTINGS.format(
            host=LOOPBACK,
            broker=ports.kafka,
            controller=ports.controller,
            data=data,
            proxied=f",PROXIED://{LOOPBACK}:{proxied.behind}" if proxied else "",
            advertised=f",PROXIED://{LOOPBACK}:{proxied.advertised}" if proxied else "",
        )
    )
    class_path = ":".join(str(jar) for jar in files.kafka_jars)
    tail = (*_KAFKA_LOGGING, "-cp", class_path)
    flags = files.jvm_flags.get(KAFKA, ())
    return ServerSpec(
        name=KAFKA,
        argv=(
            *(str(files.java), "-Xms256m", "-Xmx512m", *_JVM, *flags, *tail),
            *("kafka.Kafka", str(settings)),
        ),
        port=ports.kafka,
        log=str(layout.log(KAFKA)),
        cwd=str(layout.root),
        setup=(
            *(str(files.java), "-Xmx64m", *_QUICK_JVM, *files.jvm_flags.get(FORMAT, ()), *tail),
            *("kafka.tools.StorageTool", "format", "--standalone", "--ignore-formatted"),
            *("-t", cluster_id, "-c", str(settings)),
        ),
        setup_unless=str(data / "meta.properties"),  # what a format writes last
    )


def _registry(layout: Layout, files: Files, ports: Ports) -> ServerSpec:
    """The registry, keeping its schemas in a file database: their ids outlive a restart."""
    database = layout.data / REGISTRY / "registry"
    temporary = layout.root / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)  # what a killed registry left
    for folder in (database.parent, temporary):
        folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "quarkus.http.host": LOOPBACK,
        "quarkus.http.port": ports.registry,
        "quarkus.management.host": LOOPBACK,
        "quarkus.management.port": ports.management,
        "quarkus.log.level": "WARN",
        "quarkus.banner.enabled": "false",
        "apicurio.storage.kind": "sql",
        "apicurio.storage.sql.kind": "h2",
        "apicurio.datasource.url": f"jdbc:h2:file:{database}",
        "apicurio.datasource.username": "sa",
        "apicurio.datasource.password": "sa",
        "java.io.tmpdir": temporary,
    }
    return ServerSpec(
        name=REGISTRY,
        argv=(
            *(str(files.java), "-Xmx400m", *_QUICK_JVM, *files.jvm_flags.get(REGISTRY, ())),
            *(f"-D{key}={value}" for key, value in settings.items()),
            *("-jar", str(files.registry_home / "quarkus-run.jar")),
        ),
        port=ports.registry,
        log=str(layout.log(REGISTRY)),
        cwd=str(layout.root),
    )
