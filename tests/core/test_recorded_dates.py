"""A date that was recorded stands when a completion is folded again, whatever zones are today."""

from msgspec.structs import replace

from tests.core.scenes import (
    DAY,
    HOUR,
    NOW,
    POLICY,
    TODAY,
    Log,
    completion,
    reason_of,
    revoke,
    world,
)

EAST = "Pacific/Kiritimati"
"""Two in the morning of the next date there, which begins at three: still today."""


def again(recorded_date: int | None) -> Log:
    return Log(replace(world(), recorded_date=recorded_date))


def test_without_one_the_zone_decides() -> None:
    assert again(None).take(completion(1, NOW, EAST), NOW).local_date == TODAY
    assert Log().world.recorded_date is None


def test_one_stands_against_the_zones() -> None:
    log = again(TODAY + 1)
    outcome = log.take(completion(1, NOW, EAST), NOW)
    assert (outcome.verdict, outcome.local_date, outcome.tz) == ("accepted", TODAY + 1, EAST)
    assert log.state.sets.practised == ((TODAY + 1, 1),)
    assert log.state.dateline.recent[0][0] == TODAY + 1
    assert outcome.seen is not None
    assert outcome.seen.entry.local_date == TODAY + 1
    assert outcome.unlocks[0].reached_on == TODAY + 1


def test_the_policys_first_date_is_compared_with_the_recorded_one() -> None:
    first = POLICY.earliest_date
    night, noon = first * DAY + HOUR, first * DAY + 12 * HOUR
    assert reason_of(again(None).take(completion(1, night), night)) == "before_earliest_date"
    assert again(first).take(completion(1, night), night).local_date == first
    assert again(None).take(completion(1, noon), noon).local_date == first
    for before in (first - 1, 0):
        assert reason_of(again(before).take(completion(1, noon), noon)) == "before_earliest_date"


def test_revocations_are_those_of_the_recorded_date() -> None:
    log = again(TODAY - 1)
    log.take(revoke("r1", TODAY - 1), NOW)
    log.take(revoke("r2", TODAY), NOW)
    assert log.take(completion(1, NOW), NOW).revoked_by == ("r1",)


def test_what_makes_no_sense_stays_rejected() -> None:
    outcome = again(TODAY).take(completion(1, NOW, practice=" "), NOW)
    assert reason_of(outcome) == "bad_practice"
