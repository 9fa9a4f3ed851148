"""Topics as code: compare the cluster with `topics.yaml`, and make it so.

Owns: when a plan is carried out, and when it is not.
Does not own: the file (file.py), the differences (plan.py), requests to the cluster
(admin.py), printing (cli/topics.py).
Invariants: a plan changes nothing; nothing at all is applied while anything of the plan is refused;
an apply that failed half-way is finished by the next one.

Refused unless asked for by name: deleting a topic, and adding partitions, as a key's partition is
murmur2 modulo their number: users would move to partitions that do not have their state. Never
possible from here: fewer partitions, another replication factor.
"""

import time
from collections.abc import Callable
from typing import Final

import yaml
from confluent_kafka.admin import AdminClient

from pipeline.ops.topics.admin import TopicsError, carry_out, connect, read_cluster
from pipeline.ops.topics.file import Target, TopicsFile, TopicsFileError, load_topics
from pipeline.ops.topics.plan import (
    NOTHING_BY_NAME,
    Change,
    ClusterTopic,
    Permissions,
    Plan,
    compare,
)

__all__ = [
    "NOTHING_BY_NAME",
    "Change",
    "ClusterTopic",
    "Permissions",
    "Plan",
    "PlanRefusedError",
    "Target",
    "TopicsError",
    "TopicsFileError",
    "apply",
    "carry_out",
    "compare",
    "connect",
    "dump",
    "load_topics",
    "plan",
    "read_cluster",
]

_SETTLE_TIMEOUT_S: Final = 20.0
_SETTLE_POLL_S: Final = 0.1


class PlanRefusedError(TopicsError):
    """The plan has a change that is not made unless it is asked for by name. Nothing was applied.

    **Operator action**: read what the message says would be lost; if that is what you want, ask for
    it by name.
    """


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
    prefix = file.prefix if target.prefix is None else target.prefix
    return compare(read_cluster(admin, prefix, by_name.delete), file, target, by_name)


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
        for _, topic in sorted(read_cluster(admin, prefix).items())
    ]
    return yaml.safe_dump({"topics": topics}, sort_keys=False)
