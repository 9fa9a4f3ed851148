"""The endless stream: the same for the same seed, and what it says of its records holds."""

import re
from collections import Counter

import msgspec
import pytest

from pipeline.dev.memory_engine import (
    PARTITIONS,
    TOPIC,
    CountingProducer,
    as_producer,
    new_processor,
    open_partitions,
    polls_of,
)
from pipeline.dev.oracle import Judgement, Reader, judge
from pipeline.dev.workload import oddities
from pipeline.dev.workload.garbage import KINDS, LARGE, NEED_AVRO
from pipeline.dev.workload.ground_truth import DUPLICATES, InputRecord, tally
from pipeline.dev.workload.stream import Stream
from pipeline.dev.workload.wire import Wire, json_only
from pipeline.engine.batch import Batch
from pipeline.observability.metrics import BatchStats
from tests.demo.month import END_MS, SCHEMAS, limits, log_of, rules, wire

IDS = re.compile(rb'"(?:completion|session|user|request)_id":"[^"]*"')
NEWER = {f"newer_{what}" for what in oddities.NEWER_WRITERS}
WIRES = (json_only(PARTITIONS), wire(PARTITIONS))


def streamed(
    seed: int, *, events: int, users: int = 60, at_ms: int = END_MS, by: Wire | None = None
) -> list[InputRecord]:
    stream = Stream(seed, users, limits(), by or json_only(PARTITIONS))
    return [one for _ in range(events) for one in stream.next(at_ms)]


def judged(records: list[InputRecord]) -> Judgement:
    log = [one.logged for one in log_of(records, PARTITIONS).values()]
    return judge(log, rules(), Reader(SCHEMAS), PARTITIONS)


def test_the_same_seed_makes_the_same_bytes() -> None:
    assert streamed(5, events=400) == streamed(5, events=400)
    assert streamed(5, events=400) != streamed(6, events=400)


def test_later_the_same_records_come_with_other_instants() -> None:
    now, later = (streamed(5, events=400, at_ms=END_MS + ms) for ms in (0, 61_000))
    assert now != later
    found = [[IDS.findall(one.value or b"") for one in records] for records in (now, later)]
    assert found[0] == found[1]


@pytest.mark.parametrize("by", WIRES, ids=["json", "avro too"])
def test_every_kind_is_among_it_that_the_wire_can_write(by: Wire) -> None:
    truth = tally(streamed(1, events=15_000, by=by))
    assert truth.garbage.keys() == KINDS.keys() - (
        LARGE | (set() if by.newer_completions else NEED_AVRO)
    )
    assert truth.odd.keys() == oddities.KINDS.keys() - (set() if by.newer_completions else NEWER)
    assert truth.verdicts["applied"] > 100
    assert 0.8 * truth.records < truth.verdicts[""] < 0.95 * truth.records


@pytest.mark.parametrize("by", WIRES, ids=["json", "avro too"])
def test_the_oracle_agrees_with_the_ground_truth(by: Wire) -> None:
    records = streamed(1, events=2_500, users=200, by=by)
    assert {one.append_time_ms for one in records} == {END_MS}
    judgement = judged(records)
    for coordinates, one in log_of(records, PARTITIONS).items():
        word = judgement.verdicts[coordinates].word
        if one.meant.verdict:
            assert word == one.meant.verdict, (coordinates, one.meant)
        else:
            assert word in {"accepted", *DUPLICATES}, (coordinates, one.meant)
    verdicts = Counter(verdict.word for verdict in judgement.verdicts.values())
    assert all(verdicts[word] > 0.01 * len(records) for word in DUPLICATES)


def test_one_partition_has_no_wrong_one() -> None:
    assert "wrong_partition" not in tally(streamed(1, events=3_000, by=json_only(1))).garbage


def test_the_worker_counts_the_verdicts_that_the_oracle_finds() -> None:
    found: Counter[str] = Counter()

    def count_outcomes(stats: BatchStats) -> None:
        for (_, outcome), count in stats.outcomes.items():
            found[outcome] += count

    records = [
        msgspec.structs.replace(one, append_time_ms=END_MS + number // 100)
        for number, one in enumerate(
            one for one in streamed(2, events=2_000) if one.kind == "completions"
        )
    ]
    processor, partitions = new_processor(count_outcomes, collapse=True), open_partitions(None)
    for poll in polls_of(records, END_MS):
        for opened, batch in zip(partitions, poll, strict=True):
            processor.completions(Batch(TOPIC, batch, opened, as_producer(CountingProducer())))
    verdicts = Counter(verdict.word for verdict in judged(records).verdicts.values())
    assert found == verdicts
