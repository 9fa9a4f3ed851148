"""The differences between a cluster's topics and `topics.yaml`.

Owns: what differs, and what is refused unless it is asked for by name.
Does not own: reading and changing a cluster (admin.py), the file (file.py).
Invariant: pure; a plan depends on the cluster, the file and what was named, and on nothing else.
"""

from collections.abc import Collection, Mapping
from typing import Final, Literal

import msgspec

from pipeline.ops.topics.file import Target, TopicsFile, TopicsFileError, WantedTopic

ChangeKind = Literal["create", "configure", "add_partitions", "delete"]


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
