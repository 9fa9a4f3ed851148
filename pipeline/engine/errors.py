"""What can go wrong in the engine, each with what an operator does about it.

Owns: the engine's errors. Does not own: errors about single records (codec/, core/), which never
reach the engine because they cost only their own record.
"""

from pipeline.errors import AwawayError


class EngineError(AwawayError):
    """Base of the engine's errors.

    Operator action: see the subclass.
    """


class BrokerError(EngineError):
    """The broker refused or did not answer.

    Operator action: look at the broker; the worker retries by itself while this can pass.
    """


class TransactionAbortedError(BrokerError):
    """The transaction cannot be committed any more; its inputs will be processed again.

    Operator action: none, unless it keeps happening: then a batch takes longer than
    `transaction_timeout_ms`, or the group rebalances all the time.
    """


class BatchPostponedError(BrokerError):
    """An agent needs something that is away for now; the batch is aborted and comes again.

    Operator action: look at what the message says is away; the worker tries again by itself.
    """


class ProducerLostError(BrokerError):
    """The producer can no longer be used, and how its last transaction ended is not known.

    Operator action: none: the worker makes a new producer under the same id, which settles the
    transaction, and reads from the broker how it ended.
    """


class ConsumerLostError(BrokerError):
    """The group consumer can no longer be used.

    Operator action: none: the worker joins the group again; its local state stays.
    """


class ChangelogGoneError(BrokerError):
    """A changelog topic is not there any more.

    Operator action: `awaway topics apply` makes it again, empty; the workers whose disks have the
    state write it anew. Do not delete a data folder before that.
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
    """The state was begun under terms that a generation keeps, and this worker has others.

    Operator action: set the policy's `cycle_days` back, or start a new generation with the new one.
    """


class IncompatibleTopicsError(EngineError):
    """The topics do not have what the engine leans on.

    Operator action: `awaway topics plan` shows the difference, `awaway topics apply` mends it.
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
    """A partition's local store broke again and again while it was restored into empty ones.

    Operator action: the disk is at fault: give the worker another one, with an empty
    `AWAWAY_DATA_DIR`; the partitions are restored from the changelogs.
    """


class StoreFormatError(EngineError):
    """The local store was written by a newer release, or for another generation.

    Operator action: start the matching release, or move the folder away: it is restored from
    the changelogs.
    """


class UnreadableRecordError(EngineError):
    """A changelog record does not stand for local entries: another release wrote it, or damaged it.

    Operator action: start the release that wrote the changelog; nothing of it was applied.
    """


class DeliveredTwiceError(EngineError):
    """The broker delivered an offset that was already applied; this must never happen.

    Operator action: keep the logs and report it; the worker stops before it could count twice.
    """


class BatchFailedError(EngineError):
    """An agent could not finish a batch for a reason that is not in a single record.

    Operator action: the message names the cause; the batch was aborted, nothing is lost.
    """


def unreadable_record(
    changelog: str, error: Exception, offset: int | None = None
) -> UnreadableRecordError:
    """What a record of a changelog, at its offset where that is known, led to."""
    place = changelog if offset is None else f"offset {offset} of {changelog}"
    return UnreadableRecordError(
        f"a record cannot be read as state: {place}",
        why=repr(error),
        fix="start the release that wrote it",
    )
