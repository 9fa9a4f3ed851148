"""What the watch over changelogs tells, and what it leaves to the engine to do."""

import itertools
from typing import cast

import pytest

from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import BrokerError
from pipeline.engine.ports import Cluster
from pipeline.engine.recovery.changelog_identity import (
    GONE_LOOK_EVERY_S,
    LOOK_EVERY_S,
    ChangelogIdentity,
)
from tests.engine.changelogs import SEEN, USERS
from tests.engine.recording_observer import RecordingObserver

KNOWN = {USERS.changelog: "users-1", SEEN.changelog: "seen-1"}


class Watched:
    """A cluster of which only topic ids are asked, and the watch over it."""

    def __init__(self) -> None:
        self.now = LOOK_EVERY_S
        self.ids = dict(KNOWN)
        self.is_away = False
        self.asked_at: list[float] = []
        self.observed = RecordingObserver()
        config = EngineConfig("blue", ("in",), (USERS, SEEN), clock=lambda: self.now)
        self.watch = ChangelogIdentity(config, cast(Cluster, self), self.observed)

    def topic_ids_soon(self, topics: list[str]) -> dict[str, str]:
        self.asked_at.append(self.now)
        if self.is_away:
            raise BrokerError("away")
        return {name: self.ids[name] for name in topics if name in self.ids}

    def look(self, known: dict[str, str], seconds: float = LOOK_EVERY_S) -> list[str]:
        self.now += seconds
        return self.watch.recreated(known)


def test_one_that_is_another_is_told_and_returned() -> None:
    watched = Watched()
    assert watched.look(KNOWN) == []
    watched.ids[USERS.changelog] = "users-2"
    assert watched.look(KNOWN) == [USERS.changelog]
    assert watched.observed.said == [("changelogs_lost", ([USERS.changelog], True))]


def test_one_that_is_gone_is_told_until_it_is_back() -> None:
    watched = Watched()
    del watched.ids[USERS.changelog]
    for _ in range(2):
        assert watched.look(KNOWN, GONE_LOOK_EVERY_S) == []
    watched.ids[USERS.changelog] = "users-2"
    assert watched.look(KNOWN, GONE_LOOK_EVERY_S) == [USERS.changelog]
    assert watched.observed.said == [
        ("changelogs_lost", ([USERS.changelog], is_back)) for is_back in (False, False, True)
    ]


def test_it_looks_from_the_first_moment_of_the_clock_on() -> None:
    watched = Watched()
    watched.now = 0.0
    watched.ids[USERS.changelog] = "users-2"
    assert watched.look(KNOWN, 0.0) == [USERS.changelog]


def test_nothing_is_asked_before_something_was_restored() -> None:
    watched = Watched()
    assert watched.look({}) == []
    assert watched.asked_at == []
    assert watched.observed.said == []


@pytest.mark.parametrize("fate", ["there", "gone", "away"])
def test_it_asks_now_and_then_and_more_often_while_one_is_gone(fate: str) -> None:
    watched = Watched()
    watched.now = 0.0
    watched.is_away = fate == "away"
    if fate == "gone":
        del watched.ids[USERS.changelog]
    for _ in range(40):
        watched.look(KNOWN, 0.25)
    every_s = GONE_LOOK_EVERY_S if fate == "gone" else LOOK_EVERY_S
    asked_at = watched.asked_at
    assert {after - before for before, after in itertools.pairwise(asked_at)} == {every_s}
