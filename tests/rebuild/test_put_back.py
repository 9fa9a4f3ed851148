"""A rollback: the state before a repair, with what came since, as if the repair had not been."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.core.repair import Repair
from pipeline.core.runs import from_numbers, union
from pipeline.core.sets import Sets, digest_of
from pipeline.core.state import EMPTY, UserState
from pipeline.ops.rebuild_diffs import Figures
from pipeline.rebuild.compare import UserDifference
from pipeline.rebuild.repairs import Replaced, Undo, put_back

_days = st.frozensets(st.integers(0, 30))
_credits = st.frozensets(st.tuples(st.sampled_from(("c1", "c2", "c3")), st.integers(0, 30)))


def state_of(practised: frozenset[int], credits_: frozenset[tuple[str, int]]) -> UserState:
    sets = Sets(practised=from_numbers(sorted(practised)), credits=tuple(sorted(credits_)))
    return replace(EMPTY, sets=sets, digest=digest_of(sets))


@given(_days, _days, _days, _credits, _credits)
def test_what_came_since_is_kept_and_the_repair_is_not(
    before: frozenset[int],
    repaired: frozenset[int],
    since: frozenset[int],
    credits_before: frozenset[tuple[str, int]],
    credits_since: frozenset[tuple[str, int]],
) -> None:
    old, right = state_of(before, credits_before), state_of(repaired, credits_before)
    live = state_of(repaired | since, credits_before | credits_since)
    replaced = Replaced(old.sets, right.sets)
    back = put_back(replaced, live)
    wanted = union(old.sets.practised, from_numbers(sorted(since - repaired)))
    assert back.sets.practised == wanted
    assert set(back.sets.credits) == credits_before | credits_since
    assert back.digest == digest_of(back.sets)


def test_portals_that_were_published_since_stay() -> None:
    old, right = state_of(frozenset({1}), frozenset()), state_of(frozenset({1, 2}), frozenset())
    told = replace(right, sets=replace(right.sets, unlocked=(("bindu", ((0, 1),)),)))
    replaced = Replaced(old.sets, right.sets)
    back = put_back(replaced, told)
    assert back.sets.practised == ((1, 1),)
    assert back.sets.unlocked == (("bindu", ((0, 1),)),)


def test_half_a_line_of_somebody_who_was_killed_costs_nothing_else(tmp_path: Path) -> None:
    old, right = state_of(frozenset({1}), frozenset()), state_of(frozenset({1, 2}), frozenset())
    none = Figures(0, 0, 0, 0, 0, 0, 0)
    repair = Repair(3, old.digest, right)

    def difference(user_id: str) -> UserDifference:
        return UserDifference(
            user_id, 0, none, none, (), (), (), None, 0, None, repair, old, "digest"
        )

    path = tmp_path / "undo-0"
    undo = Undo(path)
    undo.add([difference("ana")])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert list(undo.all()) == ["ana"]
    undo.add([difference("ben")])
    assert undo.all() == {name: Replaced(old.sets, right.sets) for name in ("ana", "ben")}
