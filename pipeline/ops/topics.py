"""Topics as code: compare the cluster with `topics.yaml`, and make it so.

Owns: the differences, what is refused, and how each difference is mended.
Does not own: the file (topics_file.py), printing (cli/topics.py), connections (the caller's).
Invariants: a plan changes nothing; nothing at all is applied while anything of the plan is refused;
an apply that failed half-way is finished by the next one.

Refused unless asked for by name: deleting a topic, and adding partitions, as a key's partition is
murmur2 modulo their number: users would move to partitions that do not have their state. Never
possible from here: fewer partitions, another replication factor.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal

import msgspec
import yaml
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it names no __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from pipeline.errors import AwawayError
from pipeline.ops.topics_file import Target, TopicsFile, TopicsFileError, WantedTopic, load_topics

__all__ = [
    "Change",
    "ClusterTopic",
    "Plan",
    "PlanRefusedError",
    "Target",
    "TopicsError",
    "TopicsFileError",
    "apply",
    "dump",
    "load_topics",
    "plan",
]

_REQUEST_TIMEOUT_S: Final = 15.0
_SETTLE_TIMEOUT_S: Final = 20.0
_SETTLE_POLL_S: Final = 0.1

ChangeKind = Literal["create", "configure", "add_partitions", "delete"]


class TopicsError(AwawayError):
    """The cluster did not answer, or refused a change.

    **Operator action**: look at the broker and at this client's rights, then apply again: what was
    done already is not done twice.
    """


class PlanRefusedError(TopicsError):
    """The plan has a change that is not made unless it is asked for by name. Nothing was applied.

    **Operator action**: read what the message says would be lost; if that is what you want, ask for
    it by name.
    """


class ClusterTopic(msgspec.Struct, frozen=True):
    """A topic as the cluster has it.

    Attributes:
        config: every setting and its value in force.
        own: names of the settings that the topic has of its own, not by default.
    """

    name: str
    partitions: int
    replication: int
    config: dict[str, str]
    own: frozenset[str]


class SettingChange(msgspec.Struct, frozen=True):
    """One setting: what it is, and what it is to be; None is the broker's default."""

    name: str
    now: str | None
    wanted: str | None


class Change(msgspec.Struct, frozen=True):
    """One difference.

    Attributes:
        settings: for create and configure.
        partitions, replication: as they are to be, for create and add_partitions.
        refused: why it is not made; None when it is.
    """

    kind: ChangeKind
    topic: str
    settings: tuple[SettingChange, ...] = ()
    partitions: int | None = None
    replication: int | None = None
    refused: str | None = None


class Plan(msgspec.Struct, frozen=True):
    """All differences.

    Attributes:
        unmanaged: topics under the prefix that the file does not have; they are left alone.
    """

    changes: tuple[Change, ...]
    unmanaged: tuple[str, ...]

    @property
    def refusals(self) -> list[str]:
        """Why the plan cannot be applied; empty when it can."""
        return [f"{c.topic}: {c.refused}" for c in self.changes if c.refused is not None]


class Permissions(msgspec.Struct, frozen=True):
    """What was asked for by name: full names of topics."""

    delete: frozenset[str] = frozenset()
    add_partitions: frozenset[str] = frozenset()


NOTHING_BY_NAME: Final = Permissions()


def read_cluster(admin: AdminClient) -> dict[str, ClusterTopic]:
    """Every topic of the cluster that is not Kafka's own.

    Raises:
        TopicsError: the broker does not answer.
    """
    try:
        metadata = admin.list_topics(timeout=_REQUEST_TIMEOUT_S)
    except KafkaException as error:
        raise _failure("the topics cannot be listed", error) from error
    names = [name for name in metadata.topics if not name.startswith("__")]
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    futures = (
        admin.describe_configs(resources, request_timeout=_REQUEST_TIMEOUT_S) if resources else {}
    )
    found = {}
    for resource, future in futures.items():
        entries = _result(future, "a topic's settings cannot be read", resource.name, tolerated=())
        parts = metadata.topics[resource.name].partitions
        found[resource.name] = ClusterTopic(
            name=resource.name,
            partitions=len(parts),
            replication=min((len(p.replicas) for p in parts.values()), default=0),
            config={e.name: e.value for e in entries.values() if e.value is not None},
            own=frozenset(
                e.name
                for e in entries.values()
                if e.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
            ),
        )
    return found


def plan(
    admin: AdminClient,
    file: TopicsFile,
    target: Target = Target(),  # noqa: B008 -- frozen
    by_name: Permissions = NOTHING_BY_NAME,
) -> Plan:
    """Compare the cluster with the file.

    Args:
        admin: connected to the cluster.
        file: `load_topics`.
        target: prefix, partitions and so on, where they differ from the file.
        by_name: full names of topics that may be deleted, or given partitions.

    Returns:
        The differences, those that would be refused among them.

    Raises:
        TopicsError: the broker does not answer.
        TopicsFileError: a name in `by_name` makes no sense.
    """
    return compare(read_cluster(admin), file, target, by_name)


def compare(
    cluster: Mapping[str, ClusterTopic], file: TopicsFile, target: Target, by_name: Permissions
) -> Plan:
    """As `plan`, of topics that were read before. Pure."""
    wanted = {topic.name: topic for topic in file.wanted(target)}
    _refuse_senseless_names(wanted, by_name)
    changes: list[Change] = []
    for name, topic in wanted.items():
        if name in cluster:
            changes += _differences(cluster[name], topic, name in by_name.add_partitions)
        else:
            changes.append(_creation(topic))
    changes += [Change("delete", name) for name in sorted(by_name.delete) if name in cluster]
    prefix = file.prefix if target.prefix is None else target.prefix
    unmanaged = sorted(
        name
        for name in cluster
        if name.startswith(prefix) and name not in wanted and name not in by_name.delete
    )
    return Plan(tuple(changes), tuple(unmanaged))


def _refuse_senseless_names(wanted: Collection[str], by_name: Permissions) -> None:
    for name in sorted(by_name.delete):
        if name in wanted:
            raise TopicsFileError(
                f"{name} is in topics.yaml and would be made again",
                fix="remove it from the file first",
                topic=name,
            )
    for name in sorted(by_name.add_partitions):
        if name not in wanted:
            raise TopicsFileError(
                f"{name} is not in topics.yaml",
                fix="write its full name, prefix included",
                topic=name,
            )


def _creation(topic: WantedTopic) -> Change:
    settings = tuple(SettingChange(n, None, value) for n, value in sorted(topic.config.items()))
    return Change("create", topic.name, settings, topic.partitions, topic.replication)


def _differences(now: ClusterTopic, wanted: WantedTopic, may_add_partitions: bool) -> list[Change]:
    found: list[Change] = []
    settings = [
        SettingChange(name, now.config.get(name), value)
        for name, value in sorted(wanted.config.items())
        if now.config.get(name) != value or name not in now.own
    ]
    settings += [
        SettingChange(name, now.config.get(name), None)
        for name in sorted(now.own - wanted.config.keys())
    ]
    if settings:
        found.append(Change("configure", now.name, tuple(settings)))
    if now.partitions != wanted.partitions:
        refused = None
        if now.partitions > wanted.partitions:
            refused = (
                f"it has {now.partitions} partitions and Kafka cannot take any away; set"
                f" `partitions: {now.partitions}`, or make a new topic and move the data"
            )
        elif not may_add_partitions:
            refused = (
                f"adding partitions ({now.partitions} to {wanted.partitions}) moves users to"
                " partitions that do not have their state; if the pipeline is rebuilt afterwards,"
                f" say --add-partitions {now.name}"
            )
        found.append(
            Change("add_partitions", now.name, partitions=wanted.partitions, refused=refused)
        )
    if wanted.replication is not None and now.replication != wanted.replication:
        found.append(
            Change(
                "configure",
                now.name,
                replication=wanted.replication,
                refused=f"it has {now.replication} replicas, not {wanted.replication}; reassign"
                " them with Kafka's kafka-reassign-partitions",
            )
        )
    return found


def apply(
    admin: AdminClient,
    file: TopicsFile,
    target: Target = Target(),  # noqa: B008 -- frozen
    by_name: Permissions = NOTHING_BY_NAME,
    clock: Callable[[], float] = time.monotonic,
) -> Plan:
    """Make the cluster as the file says, and wait until it shows.

    Args:
        admin, file, target, by_name: as for `plan`.
        clock: seconds of elapsed time.

    Returns:
        The plan that was carried out; empty when there was nothing to do.

    Raises:
        PlanRefusedError: something needs to be asked for by name. Nothing was changed.
        TopicsError: the broker refused or did not answer; apply again.
    """
    todo = plan(admin, file, target, by_name)
    if todo.refusals:
        raise PlanRefusedError(
            "the plan has changes that are refused",
            why="\n".join(todo.refusals),
            fix="mend topics.yaml, or ask for the change by name",
        )
    carry_out(admin, todo)
    deadline = clock() + _SETTLE_TIMEOUT_S
    while todo.changes and (left := plan(admin, file, target, by_name).changes):
        if clock() > deadline:
            names = ", ".join(sorted({change.topic for change in left}))
            raise TopicsError(
                "the cluster took the changes but does not show them",
                why=f"still different: {names}",
                fix="run `awaway topics plan`; somebody else may be changing the same topics",
            )
        time.sleep(_SETTLE_POLL_S)
    return todo


def carry_out(admin: AdminClient, todo: Plan) -> None:
    """Make the changes of a plan, without looking at the result.

    Raises:
        TopicsError: the broker refused one or did not answer; the others may have been made.
    """
    by_kind: dict[ChangeKind, list[Change]] = {}
    for change in todo.changes:
        by_kind.setdefault(change.kind, []).append(change)
    if creates := by_kind.get("create"):
        made = admin.create_topics(
            [_new_topic(change) for change in creates], operation_timeout=_REQUEST_TIMEOUT_S
        )
        _await(made, "a topic cannot be made", (KafkaError.TOPIC_ALREADY_EXISTS,))
    if configures := by_kind.get("configure"):
        set_ = admin.incremental_alter_configs([_config_resource(change) for change in configures])
        _await(set_, "a topic's settings cannot be changed", ())
    if grows := by_kind.get("add_partitions"):
        grown = admin.create_partitions(
            [NewPartitions(change.topic, change.partitions or 0) for change in grows],
            operation_timeout=_REQUEST_TIMEOUT_S,
        )
        _await(grown, "partitions cannot be added", ())
    if deletes := by_kind.get("delete"):
        gone = admin.delete_topics(
            [change.topic for change in deletes], operation_timeout=_REQUEST_TIMEOUT_S
        )
        _await(gone, "a topic cannot be deleted", (KafkaError.UNKNOWN_TOPIC_OR_PART,))


def _new_topic(change: Change) -> NewTopic:
    return NewTopic(
        change.topic,
        num_partitions=change.partitions or 0,
        replication_factor=-1 if change.replication is None else change.replication,
        config={setting.name: str(setting.wanted) for setting in change.settings},
    )


def _config_resource(change: Change) -> ConfigResource:
    entries = [
        ConfigEntry(
            setting.name,
            setting.wanted,
            incremental_operation=(
                AlterConfigOpType.DELETE if setting.wanted is None else AlterConfigOpType.SET
            ),
        )
        for setting in change.settings
    ]
    return ConfigResource(ResourceType.TOPIC, change.topic, incremental_configs=entries)


def _await(futures: Mapping[Any, Any], what: str, tolerated: tuple[int, ...]) -> None:
    for key, future in futures.items():
        _result(future, what, getattr(key, "name", key), tolerated)


def _result(future: Any, what: str, topic: str, tolerated: tuple[int, ...]) -> Any:
    try:
        return future.result(_REQUEST_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() in tolerated:
            return None
        raise _failure(f"{what}: {topic}", error) from error
    except TimeoutError as error:
        raise TopicsError(
            f"{what}: {topic}",
            why=f"no answer within {_REQUEST_TIMEOUT_S:.0f} s",
            fix="look at the broker, then try again",
        ) from error


def _failure(what: str, error: KafkaException) -> TopicsError:
    return TopicsError(
        what,
        why=str(error.args[0].str()),
        fix="check AWAWAY_BOOTSTRAP_SERVERS, the broker, and this client's rights; then try again",
        kafka_error=error.args[0].name(),
    )


def dump(admin: AdminClient, prefix: str) -> str:
    """What the cluster has, as YAML.

    Args:
        admin: connected to the cluster.
        prefix: only topics whose names begin so; "" for all.

    Returns:
        Name, partitions, replication and own settings of each topic, sorted by name.
    """
    topics = [
        {
            "name": topic.name,
            "partitions": topic.partitions,
            "replication": topic.replication,
            "settings": {
                name: topic.config[name] for name in sorted(topic.own & topic.config.keys())
            },
        }
        for name, topic in sorted(read_cluster(admin).items())
        if name.startswith(prefix)
    ]
    return yaml.safe_dump({"topics": topics}, sort_keys=False)
