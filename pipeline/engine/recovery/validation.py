"""Decide whether a restored state is the group's, and may be processed from there.

Owns: what is compared with what, and what an operator reads where it differs.
Does not own: restoring (restore.py), what becomes of a refused partition (ownership.py).
Invariant: validation returns a checkpoint with a position for each input, all of them still in the
inputs, or refuses; nothing is guessed.

Which one counts where they differ (docs/adr/0018): the checkpoint is in the log, committed by the
same transaction as the group's offsets. So where the checkpoint is ahead, the group lost offsets,
and they are repaired. Where it is behind, or there is none, the changelog was lost, and the
partition is refused.
"""

from collections.abc import Collection, Mapping

from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import GenerationTermsError, PartitionRefusedError
from pipeline.engine.ports import TopicPartition, Watermarks
from pipeline.engine.state.checkpoint import FORMAT, Checkpoint
from pipeline.engine.state.store import PartitionStore


def matches_offsets(checkpoint: Checkpoint | None, committed: Mapping[str, int | None]) -> bool:
    """Return whether each committed offset, where there is one, is the checkpoint's."""
    return checkpoint is not None and all(
        offset is None or checkpoint.next_offsets.get(topic) == offset
        for topic, offset in committed.items()
    )


def reasons_to_quarantine(
    checkpoint: Checkpoint | None, committed: Mapping[str, int | None]
) -> list[str]:
    """Return why its owner's store may contain a lost transaction; empty if it surely does not.

    A broker that dies can lose a commit that it acknowledged (docs/adr/0017), and a store that
    applied it is ahead of the group. This is not for a standby, which was read from the changelogs.
    """
    if checkpoint is None:
        return []
    if unknown := [topic for topic, offset in committed.items() if offset is None]:
        return [f"the group has no offset of {', '.join(unknown)} to compare it with"]
    if any(checkpoint.next_offsets.get(topic, 0) > (at or 0) for topic, at in committed.items()):
        return [
            f"it contains more than the group's offsets {committed}: the broker lost a transaction"
            " that was committed, or someone reset them"
        ]
    return []


def covers(checkpoint: Checkpoint, committed: Mapping[str, int | None]) -> bool:
    """Return whether the checkpoint contains all inputs that the group says are done.

    The checkpoint was committed by the same transaction as its offsets. So where the group's are
    behind, the group lost them, or never received the last transaction's marker (docs/adr/0018).
    """
    at = checkpoint.next_offsets
    return all(
        offset is None or (topic in at and offset <= at[topic])
        for topic, offset in committed.items()
    )


def validated_checkpoint(
    config: EngineConfig,
    store: PartitionStore,
    committed: Mapping[str, int | None],
    from_start: Collection[str],
    inputs: Mapping[TopicPartition, Watermarks],
) -> Checkpoint:
    """Return the checkpoint to go on from, completed with a position for each input.

    Args:
        config: of the engine.
        store: restored to the end of its changelogs.
        committed: the group's offset of each input.
        from_start: changelogs that still have their first records, and were not rewritten.
        inputs: watermarks of the partition's inputs.

    Raises:
        PartitionRefusedError: the state is not the group's.
        GenerationTermsError: the state was begun under other terms.
    """
    partition, checkpoint = store.partition, store.checkpoint
    if checkpoint is None:
        if any(offset is not None for offset in committed.values()):
            raise PartitionRefusedError(
                f"partition {partition}: the group has committed offsets {committed}, but its"
                " changelogs are empty",
                fix="restore the changelog topics from a backup, or start a new generation"
                " (AWAWAY_GENERATION), which rebuilds everything from the raw topics",
            )
        checkpoint = Checkpoint(FORMAT, config.generation, {}, b"", config.terms)
    elif not covers(checkpoint, committed):
        raise PartitionRefusedError(
            f"partition {partition}: the state contains inputs up to {checkpoint.next_offsets},"
            f" the group's committed offsets are {committed}",
            fix="someone set the group's offsets forward, or the changelogs lost their end: set the"
            " offsets to those of the state with the worker stopped, or start a new generation",
        )
    _check_terms(config, partition, checkpoint)
    _check_whole(config, store, checkpoint, from_start)
    positions = _positions(config, checkpoint, partition, inputs)
    return Checkpoint(FORMAT, config.generation, positions, checkpoint.attachment, config.terms)


def _check_terms(config: EngineConfig, partition: int, checkpoint: Checkpoint) -> None:
    if checkpoint.terms not in ("", config.terms):
        raise GenerationTermsError(
            f"partition {partition}: generation {config.generation!r} was begun with"
            f" {checkpoint.terms}, this worker has {config.terms}",
            fix="set it back in the policy; or start a new generation (AWAWAY_GENERATION) with the"
            " new value, which rebuilds everything from the raw topics",
        )


def _check_whole(
    config: EngineConfig, store: PartitionStore, checkpoint: Checkpoint, from_start: Collection[str]
) -> None:
    partition = store.partition
    if unfinished := [t.changelog for t in config.tables if store.is_partial(t)]:
        raise PartitionRefusedError(
            f"partition {partition}: {', '.join(unfinished)} was recreated, and does not have the"
            " whole state: it is rewritten by the worker whose disk has it",
            fix="start the worker whose disk has the partition's state, alone if others get the"
            " partition; or restore the changelog from a backup, or start a new generation",
        )
    lost = [topic for topic in from_start if store.positions.get(topic) is None]
    if checkpoint.next_offsets and lost:
        raise PartitionRefusedError(
            f"partition {partition}: there is state, but nothing was ever written to"
            f" {', '.join(lost)}",
            fix="the changelog was recreated: restore it from a backup, or start a new generation",
        )


def _positions(
    config: EngineConfig,
    checkpoint: Checkpoint,
    partition: int,
    inputs: Mapping[TopicPartition, Watermarks],
) -> dict[str, int]:
    """Return the next offset of each input; the earliest at a generation's very first start."""
    first_start = not checkpoint.next_offsets
    positions = {}
    for topic in config.inputs:
        low, high = inputs[TopicPartition(topic, partition)]
        position = checkpoint.next_offsets.get(topic, low if first_start else 0)
        if not low <= position <= high:
            raise PartitionRefusedError(
                f"partition {partition}: next offset of {topic} is {position}, the topic has"
                f" {low} to {high}",
                fix="raw records aged out unread or the topic was recreated: restore it, or"
                " start a new generation",
            )
        positions[topic] = position
    return positions


def undecided(store: PartitionStore, changelog: str) -> PartitionRefusedError:
    """Return the refusal of a partition where only offsets that expired could decide.

    Neither its store nor the recreated changelog is known to be the state.
    """
    checkpoint = store.checkpoint
    at = {} if checkpoint is None else checkpoint.next_offsets
    return PartitionRefusedError(
        f"partition {store.partition}: the group's offsets expired, {changelog} was recreated, and"
        f" the local store contains inputs up to {at}",
        fix="if this disk has the last state, set the group's offsets to those; if another worker"
        " rewrote the changelog, move this worker's folder of the partition away",
    )
