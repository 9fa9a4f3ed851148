"""Which slot keeps which standbys: the range assignor's answer, computed before it is asked."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.recovery.standby import range_of, standbys_of

SLOTS = st.integers(1, 12).map(lambda count: [f"ledger.blue-{slot}" for slot in range(count)])
PARTITIONS = st.integers(1, 24)


@given(SLOTS, PARTITIONS)
def test_each_partition_is_dealt_once_and_evenly(slots: list[str], partitions: int) -> None:
    dealt = [range_of(slot, slots, partitions) for slot in slots]
    assert sorted(p for some in dealt for p in some) == list(range(partitions))
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


@given(SLOTS, PARTITIONS, st.data())
def test_after_any_loss_everything_is_owned_or_a_standby(
    slots: list[str], partitions: int, data: st.DataObject
) -> None:
    lost = data.draw(st.sampled_from(slots))
    left = [slot for slot in slots if slot != lost]
    for slot in left:
        had = range_of(slot, slots, partitions) | standbys_of(slot, slots, partitions, 1)
        assert range_of(slot, left, partitions) <= had


def test_slots_are_ordered_by_their_bytes() -> None:
    assert range_of("b-10", ["b-2", "b-10"], 4) == {0, 1}
    assert range_of("b-2", ["b-2", "b-10"], 4) == {2, 3}


def test_what_is_owned_is_no_standby_and_a_stranger_has_nothing() -> None:
    assert standbys_of("b-0", ["b-0", "b-1"], 4, 1) == {2, 3}
    assert standbys_of("b-0", ["b-0"], 4, 1) == frozenset()
    assert standbys_of("b-0", ["b-0", "b-1"], 4, 0) == frozenset()
    assert standbys_of("b-9", ["b-0", "b-1"], 4, 1) == frozenset()


def test_two_losses_need_more_standbys_than_one() -> None:
    slots = ["b-0", "b-1", "b-2", "b-3"]
    assert standbys_of("b-0", slots, 8, 1) == {2}
    assert standbys_of("b-0", slots, 8, 2) == {2, 3}
