"""State that is damaged in a demonstration: what is lost, what is told of it, and a whole run."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pipeline.core.sets import Sets, digest_of
from pipeline.core.state import EMPTY, UserState
from pipeline.dev.demo.comparing import Differences
from pipeline.dev.demo.damage import DAMAGED_MIN, damaged, last_run_days, some
from pipeline.dev.demo.errors import DemoError
from pipeline.dev.demo.outputs import Outputs
from pipeline.dev.demo.rebuild import Rebuilt
from tests.demo.month import ROOT


def test_damage_takes_dates_and_leaves_portals() -> None:
    sets = Sets(practised=((20_000, 3), (20_010, 9)), unlocked=(("bindu", ((0, 1),)),))
    state = msgspec.structs.replace(EMPTY, sets=sets, digest=digest_of(sets))
    assert last_run_days(state) == 9 and last_run_days(EMPTY) == 0
    hit = damaged(state)
    assert hit.sets.practised == ((20_000, 3), (20_018, 1))
    assert hit.sets.unlocked == sets.unlocked
    assert hit.digest == digest_of(hit.sets) != state.digest


def test_only_who_practised_for_long_is_damaged() -> None:
    def with_run(days: int) -> UserState:
        return msgspec.structs.replace(EMPTY, sets=Sets(practised=((20_000, days),)))

    states = {f"u{days}": with_run(days) for days in range(1, 10)}
    assert some(users=40, days_left=3)(states) == ["u5", "u6", "u7"]
    assert len(some(users=40, days_left=0)(states)) == DAMAGED_MIN
    with pytest.raises(DemoError, match="more than 9 days"):
        some(users=40, days_left=8)(states)


def test_what_went_wrong_with_a_rebuild_is_a_difference() -> None:
    portal = {"user_id": "ana", "lap": 0, "portal": "bindu"}
    sound = Rebuilt(["ana", "ben"], ["ana", "ben"], rate=12.34)
    found = Differences()
    sound.judge(Outputs({}, portals=[portal]), found)
    assert found.total == 0
    assert sound.as_dict() == {
        **{"corrupted": 2, "found": 2, "reads": 0, "reader_errors": 0, "steps_back": 0},
        **{"duplicate_portals": 0, "pause_s": 0.0, "rate": 12.3},
    }
    wrong = Rebuilt(["ana"], ["ben"], 1.0, unlike=["dan"], left=["cat"])
    wrong.reader_errors, wrong.steps_back = 2, 1
    wrong.judge(Outputs({}, portals=[portal, portal]), found)
    assert wrong.duplicate_portals == 1
    assert found.counts["rebuild_wrong"] == found.total == 6


@pytest.mark.verify
def test_damage_under_traffic_is_found_and_put_right(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pipeline.cli.main", "demo", "--corrupt", "-o", "json"),
            *("--users", "40", "--days", "10", "--seed", "9", "--root", str(tmp_path / "demo")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout)
    assert summary["oracle"] == {"portals_missing": 0, "portals_extra": 0, "users_wrong": 0}
    assert summary["differences"] == {}
    rebuild = summary["rebuild"]
    assert rebuild["corrupted"] == rebuild["found"] > 0
    assert rebuild["reads"] > 0
    for name in ("reader_errors", "steps_back", "duplicate_portals"):
        assert rebuild[name] == 0
    assert 0 < rebuild["pause_s"] < 60 and rebuild["rate"] > 0
