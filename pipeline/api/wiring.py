"""Puts the API's process together.

Owns: which object gets which, the order in which services start.
Does not own: the objects, the server (server.py).
Invariant: nothing is connected here; the store on disk is opened, as reads begin with it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from starlette.types import ASGIApp

from pipeline.api.app import Application
from pipeline.api.console.dependencies import ConsoleDependencies
from pipeline.api.console.sampling import Sampler
from pipeline.api.console.watch import Watch
from pipeline.api.dependencies import Service
from pipeline.api.figures import Pictures
from pipeline.api.http.access import make_access, middleware
from pipeline.api.http.limits_and_headers import headers_of
from pipeline.api.reads.materialise import Materialiser
from pipeline.api.reads.progress_topic import ProgressTopic
from pipeline.api.reads.store import ProgressStore
from pipeline.api.reads.store_scrub import StoreScrub
from pipeline.api.reads.user_read import Reads
from pipeline.api.reads.views import Views
from pipeline.api.wiring_topics import (
    Codecs,
    live_services,
    make_adjuster,
    make_delivery,
    make_ingest,
    make_live,
)
from pipeline.codec.registry import SchemaResolver, connect
from pipeline.codec.schemas import load_schemas
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.outcome import World
from pipeline.observability import api_metrics as m
from pipeline.observability.api_prometheus import ApiMetrics
from pipeline.ops.deadletters.log import DeadLetterLog
from pipeline.ops.explain.log import InputReader
from pipeline.settings.api import ApiSettings
from pipeline.settings.load import read_policy


@dataclass(frozen=True, slots=True)
class Built:
    """A process that is ready to serve.

    Attributes:
        deps: what the routes are given.
        services: in the order in which they start; they stop in reverse order.
    """

    app: ASGIApp
    deps: ConsoleDependencies
    services: list[Service]


def build(settings: ApiSettings, now_ms: Callable[[], int]) -> Built:
    """Make everything that serves.

    Raises:
        ConfigError, PolicyError, SchemaFileError: a file that a setting names is invalid.
        ReadStoreError: the store on disk cannot be opened.
    """
    access = make_access(settings, now_ms)
    policies = read_policy(settings)
    catalogue = GoldenCatalogue(settings.assets_url)
    schemas = load_schemas(settings.schemas_dir)
    metrics = ApiMetrics()
    resolver = SchemaResolver(connect(settings.registry_client()))
    topic = settings.topic("progress")
    source = Materialiser(
        ProgressStore(
            settings.data_dir / f"{settings.topic_prefix}api" / "progress",
            settings.api_block_cache_mib << 20,
        ),
        lambda: ProgressTopic(settings.kafka_client(), topic),
        schemas["ProgressUpdated"],
        resolver.writer_schema,
        metrics,
        now_ms,
    )
    pictures = Pictures(
        catalogue, settings.api_picture_processes, settings.api_picture_cache_mib << 20, metrics
    )
    views = Views(policies, catalogue)
    stopping = asyncio.Event()
    codecs = Codecs(schemas, resolver.writer_schema)
    ingest = make_ingest(settings, codecs, metrics, now_ms)
    reads = Reads(settings, source, policies, views, metrics, now_ms)
    live = make_live(settings, codecs, policies, source, reads, metrics)
    watch = Watch(settings.topic_prefix, live.texts, now_ms)
    watch.begin(ingest.outcomes.latest())
    ingest.outcomes.listeners.append(watch.indexed)
    live.hub.watchers.append(watch.streamed)
    live.hub.at_end.append(watch.streamed_to_end)
    inputs = InputReader(settings.kafka_client(), schemas, resolver.writer_schema)
    deps = ConsoleDependencies(
        settings=settings,
        now_ms=now_ms,
        catalogue=catalogue,
        policies=policies,
        authorize=access.guard.authorize,
        metrics=metrics,
        source=source,
        reads=reads,
        pictures=pictures,
        stopping=stopping,
        access=access,
        completions=ingest.completions,
        commands=ingest.commands,
        adjuster=make_adjuster(settings, ingest, World(policies, catalogue), source, reads, inputs),
        outcomes=ingest.outcomes,
        live=live,
        watch=watch,
        sampler=Sampler(metrics, settings.api_console_worker_urls),
        inputs=inputs,
        delivery=make_delivery(settings, metrics, now_ms),
        letters=DeadLetterLog(
            settings.kafka_client(), settings.topic_prefix, schemas, resolver.writer_schema
        ),
    )
    metrics.put(m.BUILD_INFO, 1, version("awaway"), catalogue.generator_version)
    app = Application(deps, middleware(settings, access), headers_of(access.headers))
    topics = [*ingest.services, *live_services(settings, live, stopping)]
    topics += _scrub(settings, source, metrics, now_ms)
    return Built(app, deps, [access.keys, source, pictures, *topics, deps.sampler, deps.delivery])


def _scrub(
    settings: ApiSettings, source: Materialiser, metrics: ApiMetrics, now_ms: Callable[[], int]
) -> list[Service]:
    """The scrub of the store, where there is to be one."""
    per_s = settings.api_scrub_records_per_s
    if not per_s:
        return []
    return [StoreScrub(settings.kafka_client(), source, per_s, metrics, now_ms)]
