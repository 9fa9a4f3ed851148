"""A cluster's topics, read and changed.

Owns: the client, every request that changes topics, and the reading of what a plan compares.
Does not own: what is to be changed (plan.py), when (sync.py), other questions about topics
(kafka/admin.py).
Invariant: each request is bounded in time, and each can be made again.
"""

import time
from collections.abc import Collection, Mapping
from typing import Any, Final

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
from pipeline.ops.topics.plan import Change, ChangeKind, ClusterTopic, Plan

_REQUEST_TIMEOUT_S: Final = 15.0
_AGAIN_S: Final = 0.1


class TopicsError(AwawayError):
    """The cluster did not answer, or refused a change.

    **Operator action**: look at the broker and at this client's rights, then apply again: what was
    done already is not done twice.
    """


def connect(client: Mapping[str, Any]) -> AdminClient:
    """Return an admin client that logs nothing to stderr: each failure is raised as an error.

    Args:
        client: librdkafka settings that reach the cluster.
    """
    return AdminClient({"log_level": 0, **client})


def read_cluster(
    admin: AdminClient, prefix: str, also: Collection[str] = ()
) -> dict[str, ClusterTopic]:
    """The topics of the cluster under a prefix, Kafka's own excepted.

    Args:
        admin: connected to the cluster.
        prefix: of the names; others are not asked about, as we may have no right to.
        also: further names, taken where they are there.

    Raises:
        TopicsError: the broker does not answer.
    """
    deadline_s = time.monotonic() + _REQUEST_TIMEOUT_S
    while (found := _read_once(admin, prefix, also, time.monotonic() < deadline_s)) is None:
        time.sleep(_AGAIN_S)
    return found


def _read_once(
    admin: AdminClient, prefix: str, also: Collection[str], may_be_changing: bool
) -> dict[str, ClusterTopic] | None:
    """The topics, or None where one that was listed has no settings: it has just come or gone."""
    try:
        metadata = admin.list_topics(timeout=_REQUEST_TIMEOUT_S)
    except KafkaException as error:
        raise _failure("the topics cannot be listed", error) from error
    names = [
        name
        for name in metadata.topics
        if name in also or (name.startswith(prefix) and not name.startswith("__"))
    ]
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    futures = (
        admin.describe_configs(resources, request_timeout=_REQUEST_TIMEOUT_S) if resources else {}
    )
    tolerated = (KafkaError.UNKNOWN_TOPIC_OR_PART,) if may_be_changing else ()
    found = {}
    for resource, future in futures.items():
        entries = _result(future, "a topic's settings cannot be read", resource.name, tolerated)
        if entries is None:
            return None
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
