"""Checks of the brokers: whether they answer, as whom, their topics and their access rules.

Owns: these checks, and what to do about what they find.
Does not own: the workers and their lag (workers.py), what is in the topics (records.py), the
differences of topics (ops/topics/plan.py) and of access rules (access.py).
Invariants: nothing is changed; each question is bounded in time.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it names no __all__
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from pipeline.kafka.admin import ANSWER_GRACE_S, OFFSETS_TOPIC
from pipeline.kafka.errors import unreadable
from pipeline.kafka.principal import LOCAL, principal_of
from pipeline.ops.doctor.access import Granted, missing, unasked
from pipeline.ops.doctor.finding import REQUEST_S, Finding, Subject
from pipeline.ops.topics.acls import rules
from pipeline.ops.topics.admin import connect, read_cluster
from pipeline.ops.topics.file import Target
from pipeline.ops.topics.plan import NOTHING_BY_NAME, Change, compare

_NAMED_MAX: Final = 3
_ADVICE: Final[Mapping[int, str]] = {
    KafkaError._AUTHENTICATION: "check the sasl settings in AWAWAY_KAFKA; `awaway worker"
    " --show-config` prints them, secrets masked",
    KafkaError._SSL: "check ssl.ca.location and the dates of the certificates",
    KafkaError._RESOLVE: "check the names in AWAWAY_BOOTSTRAP_SERVERS, and this machine's DNS",
}
_RESOURCES: Final = {
    ResourceType.TOPIC: "topic",
    ResourceType.GROUP: "group",
    ResourceType.BROKER: "cluster",
    ResourceType.TRANSACTIONAL_ID: "transactional-id",
}


def brokers(subject: Subject) -> Finding:
    """Whether the brokers answer."""
    heard: list[Any] = []
    settings: dict[str, Any] = {**subject.client, "error_cb": heard.append}
    admin = AdminClient(settings)
    started_s = time.monotonic()
    try:
        found = admin.list_topics(OFFSETS_TOPIC, timeout=REQUEST_S)
    except KafkaException as error:
        admin.poll(0)
        causes = {one.code(): one.str() for one in [error.args[0], *heard]}
        code = next((code for code in causes if code in _ADVICE), error.args[0].code())
        at = subject.settings.bootstrap_servers
        advice = _ADVICE.get(code, f"start them, or correct AWAWAY_BOOTSTRAP_SERVERS (now {at})")
        why = causes[code] if code in _ADVICE or not heard else heard[-1].str()
        return Finding("brokers", "fail", f"they do not answer: {why}", advice)
    took_ms = (time.monotonic() - started_s) * 1000
    said = f"{len(found.brokers)} in cluster {found.cluster_id}, answered in {took_ms:.0f} ms"
    return Finding("brokers", "ok", said)


def credentials(subject: Subject) -> Finding:
    """As whom this client is known, and whether its password is readable on the way."""
    client = subject.client
    principal = principal_of(client)
    protocol = str(client.get("security.protocol", "plaintext")).lower()
    if principal.startswith(LOCAL):
        return Finding("credentials", "ok", "none, and the brokers ask for none")
    mechanism = str(client.get("sasl.mechanism") or client.get("sasl.mechanisms") or "").upper()
    if protocol == "sasl_plaintext" and mechanism == "PLAIN":
        return Finding(
            "credentials",
            "warn",
            f"{principal}, whose password goes over the network in clear",
            "use security.protocol=sasl_ssl",
        )
    return Finding("credentials", "ok", f"{principal}, taken by the brokers")


def topics(subject: Subject) -> Finding:
    """Whether the topics are those of topics.yaml."""
    settings, file = subject.settings, subject.topics
    cluster = read_cluster(connect(subject.client), settings.topic_prefix)
    names = [wanted.name for wanted in file.wanted(subject.target)]
    counts = {cluster[name].partitions for name in names if name in cluster}
    # Applied with another number of partitions, for all topics: that is no difference.
    count = counts.pop() if len(counts) == 1 else file.partitions
    target = Target(settings.topic_prefix, count, generation=settings.generation)
    plan = compare(cluster, file, target, NOTHING_BY_NAME)
    if not plan.changes:
        other = f"; {len(plan.unmanaged)} more that the file does not have" * bool(plan.unmanaged)
        said = f"{len(names)} with {count} partitions each, as topics.yaml has them{other}"
        return Finding("topics", "ok", said)
    shown = "; ".join(_difference(change) for change in plan.changes[:_NAMED_MAX])
    more = f"; and {len(plan.changes) - _NAMED_MAX} more" * (len(plan.changes) > _NAMED_MAX)
    fix = "`awaway topics plan` shows all, `awaway topics apply` makes it so"
    return Finding("topics", "fail", f"{shown}{more}", fix)


def _difference(change: Change) -> str:
    if change.kind == "create":
        return f"{change.topic} is not there"
    if change.refused is not None:
        return f"{change.topic}: {change.refused}"
    wrong = ", ".join(f"{one.name}={one.now}, not {one.wanted}" for one in change.settings)
    return f"{change.topic} has {wrong}"


def acls(subject: Subject) -> Finding:
    """Whether the cluster's access rules are those that follow from topics.yaml."""
    try:
        granted = _granted(AdminClient(subject.client))
    except KafkaException as error:
        if error.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            said = "this principal may not see the access rules"
            return Finding("acls", "skipped", said, "ask as one of topics.yaml's observers")
        if error.args[0].code() != KafkaError.SECURITY_DISABLED:
            raise unreadable("the access rules cannot be read", error) from error
        granted = []
    if not granted:  # librdkafka 2.16 tells so of brokers that have no authorizer
        said = "the brokers have no access rules: everybody may do everything"
        return Finding("acls", "skipped", said, "for production, see `awaway topics acls`")
    wanted = rules(subject.topics, subject.target)
    if lacking := missing(wanted, granted):
        more = f"; and {len(lacking) - 1} more" * (len(lacking) > 1)
        return Finding(
            "acls",
            "fail",
            f"not granted: kafka-acls {lacking[0]}{more}",
            "`awaway topics acls` prints all that are needed; grant them with kafka-acls",
        )
    names = [one.name for one in subject.topics.wanted(subject.target)]
    if extra := unasked(wanted, granted, names):
        fix = "take it back, or name the principal under `write` in topics.yaml"
        return Finding("acls", "warn", "; ".join(extra[:_NAMED_MAX]), fix)
    return Finding("acls", "ok", f"the {len(wanted)} rules of topics.yaml are granted")


def _granted(admin: AdminClient) -> list[Granted]:
    admin.list_topics(OFFSETS_TOPIC, timeout=REQUEST_S)
    anything: Any = None
    everything = AclBindingFilter(
        ResourceType.ANY,
        anything,
        ResourcePatternType.ANY,
        anything,
        anything,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    asked = admin.describe_acls(everything, request_timeout=REQUEST_S)
    return [
        Granted(
            one.principal.removeprefix("User:"),
            _RESOURCES[one.restype],
            "" if one.restype is ResourceType.BROKER else one.name,
            one.resource_pattern_type is ResourcePatternType.PREFIXED,
            one.operation.name.title().replace("_", ""),
            one.permission_type is AclPermissionType.ALLOW,
        )
        for one in asked.result(REQUEST_S + ANSWER_GRACE_S)
        if one.restype in _RESOURCES
    ]
