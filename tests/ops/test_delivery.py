"""How far downstream groups are: what a position means, and when an offset was passed."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from pipeline.clock import length_text
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.delivery.history import History, Passed
from pipeline.ops.delivery.position import Delivery, Position, Unread
from pipeline.ops.delivery.watch import DeliveryWatch, Read

NOW = 1_800_000_000_000
MINUTE = 60_000
READ_ALL = Position(0, committed=10, first=0, end=11)
"""A transaction's marker is at the end."""


def delivery(*positions: Position, state: str | None = "stable") -> Delivery:
    return Delivery("rewards", "awaway.portals", MINUTE, positions, state)


def waiting(ms: int, partition: int = 0, committed: int | None = 10) -> Position:
    return Position(partition, committed, 0, 15, Unread(12, NOW - ms))


def test_a_group_that_has_read_every_record_waits_for_nothing() -> None:
    found = delivery(READ_ALL)
    assert (found.lag_records, found.lag_ms(NOW)) == (0, 0)
    assert found.problems(NOW) == found.notes() == []
    assert READ_ALL.has_read(9) and not READ_ALL.has_read(10)


def test_a_group_is_behind_by_the_age_of_its_first_unread_record() -> None:
    late = delivery(READ_ALL, waiting(MINUTE, 1), waiting(3 * MINUTE, 2))
    assert (late.lag_records, late.lag_ms(NOW)) == (6, 3 * MINUTE)
    (problem,) = late.problems(NOW)
    assert problem == "partition 2 beyond its bound: the oldest unread record is 3 min old"
    assert delivery(waiting(MINUTE)).problems(NOW) == []
    assert delivery(waiting(-5_000)).lag_ms(NOW) == 0  # a clock that is ahead
    assert "rewards runs" in late.advice()


@pytest.mark.parametrize(
    ("position", "state", "problem", "note", "advice"),
    [
        (waiting(2 * MINUTE, 0, None), "absent", "never committed", "no members", "start rewards"),
        (Position(0, None, 0, 0), "empty", None, "never committed", ""),
        (Position(3, 4, 9, 9), "stable", "partition 3: 5 offsets were deleted", None, "reset them"),
        (Position(0, 99, 0, 9, is_ahead=True), None, "beyond the topic's end", None, "reset them"),
    ],
)
def test_each_way_to_be_wrong_is_said(
    position: Position, state: str | None, problem: str | None, note: str | None, advice: str
) -> None:
    found = delivery(position, state=state)
    said = found.problems(NOW)
    assert len(said) == (problem is not None)
    assert (problem or "") in "".join(said)
    assert (note or "") in " ".join(found.notes())
    assert advice in found.advice()


def test_an_offset_beyond_the_end_has_read_nothing() -> None:
    assert not Position(0, 99, 0, 9, is_ahead=True).has_read(3)


KEY = ("rewards", "awaway.portals", 0)


def test_an_offset_was_passed_between_two_samples() -> None:
    history = History()
    for at, committed in ((10, 5), (20, 5), (30, 8), (40, 8), (50, 9)):
        history.note(KEY, committed, at)
    assert history.passed(KEY, 4) == Passed(None, 10)  # before anybody looked
    assert history.passed(KEY, 5) == history.passed(KEY, 7) == Passed(20, 30)
    assert history.passed(KEY, 8) == Passed(40, 50)
    assert history.passed(KEY, 9) is None
    assert history.passed(("other", *KEY[1:]), 4) is None


def test_what_was_passed_before_a_reset_stays_passed() -> None:
    history = History()
    for at, committed in ((10, 5), (20, 9), (30, 5)):
        history.note(KEY, committed, at)
    assert history.passed(KEY, 7) == Passed(10, 20)


def test_samples_that_were_dropped_only_widen_what_is_known() -> None:
    bounded, whole = History(samples_max=8), History(samples_max=10_000)
    for step in range(200):
        for history in (bounded, whole):
            history.note(KEY, step, 10 * step)
    assert len(bounded._samples[KEY]) <= 8
    for offset in range(199):
        exact, known = whole.passed(KEY, offset), bounded.passed(KEY, offset)
        assert exact is not None and known is not None
        assert (known.after_ms or 0) <= (exact.after_ms or 0) <= exact.by_ms <= known.by_ms
    assert bounded.passed(KEY, 198) == whole.passed(KEY, 198)  # the latest are exact


class Asked:
    """Stands in for the brokers: answers one after the other, None where they are away."""

    def __init__(self, *answers: Sequence[Delivery] | None) -> None:
        self._answers = list(answers)

    def measure(self) -> Sequence[Delivery]:
        answer = self._answers.pop(0)
        if answer is None:
            raise UnreadableLogError("away")
        return answer

    def close(self) -> None:
        """Nothing."""


def test_brokers_that_are_away_leave_no_old_measurement_and_keep_the_history() -> None:
    at = [1_000]
    asked = Asked([delivery(waiting(0))], None, [delivery(READ_ALL)], [delivery(waiting(0))])
    watch = DeliveryWatch(cast(Any, asked), lambda: at[0])
    assert watch.reads("awaway.portals", 0, 9) == []
    watch.measure()
    assert watch.reads("awaway.portals", 0, 9) == [Read("rewards", True, Passed(None, 1_000))]
    assert watch.reads("awaway.portals", 0, 12) == [Read("rewards", False, None)]
    assert watch.reads("awaway.portals", 1, 9) == watch.reads("awaway.progress", 0, 9) == []
    at[0] = 2_000
    watch.measure()
    assert (watch.latest, watch.reads("awaway.portals", 0, 9)) == (None, [])
    watch.measure()
    assert watch.reads("awaway.portals", 0, 9) == [Read("rewards", True, Passed(None, 1_000))]


@pytest.mark.parametrize(
    ("length_ms", "said"),
    [(-9, "0 s"), (999, "0 s"), (59_999, "59 s"), (60_000, "1 min"), (7_200_000, "2 h")],
)
def test_a_length_of_time_is_written_in_one_unit(length_ms: int, said: str) -> None:
    assert length_text(length_ms) == said
