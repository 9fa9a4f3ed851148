"""Checks of who reads: the pipeline's own group, its lag, and the downstream groups.

Owns: these checks, and what to do about what they find.
Does not own: measuring a group (ops/delivery), the brokers (brokers.py).
Invariants: nothing is changed, and no group is joined.
"""

from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.kafka.admin import LONGEST_S, OFFSETS_TOPIC, keep
from pipeline.kafka.errors import unreadable
from pipeline.ops.delivery.measure import DeliveryReader, wanted_of, with_states
from pipeline.ops.doctor.finding import REQUEST_S, Finding, Subject

_CHANGELOG: Final = ".streaks-changelog"
_START: Final = "start one: `awaway worker`"


def workers(subject: Subject) -> Finding:
    """Whether workers of this generation are there, and own every partition."""
    settings = subject.settings
    admin = AdminClient(subject.client)
    try:
        cluster = admin.list_topics(timeout=REQUEST_S).topics
        group = _described(admin, settings.group_id)
    except (KafkaException, TimeoutError) as error:
        raise unreadable("the workers' group cannot be described", error) from error
    prefix = settings.topic_prefix
    others = sorted(
        name.removeprefix(prefix).removesuffix(_CHANGELOG)
        for name in cluster
        if name.startswith(prefix) and name.endswith(_CHANGELOG)
    )
    others = [name for name in others if name != settings.generation]
    also = f"; there are changelogs of {', '.join(others)}, too" if others else ""
    members: Sequence[Any] = () if group is None else group.members
    who = f"generation {settings.generation}"
    if not members:
        fix = f"{_START}; of another generation, set AWAWAY_GENERATION" if others else _START
        return Finding("workers", "fail", f"{who}: none is running{also}", fix)
    slots = sorted(str(one.group_instance_id or one.client_id) for one in members)
    said = f"{who}: {len(members)} running ({', '.join(slots)}){also}"
    if group.state.name != "STABLE":
        fix = "ask again in a minute; if it stays so: docs/runbooks/rebalancing.md"
        return Finding("workers", "warn", f"{said}; the group is rebalancing", fix)
    completions = settings.topic("completions")
    owned = {
        one.partition
        for member in members
        for one in (member.assignment.topic_partitions if member.assignment else ())
        if one.topic == completions
    }
    ownerless = set(cluster[completions].partitions) - owned if completions in cluster else set()
    if ownerless:
        fix = "see what the workers log; docs/runbooks/no-partitions-assigned.md"
        said += f"; nobody owns the partitions {sorted(ownerless)}"
        return Finding("workers", "fail", said, fix)
    return Finding("workers", "ok", said)


def _described(admin: AdminClient, group_id: str) -> Any:
    admin.list_topics(OFFSETS_TOPIC, timeout=REQUEST_S)
    asked = admin.describe_consumer_groups([group_id], request_timeout=LONGEST_S)[group_id]
    keep(admin, [asked])
    try:
        return asked.result(REQUEST_S)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return None
        raise


def lag(subject: Subject) -> Finding:
    """Whether the workers keep up with the inputs."""
    settings, bound_ms = subject.settings, subject.bounds.lag_ms
    wanted = {settings.topic(n): {settings.group_id: bound_ms} for n in ("completions", "commands")}
    with DeliveryReader(subject.client, wanted, REQUEST_S) as reader:
        found = reader.measure()
    now_ms = subject.now_ms()
    problems = [f"{one.topic}: {said}" for one in found for said in one.problems(now_ms)]
    if problems:
        fix = "docs/runbooks/time-lag-high.md"
        return Finding("lag", "fail", "; ".join(problems), fix)
    count = sum(one.lag_records for one in found)
    return Finding("lag", "ok", f"{count:,} inputs wait" if count else "no input waits")


def delivery(subject: Subject) -> Finding:
    """Whether the downstream groups keep up."""
    wanted = wanted_of(subject.topics, subject.target)
    with DeliveryReader(subject.client, wanted, REQUEST_S) as reader:
        found = with_states(subject.client, reader.measure(), REQUEST_S)
    now_ms = subject.now_ms()
    late = [one for one in found if one.problems(now_ms)]
    if late:
        said = "; ".join(f"{one.group} on {one.topic}: {one.problems(now_ms)[0]}" for one in late)
        return Finding("delivery", "warn", said, f"`awaway delivery`; {late[0].advice()}")
    idle = dict.fromkeys(one.group for one in found if one.notes())
    also = f"; without members or offsets: {', '.join(idle)}" if idle else ""
    return Finding("delivery", "ok", f"{len(found)} downstream readers keep up{also}")
