"""Who may do what with each topic, as `topics.yaml` says.

Owns: the access rules that follow from the file.
Does not own: setting them (Kafka's own kafka-acls, or whatever manages the cluster's users).
Invariant: nobody reads or writes a changelog but the workers; a reader's rule includes its group.
"""

import msgspec

from pipeline.ops.topics_file import Target, TopicsFile


class Rule(msgspec.Struct, frozen=True):
    """One principal and one resource.

    Attributes:
        principal: without `User:`.
        resource: topic or group.
        operations: as kafka-acls names them.
    """

    principal: str
    resource: str
    name: str
    operations: tuple[str, ...]


def rules(file: TopicsFile, target: Target) -> list[Rule]:
    """Every rule, in the order of the file, each once."""
    found: dict[Rule, None] = {}
    for wanted in file.wanted(target):
        for principal in wanted.topic.write:
            found[Rule(principal, "topic", wanted.name, ("Write", "Describe"))] = None
        for principal in wanted.topic.read:
            found[Rule(principal, "topic", wanted.name, ("Read", "Describe"))] = None
            found[Rule(principal, "group", principal, ("Read",))] = None
    return list(found)
