"""What the watch over changelogs tells, and what it leaves to the engine to do."""

from typing import cast

from pipeline.engine.changelog_watch import GONE_LOOK_EVERY_S, LOOK_EVERY_S, ChangelogWatch
from pipeline.engine.engine_config import EngineConfig
from pipeline.engine.ports import Cluster
from tests.engine.changelogs import SEEN, USERS
from tests.engine.told import Told

KNOWN = {USERS.changelog: "users-1", SEEN.changelog: "seen-1"}


class Watched:
    """A cluster of which only topic ids are asked, and the watch over it."""

    def __init__(self) -> None:
        self.now = LOOK_EVERY_S
        self.ids = dict(KNOWN)
        self.told = Told()
        config = EngineConfig("blue", ("in",), (USERS, SEEN), clock=lambda: self.now)
        self.watch = ChangelogWatch(config, cast(Cluster, self), self.told)

    def topic_ids_soon(self, topics: list[str]) -> dict[str, str]:
        return {name: self.ids[name] for name in topics if name in self.ids}

    def look(self, known: dict[str, str], seconds: float = LOOK_EVERY_S) -> list[str]:
        self.now += seconds
        return self.watch.made_again(known)


def test_one_that_is_another_is_told_and_returned() -> None:
    watched = Watched()
    assert watched.look(KNOWN) == []
    watched.ids[USERS.changelog] = "users-2"
    assert watched.look(KNOWN) == [USERS.changelog]
    assert watched.told.said == [("changelogs_lost", ([USERS.changelog], True))]


def test_one_that_is_gone_is_told_until_it_is_back() -> None:
    watched = Watched()
    del watched.ids[USERS.changelog]
    for _ in range(2):
        assert watched.look(KNOWN, GONE_LOOK_EVERY_S) == []
    watched.ids[USERS.changelog] = "users-2"
    assert watched.look(KNOWN, GONE_LOOK_EVERY_S) == [USERS.changelog]
    assert watched.told.said == [
        ("changelogs_lost", ([USERS.changelog], is_back)) for is_back in (False, False, True)
    ]
