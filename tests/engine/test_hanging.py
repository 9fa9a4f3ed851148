"""When the engine asks whether its last transaction has ended, and what it makes of the answer."""

from typing import Final, cast

import pytest

from pipeline.engine.errors import BrokerError, ProducerLostError
from pipeline.engine.ports import Cluster, Ends, TopicPartition
from pipeline.engine.transactions.hanging import (
    BROKER_RESTART_S_MIN,
    EXCLUDED_RETRY_S,
    MARKER_DELAY_S_MAX,
    HangingDetector,
)

PARTITION: Final = TopicPartition("users-changelog", 3)
OTHER: Final = TopicPartition("audit", 3)
END: Final = 10


class Broker:
    """A cluster of which only ends are asked, and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.stable = END
        self.high = END
        self.is_away = False
        self.silent = 0
        self.asked = 0
        self.hanging = HangingDetector(cast(Cluster, self), lambda: self.now)

    def ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, Ends]:
        self.asked += 1
        if self.is_away:
            raise BrokerError("no answer")
        return dict.fromkeys(partitions[self.silent :], Ends(self.stable, self.high))

    def committed(self) -> None:
        positions = {PARTITION.partition: {PARTITION.topic: ("id", END)}}
        self.hanging.committed(positions, self.now)


def later(ends: Broker, seconds: float = BROKER_RESTART_S_MIN + 0.1) -> None:
    ends.now += seconds


def is_lost(ends: Broker) -> bool:
    """Whether a commit is, once there is a new producer."""
    ends.hanging.producer_acquired()
    return ends.hanging.is_commit_lost


def test_nothing_is_asked_before_the_first_end() -> None:
    ends = Broker()
    later(ends)
    ends.hanging.check()
    assert not ends.hanging.is_hanging()
    assert ends.asked == 0
    assert not is_lost(ends)


def test_nothing_is_asked_while_transactions_follow_each_other() -> None:
    ends = Broker()
    for _ in range(5):
        ends.committed()
        later(ends, BROKER_RESTART_S_MIN)
        ends.hanging.check()
    later(ends, -0.1)
    assert not ends.hanging.is_hanging()
    assert ends.asked == 0


def test_a_commit_without_a_marker_in_any_partition_costs_the_producer() -> None:
    ends = Broker()
    ends.committed()
    later(ends)
    with pytest.raises(ProducerLostError):
        ends.hanging.check()
    assert is_lost(ends)


@pytest.mark.parametrize(
    ("stable", "has_marker"), [(END - 5, False), (END, False), (END + 1, True)]
)
def test_a_marker_takes_the_offset_after_the_last_record(stable: int, has_marker: bool) -> None:
    ends = Broker()
    ends.committed()
    later(ends)
    ends.stable = stable
    assert not ends.hanging.is_hanging()
    assert is_lost(ends) != has_marker


def test_an_end_that_was_seen_is_not_asked_for_again() -> None:
    ends = Broker()
    ends.committed()
    ends.stable = END + 1
    later(ends)
    for _ in range(3):
        ends.hanging.check()
        assert not ends.hanging.is_hanging()
        later(ends)
    assert ends.asked == 1


def test_markers_have_some_time_to_arrive_while_nothing_is_open() -> None:
    ends = Broker()
    ends.committed()
    while ends.now - 100.0 <= MARKER_DELAY_S_MAX:
        later(ends, 0.25)
        if ends.now - 100.0 <= MARKER_DELAY_S_MAX:
            assert not ends.hanging.is_hanging()
    assert ends.asked == MARKER_DELAY_S_MAX / BROKER_RESTART_S_MIN
    later(ends, BROKER_RESTART_S_MIN)
    assert ends.hanging.is_hanging()


def test_an_abort_of_unknown_partitions_is_never_taken_for_ended_while_another_is_open() -> None:
    ends = Broker()
    ends.hanging.aborted({PARTITION: None, OTHER: None}, ends.now)
    ends.stable = ends.high
    later(ends)
    with pytest.raises(ProducerLostError):
        ends.hanging.check()
    assert not ends.hanging.is_hanging()
    ends.hanging.check()
    assert not is_lost(ends)


def test_an_abort_that_is_still_open_loses_no_commit() -> None:
    ends = Broker()
    ends.hanging.aborted({PARTITION: END}, ends.now)
    later(ends)
    with pytest.raises(ProducerLostError):
        ends.hanging.check()
    assert not is_lost(ends)


def test_a_commit_that_was_seen_is_not_lost_when_there_is_no_answer_later() -> None:
    ends = Broker()
    ends.committed()
    ends.stable = END + 1
    later(ends)
    ends.hanging.check()
    ends.is_away = True
    assert not is_lost(ends)
    assert ends.asked == 1


def test_an_abort_leaves_the_doubt_about_the_commit_before() -> None:
    ends = Broker()
    ends.committed()
    later(ends, BROKER_RESTART_S_MIN / 2)
    ends.hanging.aborted({OTHER: None}, ends.now)
    later(ends, BROKER_RESTART_S_MIN / 2 + 0.1)
    assert is_lost(ends)


def test_no_answer_is_no_end() -> None:
    ends = Broker()
    ends.committed()
    ends.is_away = True
    later(ends)
    with pytest.raises(BrokerError, match="no answer"):
        ends.hanging.check()
    assert not ends.hanging.is_hanging()
    assert is_lost(ends)


def test_a_partition_that_does_not_answer_has_not_ended() -> None:
    ends = Broker()
    ends.committed()
    ends.stable, ends.silent = END + 1, 1
    later(ends)
    with pytest.raises(BrokerError, match="1 partitions"):
        ends.hanging.check()
    assert is_lost(ends)


def test_what_was_lost_stays_lost_until_the_stores_were_looked_at() -> None:
    ends = Broker()
    ends.committed()
    assert is_lost(ends)
    ends.stable = END + 1
    assert is_lost(ends)
    ends.hanging.is_commit_lost = False
    assert not is_lost(ends)


def test_after_an_abort_of_unknown_offsets_it_is_looked_before_the_next() -> None:
    ends = Broker()
    ends.hanging.aborted({PARTITION: None}, ends.now)
    assert not ends.hanging.is_hanging()
    later(ends)
    ends.hanging.check()
    assert ends.asked == 1


def test_what_was_excluded_is_looked_at_every_so_often() -> None:
    ends = Broker()
    ends.hanging.not_aborted_in([OTHER])
    ends.high = END + 1
    later(ends, EXCLUDED_RETRY_S - 0.1)
    assert not ends.hanging.is_hanging()
    assert ends.asked == 0
    later(ends, 0.1)
    assert ends.hanging.is_hanging()
    assert not ends.hanging.is_hanging()
    assert ends.asked == 1
    later(ends, EXCLUDED_RETRY_S)
    assert ends.hanging.is_hanging()


@pytest.mark.parametrize("is_away", [False, True])
def test_what_was_excluded_and_hangs_no_more_is_forgotten_by_nobody(is_away: bool) -> None:
    ends = Broker()
    ends.hanging.not_aborted_in([OTHER])
    ends.is_away = is_away
    ends.high = END + is_away
    later(ends, EXCLUDED_RETRY_S)
    assert not ends.hanging.is_hanging()
    assert ends.asked == 1
