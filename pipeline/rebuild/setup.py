"""What every partition of a rebuild shares: rules, schemas, tables.

Owns: making a replay's processor from the settings of a worker.
Does not own: the worker's own wiring (worker/app.py), what a rebuild does with a partition.
Invariant: the processing is the worker's; only the folds are given, and nothing is published.
"""

from collections.abc import Mapping
from dataclasses import fields
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
from pipeline.core.policy import load_policy
from pipeline.core.records import AuditEntry, PortalUnlocked
from pipeline.engine.state.table_spec import TableSpec
from pipeline.errors import ConfigError
from pipeline.kafka.reader import Reader
from pipeline.ops.assets.catalogue import asset_base_url
from pipeline.ops.skips import SkipTopic, by_partition
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
        self.live_policies = read_policy(settings)
        policies = self.live_policies if policy is None else load_policy(_text_of(policy))
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
        rules = (version("awaway"), version("tzdata"), _text_of(policy or settings.policy_file))
        self.rules_id = sha256("\n".join(rules).encode()).hexdigest()[:16]
        self.inputs = [settings.topic(name) for name in ("completions", "commands")]
        with Reader({**self.client, "log_level": 2}, "awaway-rebuild") as reader:
            self.partitions = len(reader.partitions(self.inputs[:1]))

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
        skips = SkipTopic(self.client, settings.topic_prefix, settings.group_id).all()
        rules = Rules(
            world=self.world,
            decoder=InputDecoder(self.schemas, self.resolver.writer_schema),
            partitions=self.partitions,
            collapse=True,
            tzdata_version=version("tzdata"),
            dead_letter_bytes_max=topics.topic("deadletters").message_bytes_max,
            skips=by_partition(skips),
            fold_completion=folds.completion,
            fold_command=folds.command,
            fold_repair=folds.repair,
        )
        outputs = Outputs(OutputTopics(**{n: settings.topic(n) for n in names}), encoders)
        return Processor(rules, outputs, *self.tables, lambda _: None)


def _text_of(policy: Path) -> str:
    try:
        return policy.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the policy file {policy} cannot be read", why=str(error), path=str(policy)
        ) from error
