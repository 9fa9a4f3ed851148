"""`topics.yaml`: what it may say, and what it says for one cluster.

Owns: the file's form and rules, and the topics that follow from it for a prefix and a generation.
Does not own: the cluster (topics.py).
Invariants: every topic has the same number of partitions; the dead letters are large enough for any
input; inputs take the broker's time, and are stored uncompressed, so that their limit is one.
"""

import re
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import yaml

from pipeline.codec.dead_letters import EXTRA_BYTES
from pipeline.codec.schemas import RECORDS
from pipeline.errors import AwawayError
from pipeline.ops.strict_yaml import parse_yaml

Kind = Literal["input", "output", "changelog", "control"]
Timestamps = Literal["log_append_time", "create_time"]

UNLIMITED_MS: Final = -1
_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LENGTH: Final = re.compile(r"([1-9]\d{0,6})([smhd])")
_NAME: Final = re.compile(r"[a-z0-9._{}-]{1,120}")
_OWN_SETTINGS: Final = (
    "cleanup.policy",
    "retention.ms",
    "message.timestamp.type",
    "max.message.bytes",
)


class TopicsFileError(AwawayError):
    """`topics.yaml` is missing, or says something that cannot be.

    **Operator action**: mend the line that the message names.
    """


class TopicSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a topic's records hold. `value` names a record; None for internal bytes."""

    key: str
    value: str | None


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One topic, as the file has it (see the head of `topics.yaml`)."""

    name: str
    kind: Kind
    about: str
    owner: str
    schema: TopicSchema
    cleanup: list[Literal["delete", "compact"]]
    retention: str
    timestamps: Timestamps
    message_bytes_max: int
    read: list[str]
    write: list[str]
    downstream: dict[str, str] = {}
    settings: dict[str, str] = {}

    @property
    def retention_ms(self) -> int:
        """How long records are kept; UNLIMITED_MS for ever."""
        if self.retention == "unlimited":
            return UNLIMITED_MS
        return _length_ms("retention", self.retention, "90d, 12h or unlimited")

    @property
    def downstream_ms(self) -> dict[str, int]:
        """The groups that must keep up, and how old a record may become for each, in ms."""
        return {
            group: _length_ms(f"downstream {group}", bound, "30s, 1m or 2h")
            for group, bound in self.downstream.items()
        }


def _length_ms(what: str, length: str, forms: str) -> int:
    found = _LENGTH.fullmatch(length)
    if found is None:
        raise ValueError(f"{what} {length!r} is not like {forms}")
    return int(found[1]) * _UNITS_MS[found[2]]


class Target(msgspec.Struct, frozen=True):
    """For which cluster the topics are, where that differs from the file.

    Attributes:
        prefix, partitions, replication: instead of the file's.
        generation: whose changelogs.
        simulated_time: inputs take the producer's time and keep it for ever (a demo, never
            production: a worker refuses such a topic unless it is told that this is development).
    """

    prefix: str | None = None
    partitions: int | None = None
    replication: int | None = None
    generation: str = "blue"
    simulated_time: bool = False


class WantedTopic(msgspec.Struct, frozen=True):
    """A topic as it is to be on the cluster.

    Attributes:
        topic: the file's entry.
        name: the full name.
        replication: None is the broker's default.
        config: Kafka's settings, as Kafka writes them.
    """

    topic: Topic
    name: str
    partitions: int
    replication: int | None
    config: dict[str, str]


class TopicsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    prefix: str
    partitions: int
    replication: int | None
    topics: list[Topic]
    observers: list[str] = []

    @property
    def outputs(self) -> dict[str, str]:
        """The record that each output topic carries, by the topic's name without its prefix."""
        return {one.name: str(one.schema.value) for one in self.topics if one.kind == "output"}

    def topic(self, name: str) -> Topic:
        """The entry of a name, without its prefix.

        Raises:
            TopicsFileError: there is none.
        """
        for topic in self.topics:
            if topic.name == name:
                return topic
        raise TopicsFileError(f"topics.yaml has no topic {name!r}", fix="add it", topic=name)

    def wanted(self, target: Target) -> list[WantedTopic]:
        """The topics as they are to be on one cluster, in the file's order."""
        prefix = self.prefix if target.prefix is None else target.prefix
        return [
            WantedTopic(
                topic,
                prefix + topic.name.replace("{generation}", target.generation),
                self.partitions if target.partitions is None else target.partitions,
                self.replication if target.replication is None else target.replication,
                _config(topic, target.simulated_time and topic.kind == "input"),
            )
            for topic in self.topics
        ]

    def subjects(self, target: Target) -> dict[str, Topic]:
        """The registry's subjects (TopicNameStrategy) and the topic of each."""
        return {
            f"{wanted.name}-value": wanted.topic
            for wanted in self.wanted(target)
            if wanted.topic.schema.value is not None
        }


def compatibility_of(topic: Topic) -> str:
    """The compatibility level of a topic's subject.

    Inputs: producers are upgraded after us, so new readers must read all old data. Outputs:
    consumers are upgraded when they like, so old readers must read new data, too.
    """
    return "BACKWARD_TRANSITIVE" if topic.kind == "input" else "FULL_TRANSITIVE"


def _config(topic: Topic, simulated_time: bool) -> dict[str, str]:
    config = dict(topic.settings)
    config["cleanup.policy"] = ",".join(topic.cleanup)
    config["max.message.bytes"] = str(topic.message_bytes_max)
    if simulated_time:
        config["message.timestamp.type"] = "CreateTime"
        config["retention.ms"] = str(UNLIMITED_MS)
        return config
    stamps = {"log_append_time": "LogAppendTime", "create_time": "CreateTime"}
    config["message.timestamp.type"] = stamps[topic.timestamps]
    if "delete" in topic.cleanup:
        config["retention.ms"] = str(topic.retention_ms)
    return config


def load_topics(path: Path) -> TopicsFile:
    """Read and check `topics.yaml`.

    Raises:
        TopicsFileError: missing, not YAML, or against a rule; the message names the place.
    """
    try:
        return parse_topics(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TopicsFileError(
            f"{path} cannot be read",
            why=str(error),
            fix="set AWAWAY_TOPICS_FILE to the release's topics.yaml",
            path=str(path),
        ) from error


def parse_topics(text: str) -> TopicsFile:
    """A text of the form of `topics.yaml`.

    Raises:
        TopicsFileError: not YAML, or against a rule.
    """
    try:
        tree = parse_yaml(text)
    except yaml.YAMLError as error:
        raise TopicsFileError("topics.yaml is not YAML", why=str(error), fix="mend it") from error
    try:
        file = msgspec.convert(tree, TopicsFile)
    except msgspec.ValidationError as error:
        raise TopicsFileError(
            "topics.yaml has a wrong entry", why=_with_topic_name(str(error), tree), fix="mend it"
        ) from error
    wrong = [problem for topic in file.topics for problem in _problems(topic)]
    wrong += _problems_between(file)
    if wrong:
        raise TopicsFileError(
            "topics.yaml says what cannot be", why="\n".join(wrong), fix="mend each line"
        )
    return file


def _with_topic_name(message: str, tree: Any) -> str:
    """A message that names the topic, not only its place in the list."""
    found = re.search(r"\$\.topics\[(\d+)\]", message)
    if found is None:
        return message
    entry = tree["topics"][int(found[1])]
    name = entry.get("name") if isinstance(entry, dict) else None
    return f"{message} (topic {name!r})"


def _problems(topic: Topic) -> list[str]:
    found = []
    if not _NAME.fullmatch(topic.name):
        found.append("a name has lower-case letters, digits, dots and hyphens only")
    if topic.schema.value is not None and topic.schema.value not in RECORDS:
        found.append(f"schema.value {topic.schema.value!r} is none of {', '.join(RECORDS)}")
    if (topic.schema.value is None) != (topic.kind in ("changelog", "control")):
        found.append("inputs and outputs have a record as schema.value, the other kinds have null")
    if topic.kind == "input" and topic.timestamps != "log_append_time":
        found.append("an input has timestamps: log_append_time")
    if topic.kind == "input" and topic.settings.get("compression.type") != "uncompressed":
        found.append("an input has settings: {compression.type: uncompressed}, see the file's head")
    if not topic.cleanup or len(set(topic.cleanup)) != len(topic.cleanup):
        found.append("cleanup is one or both of delete and compact")
    if not 1_024 <= topic.message_bytes_max <= 2**31 - 1:
        found.append("message_bytes_max is 1024 to 2147483647")
    found += [
        f"settings has {key}; use its own field" for key in _OWN_SETTINGS if key in topic.settings
    ]
    try:
        _ = topic.retention_ms, topic.downstream_ms
    except ValueError as error:
        found.append(str(error))
    return [f"{topic.name}: {problem}" for problem in found]


def _problems_between(file: TopicsFile) -> list[str]:
    found = []
    if file.partitions < 1:
        found.append("partitions is 1 and up")
    if file.replication is not None and file.replication < 1:
        found.append("replication is 1 and up, or null")
    names = [topic.name for topic in file.topics]
    found += [f"{name} occurs twice" for name in sorted(set(names)) if names.count(name) > 1]
    largest = max((t.message_bytes_max for t in file.topics if t.kind == "input"), default=0)
    least = 2 * largest + EXTRA_BYTES
    for topic in file.topics:
        if topic.schema.value == "DeadLetter" and topic.message_bytes_max < least:
            found.append(f"{topic.name}: message_bytes_max is at least {least}, so any input fits")
    return found
