"""The engine's settings, and the check that the topics match them.

Owns: the engine's settings as values; the checks of partition counts and of an assignment.
Does not own: where the values come from (worker/app.py), what is done with them (machine.py).
Invariant: inputs and changelogs are co-partitioned: the same partitioner, the same count, so that
one partition number stands for the same keys in each.
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
    """The settings of one engine.

    Attributes:
        generation: of the state that it writes.
        inputs: topics with equal partition counts; their partitions of one number share one state.
        tables: the changelog-backed tables of that state.
        records_max: max records in one transaction.
        wait_s: max seconds that a poll waits for the first record.
        batch_s_target: seconds from a poll to its applied commit; after a longer one the next poll
            takes fewer records.
        clock: returns monotonic seconds.
        slot_id: this worker's `group.instance.id` and `transactional.id`.
        standbys: number of other slots whose loss at the same time the standbys cover; 0 for none.
        terms: the fixed parameters of the generation as text, such as `cycle_days=108`.
        outputs: the other topics that its transactions write to.
        bulk_records_min: changelog records to be restored from which on it pays to open the store
            for writing only, and to store the records lazily.
        expanded_min: min lazy records that are expanded between two polls; a quarter of the poll's
            records where that is more. 500 take some milliseconds.
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
        """All partitions that transactions over these numbers write to; the offsets are unknown."""
        topics = self.written_topics
        return {TopicPartition(topic, number): None for topic in topics for number in numbers}


def check_partition_counts(config: EngineConfig, cluster: Cluster) -> None:
    """Check that inputs and changelogs exist and have equal partition counts.

    Raises:
        IncompatibleTopicsError: they do not.
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
    """The numbers of the assigned partitions, in order; each must be assigned for every input.

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
