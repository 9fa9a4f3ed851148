"""The engine's errors, each with what an operator does about it.

Owns: the engine's errors. Does not own: errors about single records (codec/, core/), which never
reach the engine: such a record goes to the dead letters.
"""

from pipeline.errors import AwawayError


class EngineError(AwawayError):
    """Base of the engine's errors.

    Operator action: see the subclass.
    """


class BrokerError(EngineError):
    """The broker refused a request or did not answer it.

    Operator action: look at the broker; the worker retries by itself as long as that can help.
    """


class TransactionAbortedError(BrokerError):
    """The transaction can no longer be committed; its inputs will be processed again.

    Operator action: none, unless it keeps happening: then a batch takes longer than
    `transaction_timeout_ms`, or the group rebalances all the time.
    """


class BatchPostponedError(BrokerError):
    """An agent needs something that is not available now; the batch will be processed again.

    Operator action: look at what the message names; the worker tries again by itself.
    """


class ProducerLostError(BrokerError):
    """The producer can no longer be used, and the outcome of its last transaction is unknown.

    Operator action: none: the worker acquires the transactional id with a new producer, which ends
    the transaction, and reads from the broker how it ended.
    """


class ConsumerLostError(BrokerError):
    """The group consumer can no longer be used.

    Operator action: none: the worker joins the group again and keeps its local state.
    """


class ChangelogGoneError(BrokerError):
    """A changelog topic no longer exists.

    Operator action: `awaway topics apply` recreates it, empty; the workers whose disks have the
    state rewrite it. Do not delete a data folder before they have.
    """


class SlotTakenError(EngineError):
    """Another worker runs under the same slot; this one stops at once.

    Operator action: give each worker its own `AWAWAY_SLOT`; in Kubernetes it is the ordinal.
    """


class PartitionRefusedError(EngineError):
    """A partition's state does not match the group's committed offsets, so it is not processed.

    Operator action: as the message says; other partitions go on.
    """


class GenerationTermsError(EngineError):
    """The policy differs from the fixed parameters of the generation (`cycle_days` and the like).

    Operator action: set the policy's values back, or start a new generation with the new ones.
    """


class IncompatibleTopicsError(EngineError):
    """A topic is missing, or does not have the partitions that the engine needs.

    Operator action: `awaway topics plan` shows the difference, `awaway topics apply` corrects it.
    """


class StoreLockedError(EngineError):
    """Another process has this data folder open.

    Operator action: stop the other worker or give this one its own `AWAWAY_DATA_DIR`.
    """


class StoreUnwritableError(EngineError):
    """The data folder cannot be written: full, read-only or not permitted.

    Operator action: free space or correct the permissions, then start the worker again; nothing
    is lost, because the broker has everything that was committed.
    """


class CorruptStoreError(EngineError):
    """A local database cannot be read.

    Operator action: none: it is quarantined and restored from the changelogs; look at the disk.
    """


class StoreKeepsBreakingError(EngineError):
    """A partition's local store became unreadable again and again while it was being restored.

    Operator action: the disk is at fault: give the worker another one, with an empty
    `AWAWAY_DATA_DIR`; the partitions are restored from the changelogs.
    """


class StoreFormatError(EngineError):
    """The local store was written by a newer release, or for another generation.

    Operator action: start the matching release, or move the folder away: the state is restored
    from the changelogs.
    """


class UnreadableRecordError(EngineError):
    """A changelog record cannot be read as local entries: it is damaged, or of another release.

    Operator action: start the release that wrote the changelog; the record was not applied.
    """


class DeliveredTwiceError(EngineError):
    """The broker delivered an offset that was already applied; this must never happen.

    Operator action: keep the logs and report it; the worker stops before it counts a record twice.
    """


class BatchFailedError(EngineError):
    """An agent could not finish a batch, for a reason that is not a single record.

    Operator action: the message names the cause; the batch was aborted, nothing is lost.
    """


def unreadable_record(
    changelog: str, error: Exception, offset: int | None = None
) -> UnreadableRecordError:
    """The error about a record of a changelog, with its offset if that is known."""
    record = changelog if offset is None else f"offset {offset} of {changelog}"
    return UnreadableRecordError(
        f"a record cannot be read as state: {record}",
        why=repr(error),
        fix="start the release that wrote it",
    )
