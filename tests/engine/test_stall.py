"""Noticing a consumer that delivers nothing although there is something."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import BrokerError
from pipeline.engine.ports import TopicPartition, Watermarks
from pipeline.engine.stall import BUSY_RECORDS, LOOK_EVERY_S, PROBE_S, StallWatch
from tests.engine.changelogs import Record

WAIT_S = 0.5
A, B = TopicPartition("in", 0), TopicPartition("in", 1)


@dataclass
class Log:
    """A cluster of which only the ends and the committed records of its inputs are asked.

    Attributes:
        silent: so many polls of a reader bring nothing.
        asked: so often for ends.
        reading: how many readers are open.
    """

    ends: dict[TopicPartition, int]
    records: list[Record] = field(default_factory=list)
    is_away: bool = False
    silent: int = 0
    asked: int = 0
    probes: int = 0
    polls: int = 0
    reading: int = 0
    now: float = 100.0
    _starts: Mapping[TopicPartition, int] = field(default_factory=dict)

    def clock(self) -> float:
        return self.now

    def watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Watermarks]:
        self.asked += 1
        if self.is_away:
            raise BrokerError("away")
        return {tp: Watermarks(0, self.ends[tp]) for tp in partitions}

    def changelog_reader(self) -> "Log":
        self.probes += 1
        self.reading += 1
        return self

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._starts = offsets

    def poll(self, records_max: int, wait_s: float) -> tuple[list[Any], dict[TopicPartition, int]]:
        self.now += wait_s
        self.polls += 1
        if self.polls <= self.silent:
            return [], {}
        found = [r for r in self.records if r.tp in self._starts]
        return found, {tp: self.ends[tp] for tp in self._starts}

    def close(self) -> None:
        self._starts = {}
        self.reading -= 1


def watching(log: Log) -> StallWatch:
    config = EngineConfig("blue", ("in",), (), clock=log.clock, wait_s=WAIT_S)
    return StallWatch(config, log)  # type: ignore[arg-type]


def looks(
    watch: StallWatch, log: Log, offsets: dict[TopicPartition, int], records: int = 0
) -> list[bool]:
    """Four looks, each as long after the one before as it takes."""
    answers = []
    for _ in range(4):
        answers.append(watch.is_stalled(lambda: offsets, records))
        log.now += LOOK_EVERY_S
    return answers


def test_a_record_that_is_due_is_a_stall() -> None:
    log = Log({A: 8}, [Record(A, 7)])
    assert looks(watching(log), log, {A: 7}) == [False, False, True, False]
    assert log.reading == 0


def test_it_looks_once_in_so_long() -> None:
    log = Log({A: 8}, [Record(A, 7)])
    watch, asked = watching(log), 0

    def offsets() -> dict[TopicPartition, int]:
        nonlocal asked
        asked += 1
        return {A: 7}

    for _ in range(10):
        assert not watch.is_stalled(offsets, 0)
        log.now += LOOK_EVERY_S / 10
    assert asked == 1
    watch.is_stalled(offsets, 0)
    assert asked == 2


def test_a_clock_that_begins_now_makes_no_difference() -> None:
    log = Log({A: 8}, [Record(A, 7)], now=0.0)
    assert looks(watching(log), log, {A: 7}) == [False, False, True, False]


def test_the_silence_is_counted_from_the_last_record() -> None:
    log = Log({A: 8}, [Record(A, 7)])
    watch = watching(log)
    assert not watch.is_stalled(lambda: {A: 7}, records=1)
    log.now += LOOK_EVERY_S
    assert looks(watch, log, {A: 7})[:2] == [False, True]


def test_no_stall_at_the_end_and_no_reader() -> None:
    log = Log({A: 7})
    assert looks(watching(log), log, {A: 7}) == [False] * 4
    assert log.probes == 0


def test_a_control_record_is_looked_at_once() -> None:
    log = Log({A: 8})
    watch = watching(log)
    assert looks(watch, log, {A: 7}) + looks(watch, log, {A: 7}) == [False] * 8
    assert log.probes == 1


def test_a_record_after_a_control_record_is_found() -> None:
    log = Log({A: 8})
    watch = watching(log)
    looks(watch, log, {A: 7})
    log.ends[A] = 9
    log.records.append(Record(A, 8))
    assert True in looks(watch, log, {A: 7})


def test_a_record_that_has_only_just_come_is_not_due() -> None:
    log = Log({A: 8})
    watch = watching(log)
    looks(watch, log, {A: 7})
    log.ends[A] = 9
    watch.is_stalled(lambda: {A: 7}, records=0)
    log.records.append(Record(A, 9))
    log.now += LOOK_EVERY_S
    assert not watch.is_stalled(lambda: {A: 7}, records=0)


def test_a_partition_that_moves_is_left_alone() -> None:
    log = Log({A: 100}, [Record(A, 50)])
    watch = watching(log)
    for offset in range(10):
        assert not watch.is_stalled(partial(dict, {A: offset}), records=0)
        log.now += LOOK_EVERY_S
    assert (log.asked, log.probes) == (0, 0)


def test_a_partition_that_moved_since_it_was_due_is_left_alone() -> None:
    log = Log({A: 8, B: 3}, [Record(A, 7)])
    watch = watching(log)
    for _ in range(2):
        assert not watch.is_stalled(lambda: {A: 7, B: 3}, records=0)
        log.now += LOOK_EVERY_S
    log.now -= LOOK_EVERY_S
    assert not watch.is_stalled(lambda: {A: 8, B: 3}, records=1)
    log.now += LOOK_EVERY_S
    assert not watch.is_stalled(lambda: {A: 8, B: 3}, records=0)
    assert log.asked == 2
    assert log.probes == 0


def heard_until_stalled(log: Log, watch: StallWatch, records: int) -> int | None:
    """How many records of B were delivered before A, which stands still, was called stalled."""
    for turn in range(1, 50):
        if watch.is_stalled(partial(dict, {A: 7, B: turn}), records):
            return turn * records
        log.now += LOOK_EVERY_S
    return None


def test_a_partition_waits_for_its_turn_while_others_are_delivered() -> None:
    log = Log({A: 8, B: 10_000}, [Record(A, 7)])
    assert heard_until_stalled(log, watching(log), 1_000) is None
    assert log.probes == 0


def test_a_partition_that_more_passed_than_can_wait_is_stalled() -> None:
    log = Log({A: 8, B: 10_000}, [Record(A, 7)])
    heard = heard_until_stalled(log, watching(log), 100_000)
    assert heard is not None
    assert heard == 100_000 + BUSY_RECORDS + 2 * 100_000  # first seen, in time, due, looked for


def test_what_was_heard_before_a_partition_came_does_not_count_for_it() -> None:
    log = Log({A: 8, B: 10_000}, [Record(A, 7)])
    watch = watching(log)
    assert not watch.is_stalled(lambda: {B: 1}, BUSY_RECORDS - 1)
    log.now += LOOK_EVERY_S
    assert heard_until_stalled(log, watch, 1_000) is None
    assert log.probes == 0


def test_a_broker_that_is_away_is_no_stall() -> None:
    log = Log({A: 8}, [Record(A, 7)], is_away=True)
    assert looks(watching(log), log, {A: 7}) == [False] * 4


def test_a_reader_that_hears_nothing_is_not_waited_for_longer_than_it_is_given() -> None:
    log = Log({A: 8}, [Record(A, 7)], silent=1_000)
    assert looks(watching(log), log, {A: 7})[:3] == [False] * 3
    assert log.polls == 2 * PROBE_S / WAIT_S  # it proved nothing, so it is tried again
    assert log.reading == 0


def test_a_reader_that_hears_something_late_is_waited_for() -> None:
    log = Log({A: 8}, [Record(A, 7)], silent=2)
    assert looks(watching(log), log, {A: 7}) == [False, False, True, False]


def test_a_reader_is_read_no_further_than_the_ends() -> None:
    log = Log({A: 8})
    assert looks(watching(log), log, {A: 7}) == [False] * 4
    assert log.polls == 1
