"""Taking a slot's transactional id over, and ending what hangs of it.

Owns: the way from no producer to one before which nothing of the slot is open any more.
Does not own: when a producer is needed (machine.py), clients (kafka.py).

A coordinator that starts again alone, after a kill, may take transactions for ended of which it has
told no partition (docs/adr/0017). Such a transaction hangs: readers of committed records stop
before it, and the next marker of the same producer ends it too, in whichever way that one ends. So
what has an open end when a producer begins is ended before anything is committed: by a transaction
over those partitions and the group's offsets, which is aborted. What hangs in the group alone does
not show, so there is such a transaction each time; it has a record, by which its own end can be
seen (last_end.py).

Invariants:
- aborting is right whatever had been decided: nobody was told, so nobody has seen it, and a local
  store that applied it is ahead of the group and is set aside (restore.py);
- open transactions of other slots are not touched by it, as a marker ends one producer's only;
- a producer whose last request may have been asked twice is not gone on with: a late copy of it
  would end the next transaction.
"""

from collections.abc import Iterable

from pipeline.engine.engine_config import EngineConfig
from pipeline.engine.errors import BrokerError
from pipeline.engine.last_end import LastEnd
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import Cluster, TopicPartition, TransactionalProducer

END_KEY = b"\x00end"
"""Key of a record that is never committed, as compacted topics want one; its value is null, which
those who read uncommitted can decode."""


def take_over(
    config: EngineConfig, cluster: Cluster, last_end: LastEnd, observer: EngineObserver
) -> TransactionalProducer:
    """The slot's producer, before which everything of the slot is ended.

    Args:
        last_end: of this producer; nothing was ended yet.

    Raises:
        BrokerError: it did not answer; nothing is left of the try.
        SlotTakenError: another worker took the slot meanwhile.
    """
    producer = _initialised(cluster, observer)
    try:
        observer.at("end what hangs")
        places = _open_ends(config, cluster) or [TopicPartition(config.written_topics[-1], 0)]
        asked_at = config.clock()
        ends = _abort_over(places, config, cluster, producer)
        last_end.aborted(ends, asked_at)
    except BrokerError as error:
        producer.close()
        raise BrokerError("ending what the slot left open failed", why=str(error)) from error
    except BaseException:
        producer.close()
        raise
    if not producer.is_spent:
        return producer
    producer.close()
    return _initialised(cluster, observer)


def _initialised(cluster: Cluster, observer: EngineObserver) -> TransactionalProducer:
    observer.at("init_transactions")
    producer = cluster.producer()
    try:
        producer.init_transactions()
    except BrokerError:
        producer.close()  # it would go on by itself, and fence its successor later
        raise
    return producer


def _open_ends(config: EngineConfig, cluster: Cluster) -> list[TopicPartition]:
    """Partitions that the engine writes to in which a transaction is open, whoever's it is."""
    counts = cluster.partition_counts(config.written_topics)
    places = [TopicPartition(topic, n) for topic, count in counts.items() for n in range(count)]
    ends = cluster.watermarks(places)
    stable = cluster.stable_ends(places)
    return [place for place in places if stable[place] < ends[place].high]


def _abort_over(
    places: Iterable[TopicPartition],
    config: EngineConfig,
    cluster: Cluster,
    producer: TransactionalProducer,
) -> dict[TopicPartition, int | None]:
    """Abort a transaction over these places; returns the offsets after its records."""
    ends: dict[TopicPartition, int | None] = {}
    producer.begin()
    for place in places:

        def note(offset: int, at: TopicPartition = place) -> None:
            ends[at] = offset + 1

        producer.produce(*place, END_KEY, None, None, note)
    producer.flush()
    producer.send_offsets({TopicPartition(config.inputs[0], 0): 0}, cluster.outsider())
    producer.abort()
    return ends
