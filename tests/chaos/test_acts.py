"""What the operator of a chaos run acts with: users who may be damaged, and a shell."""

import os
import random
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from chaos import shell
from chaos.cohort import AGAIN_DAYS, ALL_DAYS, FIRST_DAYS, USERS, Cohort
from chaos.errors import ChaosError, OverdueError
from chaos.judge import policy
from chaos.ledger import Ledger
from chaos.sender import Sender
from chaos.shell import Shell
from pipeline.clock import now_ms
from pipeline.core.sets import Sets
from pipeline.core.state import EMPTY
from pipeline.dev.demo.damage import damaged
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.people import DAY_MS


class Taken:
    """A sender that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[InputRecord] = []
        self.send = self.records.append

    def poll(self) -> None:
        """Nothing is under way."""

    def days(self) -> dict[str, set[int]]:
        """The UTC days on which each user practised, of what came since the last call."""
        found: dict[str, set[int]] = {}
        for record in self.records:
            assert record.key is not None
            found.setdefault(record.key.decode(), set()).add(record.append_time_ms // DAY_MS)
        self.records.clear()
        return found


def test_what_a_damaged_user_does_reaches_no_portal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.cohort.PAUSE_S", 0.0)
    taken = Taken()
    cohort = Cohort("act1", cast(Sender, taken), random.Random(1))
    last = (date.fromisoformat(cohort.date(0)) - date(1970, 1, 1)).days
    cohort.begin()
    first = set(range(last - FIRST_DAYS + 1, last + 1))
    assert taken.days() == dict.fromkeys(cohort.users, first)
    cohort.go_on()
    more = set(range(last - ALL_DAYS + 1, last - FIRST_DAYS + 1))
    assert taken.days() == dict.fromkeys(cohort.users, more)
    for _ in range(40 * USERS):
        cohort.practise()
    again = taken.days()
    assert set.union(*again.values()) <= set(range(last - AGAIN_DAYS + 1, last + 1))

    days = sorted(portal.day for portal in policy().at(now_ms()).portals)
    reached = [day for day in days if day <= FIRST_DAYS]
    assert ALL_DAYS in days and ALL_DAYS not in reached  # it is missed by who is damaged
    lost = range(AGAIN_DAYS, FIRST_DAYS)
    longest = max(AGAIN_DAYS, ALL_DAYS - FIRST_DAYS)  # on either side of what is lost
    assert len(lost) > 0 and not any(day <= longest for day in days if day not in reached)


def test_nobody_is_damaged_before_everything_is_processed() -> None:
    cohort = Cohort("act1", cast(Sender, Taken()), random.Random(1))
    state = msgspec.structs.replace(EMPTY, sets=Sets(practised=((20_000, FIRST_DAYS),)))
    states = dict.fromkeys([*cohort.users, "somebody"], state)
    assert cohort.chosen(states) == cohort.users
    states[cohort.users[0]] = damaged(state)
    with pytest.raises(ChaosError, match="not there yet"):
        cohort.chosen(states)
    del states[cohort.users[0]]
    with pytest.raises(ChaosError, match="not there yet"):
        cohort.chosen(states)


def test_a_command_is_given_until_it_ends_as_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def environment(**settings: Any) -> dict[str, str]:
        return os.environ | {f"AWAWAY_{name}": value for name, value in settings.items()}

    ledger = cast(Ledger, SimpleNamespace(launcher=(), environment=environment))
    ticks: list[int] = []
    its = Shell(ledger, tmp_path / "operator", lambda: ticks.append(1))
    assert its.run("rebuild", "list")["rebuilds"] == []
    assert ticks
    assert its.kill("rebuild", "list", begun=lambda: True, after_s=0.0)
    monkeypatch.setattr(shell, "ACT_S_MAX", 0.0)
    with pytest.raises(OverdueError) as caught:
        its.run("rebuild", "status", codes=(0, 2))  # an error is no answer, whatever its code
    assert "there is no rebuild" in caught.value.why
