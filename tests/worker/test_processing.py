"""What becomes of a fold that fails: the event's fault is a dead letter, the disk's is not."""

from typing import Any

import pytest

from pipeline.core.fold import Outcome
from pipeline.dev.memory_engine import (
    TOPIC,
    CountingProducer,
    as_producer,
    new_processor,
    open_partitions,
    polls_of,
)
from pipeline.dev.workload.steady import Steady, completions_of, records_of
from pipeline.engine.batch import Batch
from pipeline.engine.errors import CorruptStoreError, StoreUnwritableError

AT_MS = 1_790_000_000_000


def process(error: Exception, producer: CountingProducer) -> None:
    """Process one event whose fold raises `error`."""

    def failing(*_: Any) -> Outcome:
        raise error

    steady = Steady(1, 1, AT_MS)
    (poll,) = polls_of(list(records_of(steady, completions_of(steady, [0]))), AT_MS)
    number = next(number for number, batch in enumerate(poll) if batch)
    processor = new_processor(lambda _: None, collapse=True, fold=failing)
    opened = open_partitions(None)[number]
    processor.completions(Batch(TOPIC, poll[number], opened, as_producer(producer)))


def test_an_event_that_cannot_be_folded_is_a_dead_letter() -> None:
    producer = CountingProducer()
    process(ZeroDivisionError("planted"), producer)
    assert producer.records == 2  # and its audit entry


@pytest.mark.parametrize(
    "error", [StoreUnwritableError("the disk is full"), CorruptStoreError("damaged")]
)
def test_a_store_that_fails_under_an_event_is_not_the_events_fault(error: Exception) -> None:
    producer = CountingProducer()
    with pytest.raises(type(error)):
        process(error, producer)
    assert producer.records == 0
