"""What every partition of a rebuild shares: rules, schemas, tables.

Owns: making a replay's processor from the settings of a worker.
Does not own: the worker's own wiring (worker/app.py), what a rebuild does with a partition.
Invariant: the processing is the worker's; only the folds are given, and nothing is published.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from pipeline.codec.avro import AvroEncoder
from pipeline.codec.inputs import InputDecoder
from pipeline.codec.published import PublishedReader
from pipeline.codec.registry import SchemaResolver, connect
from pipeline.codec.schemas import load_schemas
from pipeline.core.fold import World
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.records import AuditEntry, PortalUnlocked
from pipeline.engine.state.table_spec import TableSpec
from pipeline.kafka.reader import Reader
from pipeline.ops.adjust.send import Corrections
from pipeline.ops.assets.catalogue import asset_base_url
from pipeline.ops.skips import Skips, SkipTopic, by_partition
from pipeline.ops.topics.file import load_topics
from pipeline.rebuild.replay import Folds, Readers
from pipeline.settings.load import read_policy
from pipeline.settings.worker import Settings
from pipeline.worker.outputs import Outputs, OutputTopics
from pipeline.worker.processing import Processor
from pipeline.worker.rules import Rules
from pipeline.worker.window import spec_of

_ANY_SCHEMA_ID: Final = 0
"""What is encoded is dropped."""


class Setup:
    """What the partitions of a rebuild share.

    Args:
        settings: of a worker of the generation that is live.
        policy: a policy file to try on history; without one, the worker's.

    Attributes:
        tables: users and seen.
        readers: of what was published.
        rules_id: digest of release, time zone data and policy.
    """

    def __init__(self, settings: Settings, policy: Path | None = None) -> None:
        self.settings = settings
        self.client: Mapping[str, Any] = settings.kafka_client()
        self.schemas = load_schemas(settings.schemas_dir)
        self.resolver = SchemaResolver(connect(settings.registry_client()))
        tried = settings if policy is None else settings.model_copy(update={"policy_file": policy})
        self.live_policies = read_policy(settings)
        policies = self.live_policies if policy is None else read_policy(tried)
        catalogue = GoldenCatalogue(asset_base_url(settings.assets_url))
        self.world = World(policies, catalogue, settings.generation)
        generation = settings.generation
        self.tables = (
            TableSpec("streaks", settings.topic(f"{generation}.streaks-changelog"), b"u"),
            spec_of(settings.topic(f"{generation}.seen-changelog"), b"w"),
        )
        writer = self.resolver.writer_schema
        self.readers = Readers(
            PublishedReader(AuditEntry, self.schemas["AuditEntry"], writer),
            PublishedReader(PortalUnlocked, self.schemas["PortalUnlocked"], writer),
        )
        policy_bytes = tried.policy_file.read_bytes()
        self.rules_id = rules_id_of(version("awaway"), version("tzdata"), policy_bytes)
        self.inputs = [settings.topic(name) for name in ("completions", "commands")]
        with Reader({**self.client, "log_level": 2}, "awaway-rebuild") as reader:
            self.partitions = len(reader.partitions(self.inputs[:1]))

    @cached_property
    def skips(self) -> Skips:
        """The inputs that operators had put aside."""
        topic = SkipTopic(self.client, self.settings.topic_prefix, self.settings.group_id)
        return by_partition(topic.all())

    def corrections(self) -> Corrections:
        """What sends repairs and reads their effects back."""
        prefix, schemas = self.settings.topic_prefix, self.schemas
        return Corrections(self.client, prefix, schemas, self.resolver.writer_schema)

    def folds(self) -> Folds:
        """The folds of one partition's replay."""
        live, tried = self.live_policies, self.world.policies

        def same_day_start(append_time: int) -> bool:
            of_live = live.at(append_time)
            of_tried = tried.at(append_time)
            return of_live is of_tried or of_live.day_start_minutes == of_tried.day_start_minutes

        return Folds(same_day_start)

    def processor(self, folds: Folds) -> Processor:
        """The worker's own processing, with the folds of a replay."""
        settings = self.settings
        topics = load_topics(settings.topics_file)
        names = [one.name for one in fields(OutputTopics)]
        records = {name: str(topics.topic(name).schema.value) for name in names}
        encoders = {
            record: AvroEncoder(self.schemas[record], _ANY_SCHEMA_ID) for record in records.values()
        }
        rules = Rules(
            world=self.world,
            decoder=InputDecoder(self.schemas, self.resolver.writer_schema),
            partitions=self.partitions,
            collapse=True,
            tzdata_version=version("tzdata"),
            dead_letter_bytes_max=topics.topic("deadletters").message_bytes_max,
            skips=self.skips,
            fold_completion=folds.completion,
            fold_command=folds.command,
            fold_repair=folds.repair,
        )
        outputs = Outputs(OutputTopics(**{n: settings.topic(n) for n in names}), encoders)
        return Processor(rules, outputs, *self.tables, lambda _: None)


def rules_id_of(release: str, tzdata: str, policy: bytes) -> str:
    """The digest of what decides a replay: what another one derived is not gone on with."""
    return sha256(f"{release}\n{tzdata}\n".encode() + policy).hexdigest()[:16]
