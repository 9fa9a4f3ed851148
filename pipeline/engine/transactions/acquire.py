"""Acquire the transactional id, fencing its previous producer, and abort what it left hanging.

Owns: the steps from no producer to one that no transaction of the slot is open before.
Does not own: when a producer is needed (machine.py), the clients (engine/kafka/).

`init_transactions` ends what the previous producer left open: if the coordinator had decided to
commit a transaction, that commit is completed; otherwise the transaction is aborted. What it cannot
end is a transaction that the coordinator takes for ended already.

Why: a coordinator that is killed and restarts alone may consider a transaction ended although it
wrote no control marker to any partition (docs/adr/0017). Such a transaction hangs (KIP-664):
readers of committed records stop before it, and the next control marker of the same producer ends
it too, as a commit or as an abort, whichever that marker says. So a new producer first aborts a
transaction of its own: it writes one record to each partition whose last stable offset is below its
high watermark, and one offset to the group, because an offset that hangs in the group cannot be
seen. One more record goes to a *probe partition* (`probe`), where nothing is open: by it
hanging.py can see whether this abort itself ended, even where another slot's transaction hangs in
the other partitions.

Invariants:
- aborting what hangs is right whatever had been decided: no partition has the marker, so nobody has
  read the transaction; a local store that applied it is ahead of the group and is quarantined
  (restore.py);
- transactions of other slots are not touched: a control marker ends one producer's transaction;
- a partition that refuses the record in two tries is excluded, so it keeps no worker from starting;
  one refusal is not enough, because the broker may just have been away;
- a producer that may have sent a request twice is replaced: the late copy would end its next
  transaction.
"""

from collections.abc import Iterable
from typing import Any, Final

from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import BrokerError
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import Cluster, TopicPartition, TransactionalProducer
from pipeline.engine.transactions.hanging import HangingDetector, all_ends

ABORTED_RECORD_KEY: Final = b"\x00end"
"""Key of the aborted records, because compacted topics require one. The value is null, which every
reader of uncommitted records can decode."""


TRIES_MAX: Final = 3
"""Max tries: two that find out which partitions refuse the record, and one without those."""


def acquire_producer(
    config: EngineConfig, cluster: Cluster, hanging: HangingDetector, observer: EngineObserver
) -> TransactionalProducer:
    """Return the slot's new producer, once no transaction of the slot is open any more.

    Args:
        hanging: is informed about the transaction that is aborted here.

    Raises:
        BrokerError: the broker did not answer; the producer of this try is closed.
        SlotTakenError: another worker acquired the slot's id meanwhile.
    """
    refused_by: list[set[TopicPartition]] = []
    while True:
        excluded = set.intersection(*refused_by) if len(refused_by) > 1 else set()
        refused: set[TopicPartition] = set()
        try:
            return _try_once(config, cluster, hanging, observer, excluded, refused)
        except BrokerError as error:
            # equivalent (swap): the number of tries is a choice where other partitions refuse each
            # time
            if not refused or len(refused_by) == TRIES_MAX - 1:
                raise BrokerError(
                    "ending what the slot left open failed", why=str(error)
                ) from error
            refused_by.append(refused)


def _try_once(
    config: EngineConfig,
    cluster: Cluster,
    hanging: HangingDetector,
    observer: EngineObserver,
    excluded: set[TopicPartition],
    refused: set[TopicPartition],
) -> TransactionalProducer:
    """Acquire the id and abort what hangs, once.

    Args:
        excluded: partitions that are left out, because they refuse the record.
        refused: output: when the try fails although some partitions took the record, those that
            did not are added.
    """
    producer = _fencing_producer(cluster, observer)
    try:
        hanging.producer_acquired()
        observer.at("abort hanging")
        _abort_hanging(config, cluster, producer, hanging, excluded, refused)
    except BaseException:
        producer.close()
        raise
    if not producer.is_spent:
        return producer
    producer.close()
    return _fencing_producer(cluster, observer)


def _fencing_producer(cluster: Cluster, observer: EngineObserver) -> TransactionalProducer:
    """Return a producer after `init_transactions`, which fences all earlier ones of the slot."""
    observer.at("init_transactions")
    producer = cluster.producer()
    try:
        producer.init_transactions()
    except BrokerError:
        producer.close()  # else it tries again in the background, and later fences its successor
        raise
    return producer


def _abort_hanging(
    config: EngineConfig,
    cluster: Cluster,
    producer: TransactionalProducer,
    hanging: HangingDetector,
    excluded: set[TopicPartition],
    refused: set[TopicPartition],
) -> None:
    # Phase 1: find the partitions with an open transaction, and one without to probe.
    counts = cluster.partition_counts(config.written_topics)
    written = [TopicPartition(topic, n) for topic, count in counts.items() for n in range(count)]
    ends = all_ends(cluster, written)
    unstable = [tp for tp, end in ends.items() if end.stable < end.high and tp not in excluded]
    quiet = [tp for tp, end in ends.items() if end.stable == end.high]
    probe = quiet[-1:]
    # Phase 2: abort a transaction over all of them and the group.
    outsider = cluster.outsider()
    asked_at = config.clock()
    offsets: dict[TopicPartition, int] = {}
    try:
        _abort_transaction([*unstable, *probe], config, outsider, producer, offsets)
    except BrokerError:
        if offsets:
            refused.update(set(unstable) - offsets.keys())
        raise
    # Phase 3: the abort may hang as well, so the detector has to see its marker.
    hanging.aborted({tp: offsets[tp] + 1 for tp in probe}, asked_at)
    hanging.not_aborted_in(excluded)


def _abort_transaction(
    partitions: Iterable[TopicPartition],
    config: EngineConfig,
    outsider: Any,
    producer: TransactionalProducer,
    offsets: dict[TopicPartition, int],
) -> None:
    """Write one record to each partition and abort; `offsets` receives the records' offsets."""
    producer.begin()
    for partition in partitions:

        def note(offset: int, at: TopicPartition = partition) -> None:
            offsets[at] = offset

        producer.produce(*partition, ABORTED_RECORD_KEY, None, None, note)
    producer.flush()
    # The group does not consume this topic: a pending offset of it keeps no reader waiting.
    producer.send_offsets({TopicPartition(config.written_topics[0], 0): 0}, outsider)
    producer.abort()
