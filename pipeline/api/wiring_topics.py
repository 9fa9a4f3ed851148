"""Puts together what produces inputs and what tails topics.

Owns: making the producers, the index of outcomes and the live streams, and which settings each
gets.
Does not own: the rest of the process (wiring.py).
Invariant: no client contacts a broker here; the index on disk is opened.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.api.dependencies import Service
from pipeline.api.ingest.adjusting import Adjuster
from pipeline.api.ingest.known_state import KnownStates
from pipeline.api.ingest.producing import InputProducer, ProducerLimits
from pipeline.api.ingest.read_back import ReadBack
from pipeline.api.live.events import EventTexts
from pipeline.api.live.hub import Hub
from pipeline.api.live.replay import Replay
from pipeline.api.live.stream import Live
from pipeline.api.outcomes.index import OutcomeReaders, Outcomes
from pipeline.api.reads.materialise import Materialiser
from pipeline.api.reads.user_read import Reads
from pipeline.api.routes.live import REPLAYS_AT_ONCE, HubService
from pipeline.codec.published import WriterSchemas
from pipeline.codec.schemas import Schema
from pipeline.core.outcome import World
from pipeline.core.rulebook import PolicyBook
from pipeline.kafka.tail import Followed, TopicThread
from pipeline.observability import api_metrics as m
from pipeline.observability.api_prometheus import ApiMetrics
from pipeline.ops.delivery.measure import wanted_of
from pipeline.ops.delivery.watch import DeliveryWatch
from pipeline.ops.explain.log import InputReader
from pipeline.ops.topics.file import Target, load_topics
from pipeline.settings.api import ApiSettings


@dataclass(frozen=True, slots=True)
class Codecs:
    """The schemas to decode with: ours by record name, and the registry's by id."""

    schemas: Mapping[str, Schema]
    writer_schema: WriterSchemas


@dataclass(frozen=True, slots=True)
class Ingest:
    """What the ingest of inputs needs; `services` are in the order in which they start."""

    completions: InputProducer
    commands: InputProducer
    outcomes: Outcomes
    services: list[Service]


class OutcomesService:
    """Tails the topics of outcomes, and closes the index at the end."""

    def __init__(self, outcomes: Outcomes, thread: TopicThread) -> None:
        self._outcomes = outcomes
        self._thread = thread

    async def start(self) -> None:
        """Begin to tail."""
        await self._thread.start()

    async def stop(self) -> None:
        """Stop tailing, and close the index."""
        await self._thread.stop()
        self._outcomes.close()


def make_ingest(
    settings: ApiSettings, codecs: Codecs, metrics: ApiMetrics, now_ms: Callable[[], int]
) -> Ingest:
    """Make the producers and the index.

    Raises:
        OutcomeStoreError: the index on disk cannot be opened.
    """
    client = settings.kafka_client()
    outcomes = Outcomes(
        settings.data_dir / f"{settings.topic_prefix}api" / "outcomes",
        settings.topic_prefix,
        OutcomeReaders(codecs.schemas, codecs.writer_schema),
        settings.api_history_days,
        now_ms,
    )
    limits = ProducerLimits(
        settings.api_ingest_records_max,
        settings.api_ingest_mib_max << 20,
        settings.api_delivery_ms_max,
    )
    completions = InputProducer(client, settings.topic("completions"), limits)
    commands = InputProducer(client, settings.topic("commands"), limits, inputs="commands")

    def measure() -> None:
        complete_at_ms = outcomes.complete_at_ms
        lag_ms = float("inf") if complete_at_ms is None else max(0, now_ms() - complete_at_ms)
        metrics.put(m.OUTCOMES_LAG, lag_ms / 1000)
        metrics.put(m.IN_FLIGHT_COMPLETIONS, completions.in_flight)
        for outcome, count in completions.results.items():
            metrics.put(m.COMPLETIONS, count, outcome)

    metrics.before_scrape.append(measure)
    thread = TopicThread(Followed(client, "outcomes", outcomes.topics), outcomes)
    services: list[Service] = [OutcomesService(outcomes, thread), completions, commands]
    return Ingest(completions, commands, outcomes, services)


def make_adjuster(
    settings: ApiSettings,
    ingest: Ingest,
    world: World,
    source: Materialiser,
    reads: Reads,
    inputs: InputReader,
) -> Adjuster:
    """Make what takes corrections."""
    outcomes, commands = ingest.outcomes, ingest.commands
    states = KnownStates(source, outcomes, inputs, world.policies)
    read_back = ReadBack(outcomes, reads, commands.topic, settings.api_wait_ms_max / 1000)
    return Adjuster(world, states, commands, read_back, reads.now_ms)


def make_delivery(
    settings: ApiSettings, metrics: ApiMetrics, now_ms: Callable[[], int]
) -> DeliveryWatch:
    """Make what measures how far the downstream groups are.

    Raises:
        TopicsFileError: topics.yaml cannot be read, or says what cannot be.
    """
    wanted = wanted_of(load_topics(settings.topics_file), Target(settings.topic_prefix))
    watch = DeliveryWatch.of(settings.kafka_client(), wanted, now_ms)
    for topic, groups in wanted.items():
        for group, bound_ms in groups.items():
            metrics.put(m.DELIVERY_BOUND, bound_ms / 1000, group, topic)

    def measure() -> None:
        metrics.drop(m.DELIVERY_OFFSET_LAG)
        metrics.drop(m.DELIVERY_TIME_LAG)
        at_ms = now_ms()
        for one in watch.latest or ():
            for its in one.positions:
                labels = (one.group, one.topic, str(its.partition))
                metrics.put(m.DELIVERY_OFFSET_LAG, its.lag_records, *labels)
                metrics.put(m.DELIVERY_TIME_LAG, its.lag_ms(at_ms) / 1000, *labels)

    metrics.before_scrape.append(measure)
    return watch


def make_live(
    settings: ApiSettings,
    codecs: Codecs,
    policies: PolicyBook,
    source: Materialiser,
    reads: Reads,
    metrics: ApiMetrics,
) -> Live:
    """Make what streams need."""

    def counted(clients: int) -> None:
        metrics.put(m.STREAM_CLIENTS, clients)

    return Live(
        Hub(settings.topic_prefix, settings.api_stream_queue_max, counted),
        EventTexts(codecs.schemas, codecs.writer_schema, policies, reads.views, reads.now_ms),
        Replay(settings.kafka_client()),
        asyncio.Semaphore(REPLAYS_AT_ONCE),
        source,
        reads,
    )


def live_services(settings: ApiSettings, live: Live, stopping: asyncio.Event) -> list[Service]:
    """Return the services of the streams, in the order in which they start."""
    hub = live.hub
    followed = Followed(settings.kafka_client(), "streams", hub.topics)
    return [HubService(hub, stopping), TopicThread(followed, hub)]
