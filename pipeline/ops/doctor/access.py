"""Whether a cluster's access rules are those that follow from topics.yaml.

Owns: when a rule of the cluster grants what a principal needs, and which grants nobody asked for.
Does not own: the rules that follow from the file (ops/topics/acls.py), asking the cluster for its
own (brokers.py).
Invariants: pure. It follows Kafka's authorizer: a denial wins over whatever allows, `*` is
everybody or everything, and some operations imply others.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from pipeline.ops.topics.acls import Rule

EVERYBODY: Final = "*"
_IMPLIED_BY: Final = {
    "Describe": frozenset({"Read", "Write", "Delete", "Alter"}),
    "DescribeConfigs": frozenset({"AlterConfigs"}),
}


class Granted(NamedTuple):
    """A rule of the cluster.

    Attributes:
        principal: without `User:`; `*` is everybody.
        resource: as `Rule` has it. name: `*` is every one; empty for the cluster.
        operation: as kafka-acls names it, or `All`.
    """

    principal: str
    resource: str
    name: str
    is_prefixed: bool
    operation: str
    is_allowed: bool = True

    def is_of(self, principal: str) -> bool:
        """Whether it speaks of a principal."""
        return self.principal in (principal, EVERYBODY)

    def covers(self, resource: str, name: str, is_prefixed: bool) -> bool:
        """Whether it speaks of a resource, or of all whose names begin as `name` does."""
        if self.resource != resource:
            return False
        if self.is_prefixed:
            return name.startswith(self.name)
        return self.name == EVERYBODY or (self.name == name and not is_prefixed)


def missing(wanted: Iterable[Rule], granted: Sequence[Granted]) -> list[str]:
    """What principals need and may not, one line each, as kafka-acls wants it to be added."""
    found = []
    for rule in wanted:
        lacking = tuple(
            operation for operation in rule.operations if not _may(rule, operation, granted)
        )
        if lacking:
            found.append(
                Rule(rule.principal, rule.resource, rule.name, lacking, rule.pattern).arguments()
            )
    return found


def _may(rule: Rule, operation: str, granted: Sequence[Granted]) -> bool:
    is_prefixed = rule.pattern == "prefixed"
    speaking = [
        one
        for one in granted
        if one.is_of(rule.principal) and one.covers(rule.resource, rule.name, is_prefixed)
    ]
    denied = {one.operation for one in speaking if not one.is_allowed}
    allowed = {one.operation for one in speaking if one.is_allowed}
    suffices = {operation, "All", *_IMPLIED_BY.get(operation, ())}
    return bool(allowed & suffices) and not denied & {operation, "All"}


def unasked(
    wanted: Collection[Rule], granted: Iterable[Granted], topics: Sequence[str]
) -> list[str]:
    """Who may write our topics although topics.yaml does not say so, one line each.

    Args:
        topics: the full names of ours.
    """
    may_write = {
        (rule.principal, rule.name)
        for rule in wanted
        if rule.resource == "topic" and "Write" in rule.operations
    }
    found: dict[str, list[str]] = {}
    for one in granted:
        if not one.is_allowed or one.operation not in ("Write", "All"):
            continue
        for topic in topics:
            if one.covers("topic", topic, False) and (one.principal, topic) not in may_write:
                found.setdefault(one.principal, []).append(topic)
    return [
        f"{principal if principal != EVERYBODY else 'everybody'} may write {', '.join(names)}"
        for principal, names in found.items()
    ]
