"""What one engine works on, and whether the topics fit it.

Owns: the engine's settings as values, and the checks of partition counts and of an assignment.
Does not own: where the values come from (app.py), what is done with them (machine.py).
Invariant: partition numbers mean the same in every input and every changelog.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipeline.engine.errors import IncompatibleTopicsError
from pipeline.engine.ports import Cluster, TopicPartition
from pipeline.engine.state.table_spec import TableSpec


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What one engine works on.

    Attributes:
        generation: of the state it writes.
        inputs: topics with equal partition counts; their partitions of one number share a state.
        tables: the changelog-backed tables of that state.
        records_max: in one transaction.
        wait_s: how long a poll waits for the first record.
        batch_s_target: a poll that took longer makes the next one smaller.
        clock: monotonic seconds.
        slot_id: this worker's `group.instance.id`.
        standbys: they are kept for the loss of this many other slots at once; 0 for none.
        terms: what a generation is begun with and keeps, in words, such as `cycle_days=108`.
        outputs: the other topics that its transactions write to.
        bulk_records_min: with so many changelog records to be read, opening a store for writing
            alone pays, and storing records lazily.
        expanded_min: lazy records that are expanded between two polls, or a quarter of the poll's
            records where that is more; 500 take some milliseconds.
    """

    generation: str
    inputs: tuple[str, ...]
    tables: tuple[TableSpec, ...]
    records_max: int = 10_000
    wait_s: float = 0.1
    batch_s_target: float = 1.0
    clock: Callable[[], float] = time.monotonic
    slot_id: str = ""
    standbys: int = 0
    terms: str = ""
    outputs: tuple[str, ...] = ()
    bulk_records_min: int = 20_000
    expanded_min: int = 500

    @property
    def written_topics(self) -> list[str]:
        """The topics that transactions write to: the changelogs, then the outputs."""
        return [*(table.changelog for table in self.tables), *self.outputs]

    def written(self, numbers: Iterable[int]) -> dict[TopicPartition, int | None]:
        """Everything that transactions over these partitions write to; no offset is known."""
        topics = self.written_topics
        return {TopicPartition(topic, number): None for topic in topics for number in numbers}


def check_partition_counts(config: EngineConfig, cluster: Cluster) -> None:
    """Check that inputs and changelogs are there, with equal partition counts.

    Raises:
        IncompatibleTopicsError: they are not.
    """
    topics = [*config.inputs, *(table.changelog for table in config.tables)]
    counts = cluster.partition_counts(topics)
    missing = [topic for topic in topics if topic not in counts]
    if missing:
        raise IncompatibleTopicsError(
            f"topics that are not there: {', '.join(missing)}", fix="awaway topics apply"
        )
    if len(set(counts.values())) != 1:
        raise IncompatibleTopicsError(
            f"inputs and changelogs need equal partition counts, they have {counts}",
            fix="a key's partition cannot change while there is state: set the counts back,"
            " or start a new generation with new topics",
        )


def assigned_numbers(partitions: Iterable[TopicPartition], inputs: Sequence[str]) -> list[int]:
    """The numbers of the assigned partitions, in order; each has to be there for every input.

    Raises:
        IncompatibleTopicsError: one is not.
    """
    topics_of: dict[int, set[str]] = defaultdict(set)
    for topic, number in partitions:
        topics_of[number].add(topic)
    for number, topics in topics_of.items():
        if topics != set(inputs):
            raise IncompatibleTopicsError(
                f"partition {number} was assigned for {sorted(topics)} only",
                fix="all workers of a group must subscribe to the same topics: stop others",
            )
    return sorted(topics_of)
