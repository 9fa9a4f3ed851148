"""The checkpoints that a transaction writes to the changelogs.

Owns: which checkpoints a transaction writes, and the changelog positions after them.
Does not own: a checkpoint's bytes (state/checkpoint.py), the transaction (machine.py).
Invariant: each changelog partition whose inputs moved gets one checkpoint, as the last record of
the transaction there, so the offset after it is where a restore reads on.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import TypeAlias

from pipeline.engine.batch import OpenPartition
from pipeline.engine.config import EngineConfig
from pipeline.engine.ports import TopicPartition, TransactionalProducer
from pipeline.engine.state.checkpoint import CHECKPOINT_KEY, FORMAT, Checkpoint, encode_checkpoint

ChangelogPositions: TypeAlias = dict[int, dict[str, tuple[str, int]]]
"""By partition number and changelog: the topic's UUID and the offset to read on from."""


def produce_checkpoints(
    config: EngineConfig,
    producer: TransactionalProducer,
    next_offsets: Mapping[TopicPartition, int],
    opened: Mapping[int, OpenPartition],
    topic_ids: Mapping[str, str],
) -> tuple[dict[int, Checkpoint], ChangelogPositions]:
    """Produce a checkpoint to each changelog of each partition whose inputs moved.

    Args:
        next_offsets: of the inputs, after this transaction.
        opened: the open partitions, by number.
        topic_ids: UUIDs of the changelogs, as they were when the partitions were restored.

    Returns:
        The checkpoints by partition number, and the changelog positions, which are filled in once
        the producer was flushed.
    """
    moved: dict[int, dict[str, int]] = defaultdict(dict)
    for source, next_offset in next_offsets.items():
        moved[source.partition][source.topic] = next_offset
    checkpoints: dict[int, Checkpoint] = {}
    positions: ChangelogPositions = defaultdict(dict)
    for number, offsets in moved.items():
        partition = opened[number]
        checkpoints[number] = checkpoint = Checkpoint(
            FORMAT,
            config.generation,
            partition.next_offsets | offsets,
            partition.attachment,
            config.terms,
        )
        for table in config.tables:
            topic_id = topic_ids[table.changelog]

            def note(
                offset: int, of: int = number, topic: str = table.changelog, its: str = topic_id
            ) -> None:
                positions[of][topic] = (its, offset + 1)

            raw = encode_checkpoint(checkpoint, topic_id)
            producer.produce(table.changelog, number, CHECKPOINT_KEY, raw, None, note)
    return checkpoints, positions
