"""Who may do what on the cluster, as `topics.yaml` says.

Owns: the access rules that follow from the file.
Does not own: setting them (Kafka's own kafka-acls, or whatever manages the cluster's users).
Invariants: nobody writes a changelog but the workers; a reader's rule includes its group;
who writes a changelog is a worker, and has what its transactions and its checks at start need.
"""

from typing import Literal

import msgspec

from pipeline.ops.topics.file import Target, TopicsFile


class Rule(msgspec.Struct, frozen=True):
    """One principal and one resource.

    Attributes:
        principal: without `User:`.
        resource: what kind of thing.
        name: of the thing, or how its name begins; empty for the cluster.
        operations: as kafka-acls names them.
        pattern: whether `name` is the whole name.
    """

    principal: str
    resource: Literal["topic", "group", "transactional-id", "cluster"]
    name: str
    operations: tuple[str, ...]
    pattern: Literal["literal", "prefixed"] = "literal"

    def arguments(self) -> str:
        """Arguments of kafka-acls."""
        operations = " ".join(f"--operation {operation}" for operation in self.operations)
        prefixed = "" if self.pattern == "literal" else f" --resource-pattern-type {self.pattern}"
        resource = f"--{self.resource} {self.name}".rstrip()
        return f"--add --allow-principal User:{self.principal} {operations} {resource}{prefixed}"


def rules(file: TopicsFile, target: Target) -> list[Rule]:
    """Every rule, in the order of the file, each once.

    A worker's group is named after the ledger's generation; its readers of changelogs, and the
    transactional ids of its slots, begin alike. It asks for the settings of brokers and topics, and
    starts only on those that its promises lean on. Who writes a topic of kind control sees how far
    the workers' group is; an observer sees every group, setting and rule, and no record by that.
    """
    found: dict[Rule, None] = {}
    wanted_topics = file.wanted(target)
    workers = dict.fromkeys(
        principal
        for wanted in wanted_topics
        if wanted.topic.kind == "changelog"
        for principal in wanted.topic.write
    )
    prefix = file.prefix if target.prefix is None else target.prefix
    ledger = f"{prefix}{target.generation}"
    for wanted in wanted_topics:
        for principal in wanted.topic.write:
            found[Rule(principal, "topic", wanted.name, ("Write", "Describe"))] = None
            if wanted.topic.kind == "control":
                found[Rule(principal, "group", ledger, ("Describe",), "prefixed")] = None
        for principal in wanted.topic.read:
            found[Rule(principal, "topic", wanted.name, ("Read", "Describe"))] = None
            if principal not in workers:
                found[Rule(principal, "group", principal, ("Read",))] = None
        for principal in workers:
            found[Rule(principal, "topic", wanted.name, ("DescribeConfigs",))] = None
    for principal in workers:
        found[Rule(principal, "group", ledger, ("Read", "Describe"), "prefixed")] = None
        allowed = ("Write", "Describe")
        found[Rule(principal, "transactional-id", ledger, allowed, "prefixed")] = None
        found[Rule(principal, "cluster", "", ("DescribeConfigs", "Describe"))] = None
    groups = dict.fromkeys(group for wanted in wanted_topics for group in wanted.topic.downstream)
    for principal in file.observers:
        found[Rule(principal, "group", ledger, ("Describe",), "prefixed")] = None
        for group in groups:
            found[Rule(principal, "group", group, ("Describe",))] = None
        for wanted in wanted_topics:
            found[Rule(principal, "topic", wanted.name, ("Describe", "DescribeConfigs"))] = None
        found[Rule(principal, "cluster", "", ("DescribeConfigs", "Describe"))] = None
    return list(found)
