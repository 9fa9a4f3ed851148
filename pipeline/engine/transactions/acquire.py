"""Taking a slot's transactional id over, and ending what hangs of it.

Owns: the way from no producer to one before which nothing of the slot is open any more.
Does not own: when a producer is needed (machine.py), clients (kafka/cluster.py).

A coordinator that starts again alone, after a kill, may take transactions for ended of which it has
told no partition (docs/adr/0017). Such a transaction hangs: readers of committed records stop
before it, and the next marker of the same producer ends it too, in whichever way that one ends. So
what has an open end when a producer begins is ended before anything is committed: by a transaction
over those partitions and the group's offsets, which is aborted. What hangs in the group alone does
not show, so there is such a transaction each time. It has a record where nothing was open, its
witness, by which its own end can be seen (hanging.py): another slot's transaction may hang where
it likes.

Invariants:
- aborting is right when no partition was told, whatever had been decided: nobody has seen it, and a
  local store that applied it is ahead of the group and is set aside (restore.py);
- how transactions of other slots end is not touched by it, as a marker ends one producer's only;
- a partition that takes no record, twice, keeps nobody from starting: it is left out. Once is not
  enough: the broker may have gone away meanwhile;
- a producer whose last request may have been asked twice is not gone on with: a late copy of it
  would end the next transaction.
"""

from collections.abc import Iterable
from typing import Any, Final

from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import BrokerError
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import Cluster, TopicPartition, TransactionalProducer
from pipeline.engine.transactions.hanging import HangingDetector, all_ends

ABORTED_RECORD_KEY: Final = b"\x00end"
"""Key of a record that is never committed, as compacted topics want one; its value is null, which
those who read uncommitted can decode."""


TRIES_MAX: Final = 3
"""Two to find out which partitions take no record, one without them."""


def acquire_producer(
    config: EngineConfig, cluster: Cluster, hanging: HangingDetector, observer: EngineObserver
) -> TransactionalProducer:
    """The slot's producer, before which everything of the slot is ended.

    Args:
        hanging: told of the transaction that is aborted here.

    Raises:
        BrokerError: it did not answer; nothing is left of the try.
        SlotTakenError: another worker took the slot meanwhile.
    """
    silent: list[set[TopicPartition]] = []
    while True:
        excluded = set.intersection(*silent) if len(silent) > 1 else set()
        found: set[TopicPartition] = set()
        try:
            return _try_once(config, cluster, hanging, observer, excluded, found)
        except BrokerError as error:
            # equivalent (swap): the number of tries is a choice where other places are silent each
            # time
            if not found or len(silent) == TRIES_MAX - 1:
                raise BrokerError(
                    "ending what the slot left open failed", why=str(error)
                ) from error
            silent.append(found)


def _try_once(
    config: EngineConfig,
    cluster: Cluster,
    hanging: HangingDetector,
    observer: EngineObserver,
    excluded: set[TopicPartition],
    found: set[TopicPartition],
) -> TransactionalProducer:
    """One try.

    Args:
        excluded: places that take no record.
        found: when it fails although some places took one, those that did not are added.
    """
    producer = _fencing_producer(cluster, observer)
    try:
        hanging.producer_acquired()
        observer.at("abort hanging")
        _abort_hanging(config, cluster, producer, hanging, excluded, found)
    except BaseException:
        producer.close()
        raise
    if not producer.is_spent:
        return producer
    producer.close()
    return _fencing_producer(cluster, observer)


def _fencing_producer(cluster: Cluster, observer: EngineObserver) -> TransactionalProducer:
    observer.at("init_transactions")
    producer = cluster.producer()
    try:
        producer.init_transactions()
    except BrokerError:
        producer.close()  # it would go on by itself, and fence its successor later
        raise
    return producer


def _abort_hanging(
    config: EngineConfig,
    cluster: Cluster,
    producer: TransactionalProducer,
    hanging: HangingDetector,
    excluded: set[TopicPartition],
    found: set[TopicPartition],
) -> None:
    counts = cluster.partition_counts(config.written_topics)
    places = [TopicPartition(topic, n) for topic, count in counts.items() for n in range(count)]
    ends = all_ends(cluster, places)
    chosen = [
        place for place, end in ends.items() if end.stable < end.high and place not in excluded
    ]
    quiet = [place for place, end in ends.items() if end.stable == end.high]
    witness = quiet[-1:]
    outsider = cluster.outsider()
    asked_at = config.clock()
    offsets: dict[TopicPartition, int] = {}
    try:
        _abort_transaction([*chosen, *witness], config, outsider, producer, offsets)
    except BrokerError:
        if offsets:
            found.update(set(chosen) - offsets.keys())
        raise
    hanging.aborted({place: offsets[place] + 1 for place in witness}, asked_at)
    hanging.excluded(excluded)


def _abort_transaction(
    places: Iterable[TopicPartition],
    config: EngineConfig,
    outsider: Any,
    producer: TransactionalProducer,
    offsets: dict[TopicPartition, int],
) -> None:
    """Abort a transaction over these places; notes the offsets of its records."""
    producer.begin()
    for place in places:

        def note(offset: int, at: TopicPartition = place) -> None:
            offsets[at] = offset

        producer.produce(*place, ABORTED_RECORD_KEY, None, None, note)
    producer.flush()
    # Of a topic that the group does not consume: what is pending there keeps nobody waiting.
    producer.send_offsets({TopicPartition(config.written_topics[0], 0): 0}, outsider)
    producer.abort()
