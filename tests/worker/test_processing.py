"""What becomes of a fold that fails: the event's fault is a dead letter, the disk's is not."""

from pathlib import Path
from typing import Any

import pytest

from bench.data import Shape
from bench.fold_profile import POLICY, SCHEMAS, SEEN, USERS
from bench.ground import data_of
from bench.loading import PARTITIONS
from bench.memory_engine import (
    GENERATION,
    TOPIC,
    CountingProducer,
    as_producer,
    decoder_of,
    outputs_of,
    partition_stores,
    polls_of,
    schemas_of,
    world_of,
)
from pipeline.core.fold import Outcome
from pipeline.engine.batch import Batch, OpenPartition
from pipeline.engine.errors import CorruptStoreError, StoreUnwritableError
from pipeline.engine.marker import FORMAT, Marker
from pipeline.worker.processing import Processor
from pipeline.worker.rules import Rules

AT_MS = 1_790_000_000_000


def process(error: Exception, producer: CountingProducer) -> None:
    """One event, at whose fold something fails."""

    def failing(*_: Any) -> Outcome:
        raise error

    schemas = schemas_of(Path(SCHEMAS))
    rules = Rules(
        world_of(Path(POLICY)),
        decoder_of(schemas),
        PARTITIONS,
        True,
        "2025b",
        4_194_304,
        fold_completion=failing,
    )
    processor = Processor(rules, outputs_of(schemas), USERS, SEEN, lambda _: None)
    (poll,) = polls_of(data_of(Shape(1, 1, AT_MS)).events[:1], AT_MS)
    number = next(number for number, batch in enumerate(poll) if batch)
    opened = OpenPartition(
        partition_stores(None)[number], Marker(FORMAT, GENERATION, {}, b""), set()
    )
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
