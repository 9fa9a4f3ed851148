"""The read store compared with the topic: who is found, of what was damaged, and who is not."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.api.reads import store_comparison
from pipeline.api.reads.store import Change, Identity, ProgressStore
from pipeline.api.reads.store_comparison import Comparison, Differences
from pipeline.codec.published import NotPublishedError
from pipeline.dev.local.stack import LocalStack
from tests.api.scene import person
from tests.api.serving import serving
from tests.api.test_materialise import metric, publish
from tests.integration.ledger import Ledger

GARBAGE = b"garbage"


def revision_of(value: bytes) -> int:
    if value == GARBAGE:
        raise NotPublishedError("it is garbage")
    return int(value.split()[0])


class Scene:
    """Partition 0 of a topic, and a store that follows it."""

    def __init__(self, folder: Path) -> None:
        self.store = ProgressStore(folder, 8 << 20)
        self.store.replace(Identity("t.progress", "one", 1), "it is empty")
        self.log: list[tuple[int, bytes, bytes | None]] = []
        self.applied = 0
        self.compared = Comparison(self.store, revision_of)

    def publish(self, user: str, value: bytes | None) -> None:
        self.log.append((self.end, user.encode(), value))

    @property
    def end(self) -> int:
        return self.log[-1][0] + 1 if self.log else 0

    def follow(self) -> None:
        """Let the store come to the end of the topic."""
        changes = [
            Change(key, 0, offset, 0 if value is None else revision_of(value), 1, value)
            for offset, key, value in self.log[self.applied :]
            if value != GARBAGE
        ]
        self.store.apply(changes, {0: self.end})
        self.applied = len(self.log)

    def damage(self, user: str, value: bytes | None, offset: int) -> None:
        """Put something else into the store, past its rules."""
        self.store.apply([Change(user.encode(), 0, 0, 0, 1, None)], {})
        if value is not None:
            self.store.apply([Change(user.encode(), 0, offset, revision_of(value), 1, value)], {})

    def read(self, first: int = 0) -> None:
        for offset, key, value in self.log:
            if offset >= first:
                self.compared.take(0, offset, key, value)

    def found(self) -> Differences:
        """One whole pass over topic and store as they are."""
        self.read()
        self.compared.find_surplus({0: self.end}, lambda _: None)
        return self.compared.differences()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    for user in ("ann", "bob", "eve", "zoe"):
        for revision in (1, 2):
            made.publish(user, f"{revision} of {user}".encode())
    made.publish("eve", None)
    made.publish("bob", b"1 late, of another generation")
    made.publish("zoe", GARBAGE)
    made.follow()
    yield made
    made.store.close()


def test_nobody_is_found_where_the_store_has_the_last_records(scene: Scene) -> None:
    assert scene.store.users == 3
    assert scene.found() == {}


def test_an_empty_topic_and_an_empty_store_say_the_same(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.found() == {}
    scene.store.close()


@pytest.mark.parametrize(
    ("user", "value", "offset", "kind"),
    [
        ("ann", None, 0, "missing"),
        ("ann", b"2 of somebody", 1, "unlike"),
        ("ann", b"1 of ann", 0, "unlike"),
        ("eve", b"2 of eve", 5, "surplus"),
        ("una", b"1 of una", 3, "surplus"),
        ("una", b"1 of una", 8, "surplus"),
    ],
)
def test_a_store_that_is_damaged_is_found(
    scene: Scene, user: str, value: bytes | None, offset: int, kind: str
) -> None:
    scene.damage(user, value, offset)
    assert scene.found() == {user.encode(): kind}


def test_who_changes_meanwhile_is_not_found_once_the_store_has_come_as_far(scene: Scene) -> None:
    scene.publish("ann", b"3 of ann")
    scene.publish("eve", b"1 of eve, who is back")
    scene.publish("zoe", None)
    scene.publish("new", b"1 of new")
    scene.read()
    assert set(scene.compared.differences()) == {b"ann", b"eve", b"zoe", b"new"}
    scene.follow()
    scene.compared.find_surplus({0: scene.end}, lambda _: None)
    assert scene.compared.differences() == {}


def test_what_the_store_has_beyond_the_end_that_was_read_is_not_surplus(scene: Scene) -> None:
    end = scene.end
    scene.read()
    scene.publish("new", b"1 of new")
    scene.publish("ann", b"3 of ann")
    scene.follow()
    scene.compared.find_surplus({0: end}, lambda _: None)
    assert scene.compared.differences() == {}


def test_a_record_that_compaction_took_away_meanwhile_is_no_surplus_at_the_second_look(
    scene: Scene,
) -> None:
    scene.log = [record for record in scene.log if record[1] != b"ann"]
    end = scene.end
    assert scene.found() == {b"ann": "surplus"}
    scene.applied = len(scene.log)
    scene.publish("ann", b"3 of ann")
    scene.follow()
    scene.read(end)
    assert scene.compared.differences() == {}


def test_very_many_who_differ_are_found_up_to_a_number(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_comparison, "WATCHED_MAX", 1)
    scene.damage("ann", None, 0)
    scene.damage("zoe", None, 0)
    assert scene.found() == {b"ann": "missing"}


def test_a_store_of_several_pages_is_looked_through(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_comparison, "USERS_AT_ONCE", 1)
    scene.damage("una", b"1 of una", 3)
    scene.read()
    looked_at: list[int] = []
    scene.compared.find_surplus({0: scene.end}, looked_at.append)
    assert scene.compared.differences() == {b"una": "surplus"}
    assert sum(looked_at) == 4


@pytest.mark.verify
def test_a_running_api_names_whom_its_store_has_lost_or_has_otherwise(
    stack: LocalStack, topic_prefix: str, tmp_path: Path, published: Path
) -> None:
    ledger = Ledger(stack, topic_prefix, tmp_path, published)
    ledger.set_up()
    publish(ledger, *(person(f"user-{number}", revision=2) for number in range(300)))
    folder = tmp_path / "api" / f"{ledger.prefix}api" / "progress"
    rate = {"API_SCRUB_RECORDS_PER_S": "100000"}
    differing = "awaway_api_scrub_users_differing"
    with serving(ledger, **rate) as running:
        passed = "awaway_api_scrub_last_pass_timestamp_seconds"
        ledger.wait_for(lambda: metric(running, passed) > 0)
        assert metric(running, differing) == 0
    with closing(ProgressStore(folder, 8 << 20)) as store:
        was = store.get("user-7")
        assert was is not None
        erased = [Change(user, 0, 0, 0, 1, None) for user in (b"user-7", b"user-8")]
        store.apply(erased, {})
        store.apply([Change(b"user-7", *was[:-1], was.value[:-1] + b"?")], {})
    with serving(ledger, **rate) as running:
        ledger.wait_for(lambda: metric(running, differing) == 2)
        assert metric(running, 'awaway_api_scrub_differences_total{kind="unlike"}') == 1
        assert metric(running, 'awaway_api_scrub_differences_total{kind="missing"}') == 1
        assert '"user-7": "unlike", "user-8": "missing"' in running.log()
        # The next record of a user puts its own right.
        publish(ledger, *(person(f"user-{number}", revision=3) for number in (7, 8)))
        ledger.wait_for(lambda: metric(running, differing) == 0)
        assert "say the same again" in running.log()
    ledger.close()
