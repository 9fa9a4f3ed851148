"""The worker's wiring: the only place that knows all its parts. No batch passes through it.

Owns: which part is given to which, the order of the checks before a worker starts, how it stops.
Does not own: the parts, what a check looks at (checks.py, broker_checks.py).
Invariants: nothing is read, opened or connected at import; `app` is made from the settings in the
environment at its first use, so that `faust -A pipeline.worker.app …` needs nothing else. A worker
changes nothing outside its topics and its data folder: it creates no topic, registers no schema,
publishes no asset, and refuses to run where one of them is missing or differs.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

from faust.windows import TumblingWindow

from pipeline.codec.avro import AvroEncoder
from pipeline.codec.errors import RegistryUnavailableError
from pipeline.codec.inputs import InputDecoder
from pipeline.codec.registry import SchemaResolver, connect
from pipeline.codec.schemas import Schema, load_schemas
from pipeline.codec.writers import subjects_of
from pipeline.core.fold import World, fold_command, fold_completion
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.rulebook import PolicyBook, check_figures
from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import BrokerError
from pipeline.engine.faust.app import EngineApp, MicroBatches
from pipeline.engine.kafka.cluster import KafkaCluster
from pipeline.engine.kafka.config import KafkaConfig
from pipeline.engine.machine import Engine
from pipeline.engine.observer import EngineObserver
from pipeline.engine.state.rocks import RocksDisk
from pipeline.engine.state.table_spec import TableSpec
from pipeline.observability.metrics import BatchStats
from pipeline.ops.assets.catalogue import asset_base_url
from pipeline.ops.schemas.sync import expected
from pipeline.ops.skips import SkipTopic, by_partition
from pipeline.ops.topics.file import Target, TopicsFile, load_topics
from pipeline.settings.load import load_settings, read_policy
from pipeline.settings.worker import Settings
from pipeline.worker.agents import Agents
from pipeline.worker.broker_checks import Times, check_brokers
from pipeline.worker.checks import check_assets, check_drawing, check_topics
from pipeline.worker.outputs import Outputs, OutputTopics
from pipeline.worker.processing import Processor
from pipeline.worker.rules import FoldCommand, FoldCompletion, Rules
from pipeline.worker.window import expand, owner, records

INPUTS = ("completions", "commands")
USERS_PREFIX = b"u"
SEEN_PREFIX = b"w"
"""First byte of each table's keys in a partition's local store."""

RETRY_S = 2.0
"""Pause before brokers or registry that do not answer are asked again."""

_DAY_S = 86_400.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a caller may observe or replace.

    Attributes:
        observer: is called at the engine's steps.
        folded: is given each batch's counts, before its commit.
        checked: is given the name of each check that passed at start, and what it found.
        stopping: is called when the worker was asked to stop, before it stops.
        fold_completion, fold_command: the core's, unless a test replaces them.
    """

    observer: EngineObserver = field(default_factory=EngineObserver)
    folded: Callable[[BatchStats], None] = lambda _: None
    checked: Callable[[str, dict[str, object]], None] = lambda _, __: None
    stopping: Callable[[], None] = lambda: None
    fold_completion: FoldCompletion = fold_completion
    fold_command: FoldCommand = fold_command


def store_root(settings: Settings) -> Path:
    """The folder of the partitions' local stores: one for each topic prefix and generation."""
    return settings.data_dir / settings.group_id


def users_table(settings: Settings) -> TableSpec:
    """The table of users, as the engine has it."""
    changelog = settings.topic(f"{settings.generation}.streaks-changelog")
    return TableSpec("streaks", changelog, USERS_PREFIX)


def terms_of(policies: PolicyBook) -> str:
    """The part of the policy that cannot change within a generation, in the words of its file."""
    earliest = date(1970, 1, 1) + timedelta(policies.earliest_date)
    window_days = policies.window_ms / 1000 / _DAY_S
    return (
        f"cycle_days={policies.cycle_days}, earliest_date={earliest.isoformat()},"
        f" window_days={window_days:g}"
    )


def create_app(settings: Settings, hooks: Hooks | None = None) -> EngineApp:
    """The Faust app with its tables and agents; nothing is connected yet.

    Args:
        settings: of this worker.
        hooks: for telemetry and for tests.

    Raises:
        ConfigError, PolicyError, TopicsFileError: a file that a setting names is wrong.
    """
    hooks = hooks or Hooks()
    policies = read_policy(settings)
    wiring = _Wiring(settings, hooks, policies)
    app = EngineApp(
        settings.group_id,
        make_engine=wiring.make_engine,
        stop_s=settings.stop_timeout_s,
        datadir=str(settings.data_dir / "faust"),
    )
    users = users_table(settings)
    wiring.users = app.Table(
        users.name,
        prefix=users.prefix,
        changelog=users.changelog,
        help="Each user's sets and what is derived from them.",
    )
    window_s = policies.window_ms / 1000
    wiring.seen = app.Table(
        "seen",
        prefix=SEEN_PREFIX,
        changelog=settings.topic(f"{settings.generation}.seen-changelog"),
        expand=expand,
        records=records,
        owner=owner,
        window=TumblingWindow(window_s, expires=window_s),
        help=f"Accepted completions of the last {window_s / _DAY_S:.0f} days, to spot duplicates.",
    )
    for name, agent in zip(
        INPUTS, (wiring.agents.completions, wiring.agents.commands), strict=True
    ):
        topic = app.topic(settings.topic(name), schema=MicroBatches(), acks=False, internal=False)
        app.agent(topic, name=name)(agent)
    return app


class _Wiring:
    """Makes what needs brokers and registry, once the worker starts.

    Attributes:
        users, seen: the two tables, as Faust declared them.
        agents: are given their processor when the engine is made.
    """

    def __init__(self, settings: Settings, hooks: Hooks, policies: PolicyBook) -> None:
        self.settings = settings
        self.hooks = hooks
        self.policies = policies
        self.agents = Agents()
        self.users: Any = None
        self.seen: Any = None

    def make_engine(self) -> Engine:
        """Check everything that the worker depends on, and make processor and engine.

        Brokers and registry that do not answer are asked again for `start_timeout_s`.

        Raises:
            AwawayError: a check failed, or the time is over.
        """
        settings = self.settings
        deadline = time.monotonic() + settings.start_timeout_s
        topics = load_topics(settings.topics_file)
        cluster = KafkaCluster(_kafka_config(settings, topics))
        cluster.prepare()
        while True:
            try:
                return self._checked_engine(cluster, topics)
            except (BrokerError, RegistryUnavailableError) as error:
                if error.fields.get("http_status") == HTTPStatus.NOT_FOUND:
                    raise  # a server answers, but it is no registry at that path
                if time.monotonic() + RETRY_S > deadline:
                    if isinstance(error, BrokerError):
                        raise _unreachable(settings, error) from error
                    raise
                logger.warning("cannot start yet, trying again in %.0f s: %s", RETRY_S, error)
                time.sleep(RETRY_S)

    def _checked_engine(self, cluster: KafkaCluster, topics: TopicsFile) -> Engine:
        settings = self.settings
        schemas = load_schemas(settings.schemas_dir)
        catalogue = GoldenCatalogue(asset_base_url(settings.assets_url))
        registry = connect(settings.registry_client())
        resolver = SchemaResolver(registry)
        target = Target(prefix=settings.topic_prefix, generation=settings.generation)
        # 1. Check everything concurrently: most checks wait for a server, and the partitions of a
        # worker that restarts wait for the checks.
        with ThreadPoolExecutor() as pool:
            counted = pool.submit(self._check_topics, cluster, topics, target)
            assets = pool.submit(check_assets, settings.assets_url)
            registered = pool.submit(resolver.resolve, expected(topics, schemas, target))
            skips = pool.submit(
                SkipTopic(settings.kafka_client(), settings.topic_prefix, settings.group_id).all
            )
            drawn, seconds = check_drawing(catalogue)
        # 2. Report, in a fixed order; the first failed check raises here.
        report = self.hooks.checked
        partitions = counted.result()
        report("topics", {"brokers": settings.bootstrap_servers, "topics": len(topics.topics)})
        report("assets", {"store": settings.assets_url, "found": assets.result()})
        ids = registered.result()
        report("schemas", {"registry": settings.registry_url, "ids": ids})
        generator = catalogue.generator_version
        report("drawing", {"frames": drawn, "seconds": seconds, "generator": generator})
        check_figures(self.policies, catalogue.figure_of)
        # 3. Make the processor, then the engine that feeds it.
        records = {
            one.name: str(topics.topic(one.name).schema.value) for one in fields(OutputTopics)
        }
        writers = subjects_of([settings.topic(name) for name in INPUTS], registry)
        rules = Rules(
            world=World(self.policies, catalogue, settings.generation),
            decoder=InputDecoder(schemas, *(one.writer_schema for one in writers.values())),
            partitions=partitions,
            collapse=settings.collapse,
            tzdata_version=version("tzdata"),
            dead_letter_bytes_max=topics.topic("deadletters").message_bytes_max,
            skips=by_partition(skips.result()),
            begin=lambda topic, partition, at: writers[topic].begin(partition, at),
            fold_completion=self.hooks.fold_completion,
            fold_command=self.hooks.fold_command,
        )
        self.agents.processor = self._processor(rules, records, schemas, ids)
        return self._engine(cluster, records)

    def _engine(self, cluster: KafkaCluster, outputs: Iterable[str]) -> Engine:
        settings = self.settings
        return Engine(
            EngineConfig(
                generation=settings.generation,
                inputs=tuple(settings.topic(name) for name in INPUTS),
                tables=(self.users.spec, self.seen.table.spec),
                outputs=tuple(settings.topic(name) for name in outputs),
                records_max=settings.batch_records_max,
                batch_s_target=settings.batch_ms_max / 1000,
                slot_id=settings.transactional_id,
                standbys=settings.standbys,
                terms=terms_of(self.policies),
            ),
            cluster,
            RocksDisk(store_root(settings)),
            self.hooks.observer,
        )

    def _check_topics(self, cluster: KafkaCluster, topics: TopicsFile, target: Target) -> int:
        """Check topics and brokers; returns how many partitions each input has."""
        settings = self.settings
        partitions = check_topics(cluster, settings, topics, self.policies.window_ms)
        for warning in check_brokers(
            cluster,
            [topic.name for topic in topics.wanted(target)],
            Times(settings.session_timeout_ms, settings.transaction_timeout_ms),
            is_development=settings.development_broker,
        ):
            logger.warning("%s", warning)
        return partitions

    def _processor(
        self,
        rules: Rules,
        records: Mapping[str, str],
        schemas: Mapping[str, Schema],
        ids: Mapping[str, int],
    ) -> Processor:
        settings = self.settings
        encoders = {
            record: AvroEncoder(schemas[record], ids[f"{settings.topic(topic)}-value"])
            for topic, record in records.items()
        }
        outputs = OutputTopics(**{name: settings.topic(name) for name in records})
        return Processor(
            rules,
            Outputs(outputs, encoders),
            self.users.spec,
            self.seen.table.spec,
            self.hooks.folded,
        )


def _unreachable(settings: Settings, error: BrokerError) -> BrokerError:
    return BrokerError(
        f"the brokers at {settings.bootstrap_servers} did not answer for"
        f" {settings.start_timeout_s:.0f} s",
        why=str(error),
        fix="start them (on this machine: `awaway local up --kafka-port 9092`), or correct"
        " AWAWAY_BOOTSTRAP_SERVERS and what the client needs to log in",
    )


def _kafka_config(settings: Settings, topics: TopicsFile) -> KafkaConfig:
    largest = max(topic.message_bytes_max for topic in topics.topics)
    return KafkaConfig(
        client=settings.kafka_client(),
        group_id=settings.group_id,
        slot_id=settings.transactional_id,
        session_timeout_ms=settings.session_timeout_ms,
        transaction_timeout_ms=settings.transaction_timeout_ms,
        poll_interval_ms_max=settings.max_poll_interval_ms,
        poll_linger_s=settings.commit_linger_ms / 1000,
        consumer={
            "fetch.wait.max.ms": settings.fetch_wait_ms_max,
            "queued.max.messages.kbytes": settings.fetch_queue_mib_max * 1024,
        },
        producer={
            "linger.ms": settings.produce_linger_ms,
            "compression.type": settings.compression,
            "message.max.bytes": largest,
        },
    )


def run_worker(settings: Settings, hooks: Hooks | None = None) -> int:
    """Run a worker until it is asked to stop.

    SIGTERM and SIGINT stop it gracefully within `stop_timeout_s`: it commits its open transaction
    first. A second signal ends the process at once; that loses nothing either.

    Returns:
        0 after a graceful stop, 1 when that took too long.

    Raises:
        AwawayError: it could not start, or it failed.
    """
    hooks = hooks or Hooks()
    return asyncio.run(_run(create_app(settings, hooks), hooks, settings.stop_timeout_s))


async def _run(app: EngineApp, hooks: Hooks, stop_timeout_s: float) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(_: object = None) -> None:
        if not stop.is_set():
            stop.set()
            hooks.stopping()  # the stop's time-out runs from here, even before the start is over

    def asked() -> None:
        if stop.is_set():
            signal.raise_signal(signal.SIGKILL)
        end()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    app.on_engine_failure = end
    app.finalize()
    app.in_worker = True
    await app.start()
    await stop.wait()
    try:
        await asyncio.wait_for(app.stop(), stop_timeout_s)
    except TimeoutError:
        return 1
    if app.failure is not None:
        raise app.failure
    return 0


def __getattr__(name: str) -> Any:
    """`app`, for `faust -A pipeline.worker.app`: made from the environment's settings, once."""
    if name != "app":
        raise AttributeError(name)
    made = create_app(load_settings())
    globals()["app"] = made
    return made
