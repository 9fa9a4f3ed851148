"""What the commands of `awaway audit` open.

Owns: the options that several of them have, the ledger's topics and schemas, how the workers' state
says where its chain is.
Does not own: the commands (audit.py), what they print (audit_shown.py), the checks (ops/audit/).
Invariant: it reads only.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer

from pipeline.cli.partitions import wanted_of
from pipeline.codec.errors import UnknownSchemaIdError
from pipeline.codec.published import PublishedReader
from pipeline.codec.registry import SchemaResolver, connect
from pipeline.codec.schemas import JsonSchema, load_schemas
from pipeline.core.audit import ChainHead
from pipeline.core.records import AuditEntry
from pipeline.engine.errors import StoreFormatError
from pipeline.engine.state.checkpoint import CHECKPOINT_KEY, decode_checkpoint
from pipeline.errors import UsageError
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.audit.entry import has_links
from pipeline.ops.audit.export_files import ExportFolder
from pipeline.ops.audit.findings import Finding
from pipeline.ops.audit.keys import ListedKey, read_list
from pipeline.ops.audit.sightings import Judged, Sighting, Source, judge
from pipeline.ops.audit.store import CheckpointStore
from pipeline.ops.audit.topic import AuditTopics, StateFormat
from pipeline.ops.audit.verify import Expected, Log
from pipeline.settings.load import load_settings

_decode_head = msgspec.msgpack.Decoder(ChainHead).decode


class Ledger:
    """The audit of the ledger that the settings name.

    Args:
        config: the file of settings.
        generations: that there are besides that of the settings.
    """

    def __init__(self, config: Path | None, generations: Collection[str] | None = None) -> None:
        self.settings = settings = load_settings(config)
        self.generations = {settings.generation, *(generations or ())}
        self.topics = AuditTopics(settings.kafka_client(), settings.topic_prefix)
        self._schemas = SchemaResolver(connect(settings.registry_client()))
        self._state = StateFormat(
            f"{settings.generation}.streaks-changelog", CHECKPOINT_KEY, self._head_in
        )
        self.has_links = cache(self._has_links)

    def reader(self) -> PublishedReader[AuditEntry]:
        """What decodes entries."""
        ours = load_schemas(self.settings.schemas_dir)["AuditEntry"]
        return PublishedReader(AuditEntry, ours, self._schemas.writer_schema)

    def schema_of(self, schema_id: int) -> JsonSchema | None:
        """The registry's schema of an id."""
        try:
            return self._schemas.writer_schema(schema_id)
        except UnknownSchemaIdError:
            return None

    def _has_links(self, schema_id: int) -> bool:
        return has_links(self.schema_of(schema_id))

    def expected(self, judged: Judged) -> Expected:
        """What the chains have to be, by checkpoints and by the workers' state."""
        known = self.generations | {name for name, _ in judged.rows}
        return Expected(judged, known, self._head, self.settings.generation)

    def _head(self, partition: int) -> ChainHead | None:
        return self.topics.state_head(self._state, partition)

    def _head_in(self, value: bytes) -> ChainHead | None:
        try:
            checkpoint = decode_checkpoint(value, generation=self.settings.generation)
        except StoreFormatError as error:
            raise UnreadableLogError(str(error), why=error.why, fix=error.fix) from error
        return _decode_head(checkpoint.attachment) if checkpoint.attachment else None


class Places:
    """Where checkpoints are looked for, and by which keys they are judged.

    Args:
        topics: None where the topic of checkpoints is not looked at.
        store: a URL. keys: the list. trusted: ids of the first key.
    """

    def __init__(
        self,
        topics: AuditTopics | None,
        store: str | None,
        keys: Path | None,
        trusted: Collection[str] | None,
    ) -> None:
        self.sightings: list[Sighting] = []
        self.complete: list[Source] = []
        self.keys: dict[str, ListedKey] | None = None
        if keys is not None:
            self.keys = read_list(keys, trusted or ())
        elif topics is not None or store is not None:
            raise UsageError(
                "checkpoints need the list of keys",
                fix="name it with --keys; without it a forged checkpoint could not be told",
            )
        if topics is not None:
            self.add("topic", topics.checkpoints())
        if store is not None:
            self.add("store", CheckpointStore(store).checkpoints())

    def add(self, source: Source, found: Sequence[Sighting]) -> None:
        """Look at one more place, in which all checkpoints have to be unless it is a witness."""
        self.sightings += found
        if source != "witness":
            self.complete.append(source)

    def judged(self, topic: str, partitions: Collection[int]) -> Judged:
        """What was found, judged."""
        return judge(self.sightings, topic, partitions, self.keys, self.complete)


class Opened(NamedTuple):
    """An audit that is to be verified: of Kafka, or of an export.

    Attributes:
        expected: what the chains have to be, given the checkpoints.
        findings: what is wrong before anything is followed.
    """

    log: Log
    partitions: list[int]
    has_links: Callable[[int], bool]
    expected: Callable[[Judged], Expected]
    places: Places
    findings: list[Finding]


def open_ledger(
    ledger: Ledger,
    partitions: Collection[int] | None,
    checkpoints: bool,
    store: str | None,
    keys: tuple[Path | None, Collection[str] | None],
) -> Opened:
    """Open the audit of a ledger.

    Args:
        checkpoints: whether to look at the topic of checkpoints. keys: the list, and whom to trust.
    """
    topics = ledger.topics
    places = Places(topics if checkpoints or store else None, store, *keys)
    wanted = wanted_of(partitions, None, topics.partitions)
    return Opened(topics, wanted, ledger.has_links, ledger.expected, places, [])


def open_export(
    path: Path,
    partitions: Collection[int] | None,
    generations: Collection[str] | None,
    keys: tuple[Path | None, Collection[str] | None],
) -> Opened:
    """Open an export; without another list its own keys are taken."""
    folder = ExportFolder(path)
    own = folder.keys if folder.keys.exists() and folder.keys.stat().st_size else None
    places = Places(None, None, keys[0] or own, keys[1])
    places.add("export", folder.checkpoints())
    known = {*folder.manifest.generations, *(generations or ())}
    return Opened(
        folder,
        folder.partitions(partitions),
        folder.has_links,
        lambda judged: Expected(judged, known),
        places,
        folder.damaged(),
    )


GenerationOption = Annotated[
    list[str] | None,
    typer.Option(
        "--generation",
        help="A generation that there was, besides that of the settings and those with"
        " checkpoints; may be repeated. A chain of any other is a finding.",
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="The object store of checkpoints: a folder, s3://, gs://, az://."),
]
KeysOption = Annotated[
    Path | None, typer.Option("--keys", help="The list of public keys, docs/AUDIT.md.")
]
TrustOption = Annotated[
    list[str] | None,
    typer.Option("--trust", help="The id of the first key, as you know it by another way."),
]
WitnessOption = Annotated[
    Path | None, typer.Option("--witness", help="A witness file: its history has to be this one.")
]
