"""What the demonstration plays on: its own stack, topics, schemas and assets.

Owns: where the demo's files are, the unique prefix of a run, everything that is set up before a
worker can start.
Does not own: how topics, schemas and assets are made (ops/), the stack (local/).
Invariant: nothing outside the demo's folder is touched, and no two runs share a topic.
"""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.codec.avro import AvroEncoder
from pipeline.codec.partitioner import partition_of
from pipeline.codec.registry import SchemaResolver, connect
from pipeline.codec.schemas import Schema, load_schemas
from pipeline.core.geometry.catalogue import golden_bytes
from pipeline.core.keys import key_ids
from pipeline.core.records import PracticeCompleted
from pipeline.dev.demo.errors import DemoError
from pipeline.dev.demo.newer_schemas import newer_encoder, newer_schemas
from pipeline.dev.local.artifacts import Progress
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.workload.ground_truth import Kind
from pipeline.dev.workload.wire import Wire
from pipeline.ops.assets import catalogue as assets
from pipeline.ops.schemas import sync as schemas
from pipeline.ops.topics import sync as topics
from pipeline.ops.topics.file import Target, TopicsFile, load_topics
from pipeline.settings.worker import Settings

INPUTS: Final[tuple[Kind, ...]] = ("completions", "commands")

RUNS: Final = "runs"
BATCH_RECORDS: Final = 10_000
INTERRUPTED_BATCH_RECORDS: Final = 300
"""Small batches, so that a kill finds something to interrupt."""

Say = Callable[[str], None]
"""Told what is being done, one line at a time."""


class Options(msgspec.Struct, frozen=True):
    """What is asked for.

    Attributes:
        root: the demo's folder.
        users, days: 1 and up.
        kills: how often to kill the worker on the way.
        corrupt: damage users' states on the way, and put them right.
    """

    root: Path
    users: int
    days: int
    seed: int
    kills: int = 0
    corrupt: bool = False


class Stage(msgspec.Struct, frozen=True):
    """Everything a run needs to know of its surroundings.

    Attributes:
        root: the demo's folder. run_dir: what belongs to this run alone.
        settings: of the worker; the files in it are absolute.
        topics: of the release.
        policy: text of the policy file.
    """

    root: Path
    run_dir: Path
    settings: Settings
    topics: TopicsFile
    policy: str
    wire: Wire

    @property
    def partitions(self) -> int:
        """How many partitions each topic has."""
        return self.topics.partitions

    @property
    def inputs(self) -> dict[str, str]:
        """Full names of the input topics, by short name."""
        return {name: self.settings.topic(name) for name in INPUTS}

    @property
    def outputs(self) -> dict[str, str]:
        """Full names of the output topics, by short name."""
        return {name: self.settings.topic(name) for name in self.topics.outputs}


class Files(msgspec.Struct, frozen=True):
    """What the release brings along: topics, schemas by record, the policy's text, and where."""

    topics: TopicsFile
    schemas: dict[str, Schema]
    policy: str
    settings: Settings


def read_files(settings: Settings) -> Files:
    """Read the files that `settings` names.

    Raises:
        TopicsFileError, SchemaFileError, DemoError: one is missing or wrong.
    """
    topics_file = load_topics(settings.topics_file)
    ours = load_schemas(settings.schemas_dir)
    try:
        policy = settings.policy_file.read_text(encoding="utf-8")
    except OSError as error:
        raise DemoError(
            f"{settings.policy_file} cannot be read",
            why=str(error.strerror),
            fix="run the demo from a checkout, or set AWAWAY_POLICY_FILE",
        ) from error
    return Files(topics_file, ours, policy, settings)


def start_stack(root: Path, progress: Progress) -> LocalStack:
    """Have the demo's own Kafka and registry running.

    A stack that an earlier run left up is used again; one that is down starts empty, and what
    earlier runs left in the folder is removed.

    Args:
        progress: told about downloads and waiting.

    Raises:
        StackError: it does not start.
    """
    stack = LocalStack(root / "stack")
    if stack.status().health == "down":
        stack.down(delete_data=stack.root.exists())
        shutil.rmtree(root / RUNS, ignore_errors=True)
    stack.up(progress, detach=False)
    return stack


def build_stage(
    options: Options, run_name: str, stack: LocalStack, files: Files, say: Say
) -> Stage:
    """Make topics, schemas and assets for one run.

    Args:
        run_name: unique; becomes the topic prefix.

    Raises:
        AwawayError: a server refused.
    """
    root = options.root
    run_dir = (root / RUNS / run_name).resolve()
    run_dir.mkdir(parents=True)
    settings = Settings(
        bootstrap_servers=stack.bootstrap_servers,
        registry_url=stack.registry_url,
        topic_prefix=f"{run_name}.",
        topics_file=files.settings.topics_file.resolve(),
        policy_file=files.settings.policy_file.resolve(),
        schemas_dir=files.settings.schemas_dir.resolve(),
        data_dir=run_dir / "data",
        assets_url=str(_assets_dir(root)),
        development=True,
        http_port=0,
        log_format="json",
        batch_records_max=INTERRUPTED_BATCH_RECORDS if options.kills else BATCH_RECORDS,
    )
    with ThreadPoolExecutor(1, "assets") as pool:
        published = pool.submit(_publish, settings.assets_url)
        wire = _apply(settings, files, say)
        published.result()
    return Stage(root, run_dir, settings, files.topics, files.policy, wire)


def _assets_dir(root: Path) -> Path:
    """The folder of this build's catalogue; a build that draws otherwise has another one."""
    return root.resolve() / f"assets-{sha256(golden_bytes()).hexdigest()[:12]}"


def _publish(url: str) -> None:
    store = assets.open_store(url, create=True)
    try:
        assets.check(store)
    except assets.AssetsMissingError:
        assets.publish(store)


def _apply(settings: Settings, files: Files, say: Say) -> Wire:
    target = Target(
        prefix=settings.topic_prefix, generation=settings.generation, simulated_time=True
    )
    say("making the topics")
    topics.apply(topics.connect(settings.kafka_client()), files.topics, target)
    say("registering the schemas")
    client = connect(settings.registry_client())
    wanted = schemas.expected(files.topics, files.schemas, target)
    schemas.register(client, wanted)
    ids = SchemaResolver(client).resolve(wanted)

    def encoder(topic: str) -> AvroEncoder:
        subject = f"{settings.topic(topic)}-value"
        return AvroEncoder(wanted[subject].schema, ids[subject])

    partitions = files.topics.partitions
    return Wire(
        avro_completion=encoder("completions").encode,
        avro_command=encoder("commands").encode,
        newer_completions=_register_newer(client, f"{settings.topic('completions')}-value", files),
        partition_of=lambda key: partition_of(key, partitions),
        partitions=partitions,
        key_id=lambda user_id, lap, slug, i: key_ids(user_id, lap, slug, i + 1)[i],
    )


def _register_newer(
    client: SchemaRegistryClient, subject: str, files: Files
) -> dict[str, Callable[[PracticeCompleted], bytes]]:
    """Register newer schemas of completions, as serialisers of other producers do by themselves."""
    ours = json.loads(files.schemas["PracticeCompleted"].text)
    return {
        what: newer_encoder(
            schema, client.register_schema(subject, RegistrySchema(json.dumps(schema), "AVRO"))
        )
        for what, schema in newer_schemas(ours).items()
    }
