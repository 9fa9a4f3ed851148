"""The whole readable state, at a glance."""

import msgspec

from pipeline.core.keys import key_ids
from pipeline.core.records import Cause, Dates, Keys, Run
from pipeline.core.state import EMPTY, Unlocked
from tests.core.scenes import (
    DAY,
    NOW,
    USER,
    Log,
    claim,
    completion,
    credit,
    revoke,
    withdraw,
)

TODAY = NOW // DAY


def test_nobody_yet() -> None:
    progress = Log().progress(NOW)
    assert progress.revision == 0
    assert progress.dates == Dates()
    assert progress.keys == Keys()
    assert (progress.streak_days, progress.last_local_date) == (0, None)
    assert (progress.tz, progress.tz_known) == ("UTC", False)


def test_everything_at_once() -> None:
    log = Log()
    for n in range(3):
        when = NOW + n * DAY
        log.take(completion(n, when, "Europe/Berlin"), when)
    later = NOW + 3 * DAY
    (first_key,) = key_ids(USER, 0, "bindu", 1)
    (second_key,) = key_ids(USER, 0, "vesica-piscis", 1)
    log.take(credit("r1", TODAY - 1), later)
    log.take(credit("r2", TODAY - 5), later)
    log.take(credit("r3", TODAY - 6), later)
    log.take(revoke("r4", TODAY - 5), later)
    log.take(revoke("r5", TODAY), later)
    log.take(withdraw("r6", "r5"), later)
    log.take(claim("r7", first_key), later)
    progress = log.progress()
    assert msgspec.structs.asdict(progress) == {
        "user_id": USER,
        "revision": 10,
        "streak_days": 4,
        "longest_days": 4,
        "lifetime_days": 5,
        "lap": 0,
        "cycle_day": 4,
        "last_local_date": TODAY + 2,
        "streak_safe_until": TODAY + 3,
        "tz": "Europe/Berlin",
        "dates": Dates(
            practised=(Run(TODAY, 3),),
            bridged=(),
            credited=(Run(TODAY - 6, 2), Run(TODAY - 1, 1)),
            revoked=(Run(TODAY - 5, 1),),
        ),
        "portals": (
            Unlocked(0, "bindu", TODAY, NOW, "asset-1-3"),
            Unlocked(0, "vesica-piscis", TODAY + 2, NOW + 2 * DAY, "asset-3-3"),
        ),
        "keys": Keys(tuple(sorted((first_key, second_key))), (first_key,)),
        "field_keys_pending": 1,
        "figure": "figure-7",
        "frame": 4,
        "variant": 3,
        "asset_id": "asset-4-3",
        "policy_version": "2026-06",
        "generation": "blue",
        "updated_at": later,
        "cause": Cause("completions", 0, 0, ""),
        "tz_known": True,
    }


def test_the_same_state_at_another_instant() -> None:
    log = Log()
    log.take(completion(1, NOW), NOW)
    state = log.state
    assert [log.progress(NOW + n * DAY).streak_days for n in range(4)] == [1, 1, 0, 0]
    assert log.state is state
    assert state is not EMPTY
    assert EMPTY.revision == 0
