"""The scrub in the background: who is found, of what was damaged, and who is not."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from pipeline.codec.state import encode_state
from pipeline.core.sets import Sets, digest_of
from pipeline.core.state import UserState
from pipeline.engine.batch import OpenPartition
from pipeline.engine.errors import CorruptStoreError
from pipeline.engine.pages import Page, Pages
from pipeline.engine.ports import TopicPartition
from pipeline.engine.state.checkpoint import FORMAT, Checkpoint
from pipeline.engine.state.store import PartitionStore
from pipeline.kafka.reader import Partition, PolledRecords
from pipeline.observability.prometheus import WorkerMetrics
from pipeline.worker import scrubbing
from pipeline.worker.changelog_index import ChangelogIndex
from pipeline.worker.scrubbing import Findings, Scrubber, kind_of, walk
from pipeline.worker.telemetry import Telemetry
from tests.engine.changelogs import USERS, Changelogs, Reader, Store
from tests.worker.scraping import scraped

SOURCE = TopicPartition(USERS.changelog, 0)


def state(*days: tuple[int, int]) -> bytes:
    """A state that agrees with itself."""
    sets = Sets(practised=days)
    return encode_state(UserState(revision=1, digest=digest_of(sets), sets=sets))


GOOD, OTHER = state((20_000, 3)), state((20_000, 2))
TORN = encode_state(UserState(revision=1, sets=Sets(practised=((20_000, 3),))))
"""A state whose sets are not those that it was stored with."""


class Log:
    """A reader of the changelogs in memory."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def assign(self, offsets: dict[Partition, int]) -> None:
        self.reader.assign({TopicPartition(*one): max(0, at) for one, at in offsets.items()})

    def poll(self, records_max: int, wait_s: float) -> PolledRecords:
        records, ends = self.reader.poll(records_max, wait_s)
        return PolledRecords(records, dict(ends))  # type: ignore[arg-type] # they have what it asks


class Scene:
    """One open partition, its changelog, and a scrub of both.

    Attributes:
        between: is called before each page but the first.
    """

    def __init__(self) -> None:
        self.changelogs = Changelogs()
        self.disk = Store({})
        self.store = PartitionStore(0, self.disk, "blue")
        self.opened = {0: OpenPartition(self.store, Checkpoint(FORMAT, "blue", {}, b""), set())}
        self.pages = Pages(USERS)
        self.scratch = Store({})
        self.read = 0
        self.compared = 0
        self.between: list[Callable[[], None]] = []

    def commit(self, *entries: tuple[bytes, bytes | None]) -> None:
        """What a transaction of the worker does to both sides."""
        self.changelogs.write(USERS, 0, *entries)
        self.changelogs.mark(0, {"in": self.changelogs.end(SOURCE)})
        for key, value in entries:
            self.store.overlay[USERS.prefix + key] = value
        at = self.changelogs.end(SOURCE)
        self.changelogs.ends[SOURCE] = at + 1  # the control marker behind it
        checkpoint = Checkpoint(FORMAT, "blue", {"in": at}, b"")
        self.store.apply(checkpoint, {USERS.changelog: ("users-1", at)})

    def ask(self, start: bytes, most: int) -> Page:
        answer = self.pages.ask(0, start, most)
        self.pages.serve(self.opened)
        page = answer.result(0)
        assert page is not None
        return page

    def asked(self, start: bytes, most: int) -> Page:
        if self.between:
            self.between.pop(0)()
        return self.ask(start, most)

    def scrub(self) -> Findings:
        def spent(count: int) -> None:
            self.read += count

        def compared(count: int) -> None:
            self.compared += count

        first = self.ask(b"", 1)
        log = Log(self.changelogs.changelog_reader())
        index = ChangelogIndex(log, SOURCE, self.scratch, spent)
        return walk(self.asked, index, first, compared)


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    for number in range(3):
        made.commit(*((f"user-{one}".encode(), state((number, 1))) for one in range(5)))
    made.commit((b"user-4", None))
    return made


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "PAGE_USERS", 2)


@pytest.mark.usefixtures("small_pages")
def test_nobody_is_found_where_both_sides_say_the_same(scene: Scene) -> None:
    assert scene.scrub() == {}
    assert scene.compared == 4
    assert scene.read == 3 * 6 + 2


def test_a_partition_without_anybody_is_walked() -> None:
    assert Scene().scrub() == {}


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(
    ("user", "on_disk", "kind"),
    [
        (b"user-0", None, "disk"),
        (b"user-3", None, "disk"),
        (b"user-2", b"\x02garbage", "disk"),
        (b"user-2", TORN, "disk"),
        (b"user-2", GOOD, "undecided"),
        (b"nobody", GOOD, "changelog"),
        (b"zoe", GOOD, "changelog"),
    ],
)
def test_a_disk_that_is_damaged_alone_is_found(
    scene: Scene, user: bytes, on_disk: bytes | None, kind: str
) -> None:
    scene.disk.write([(USERS.prefix + user, on_disk)])
    assert scene.scrub() == {user: kind}


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("is_covered", [False, True])
@pytest.mark.parametrize(
    ("user", "in_changelog", "kind"),
    [
        (b"user-1", None, "changelog"),
        (b"user-1", TORN, "changelog"),
        (b"user-1", GOOD, "undecided"),
        (b"zoe", GOOD, "disk"),
    ],
)
def test_a_changelog_that_is_damaged_alone_is_found_with_inputs_behind_it_or_not(
    scene: Scene, user: bytes, in_changelog: bytes | None, kind: str, is_covered: bool
) -> None:
    scene.changelogs.write(USERS, 0, (user, in_changelog))
    if is_covered:
        scene.commit((b"user-3", OTHER))
    assert scene.scrub() == {user: kind}


@pytest.mark.usefixtures("small_pages")
def test_whoever_changes_during_the_walk_is_not_found(scene: Scene) -> None:
    scene.between = [
        lambda: scene.commit((b"user-0", GOOD), (b"user-3", GOOD)),
        lambda: scene.commit((b"user-0", OTHER), (b"user-3", None), (b"zoe", GOOD)),
        lambda: scene.commit((b"zoe", OTHER)),
    ]
    assert scene.scrub() == {}
    assert scene.compared == 4  # without user-3, with zoe


def test_what_compaction_took_away_meanwhile_is_not_found(scene: Scene) -> None:
    """The record below the page's position is gone, as a later one stands behind it."""

    def change() -> None:
        scene.commit((b"user-0", GOOD))

    log = scene.changelogs.logs[SOURCE]
    log[:] = [record for record in log if record.key() != b"user-0"]
    scene.between = [lambda: None, change]
    assert scene.scrub() == {}


def test_a_difference_that_the_next_input_mends_is_not_found(scene: Scene) -> None:
    scene.changelogs.write(USERS, 0, (b"user-1", TORN))
    scene.between = [lambda: None, lambda: scene.commit((b"user-1", GOOD))]
    assert scene.scrub() == {}


def test_what_follows_is_read_on_to_each_page(scene: Scene) -> None:
    """A page that is later than the changelog's end, as far as it was read, waits for the rest."""
    scene.between = [lambda: scene.commit((b"user-0", GOOD), (b"user-1", TORN))]
    scene.disk.entries[USERS.prefix + b"user-2"] = OTHER
    assert scene.scrub() == {b"user-2": "undecided"}


def test_a_changelog_that_was_recreated_ends_the_walk(scene: Scene) -> None:
    def recreate() -> None:
        position = scene.store.positions[USERS.changelog]
        scene.store.positions = {USERS.changelog: replace(position, topic_id="users-2")}

    scene.between = [recreate]
    with pytest.raises(scrubbing._InterruptedError):
        scene.scrub()


def test_very_many_who_differ_are_found_up_to_a_number(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrubbing, "SUSPECTS_MAX", 2)
    scene.disk.entries.clear()
    assert scene.scrub() == {b"user-0": "disk", b"user-1": "disk"}


@pytest.mark.parametrize(
    ("disk", "changelog", "kind"),
    [
        (GOOD, TORN, "changelog"),
        (TORN, GOOD, "disk"),
        (GOOD, OTHER, "undecided"),
        (TORN, None, "undecided"),
        (b"", OTHER, "disk"),
    ],
)
def test_the_side_that_does_not_agree_with_itself_is_wrong(
    disk: bytes | None, changelog: bytes | None, kind: str
) -> None:
    assert kind_of(disk, changelog) == kind


def test_a_page_has_so_many_entries_and_says_where_the_next_begins(scene: Scene) -> None:
    names = [f"user-{number}".encode() for number in range(4)]
    first, last = scene.ask(b"", 3), scene.ask(names[3], 3)
    assert ([key for key, _ in first.entries], first.following) == (names[:3], names[3])
    assert ([key for key, _ in last.entries], last.following) == (names[3:], None)
    assert (first.topic_id, first.next_offset > 0) == ("users-1", True)
    unwritten = Scene()  # a store that no transaction was applied to
    many = [f"user-{number}".encode() for number in range(9)]
    unwritten.disk.write([(USERS.prefix + name, b"x") for name in many])
    page = unwritten.ask(b"", 3)
    assert (page.topic_id, page.next_offset, page.following) == ("", 0, names[3])
    assert len(page.entries) == 3


def test_a_page_of_a_partition_that_is_not_open_is_none(scene: Scene) -> None:
    answer = scene.pages.ask(1, b"", 1)
    scene.pages.serve(scene.opened)
    assert answer.result(0) is None


def test_a_disk_that_cannot_be_read_fails_its_reader_and_not_the_engine(scene: Scene) -> None:
    def broken(*_: object) -> None:
        raise CorruptStoreError("damaged")

    scene.disk.scan = broken  # type: ignore[method-assign, assignment]
    answer = scene.pages.ask(0, b"", 1)
    scene.pages.serve(scene.opened)
    with pytest.raises(CorruptStoreError):
        answer.result(0)


class Told(NamedTuple):
    """A scrubber whose walks are given, its metrics, and whom it owns."""

    scrubber: Scrubber
    metrics: WorkerMetrics
    telemetry: Telemetry
    walks: list[Findings | Exception]

    def walk(self, found: Findings | Exception) -> list[str]:
        """Let a walk find this; return what is logged."""
        self.walks.append(found)
        with capture_logs() as lines:
            self.scrubber._walk(3)
        return [line["event"] for line in lines]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    metrics = WorkerMetrics(lambda: 1_700_000_000_000)
    telemetry = Telemetry(metrics, lambda: 0, tmp_path)
    telemetry.assigned([3])
    scrubber = Scrubber({}, Pages(USERS), tmp_path / "scrub", 1_000, telemetry, metrics)
    walks: list[Findings | Exception] = []

    def found(_: int) -> Findings:
        one = walks.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    monkeypatch.setattr(scrubber, "_found", found)
    return Told(scrubber, metrics, telemetry, walks)


def counts(told: Told) -> list[float]:
    """Who differs now in the partition, and how many were found on the disk, in the changelog."""
    seen = scraped(told.metrics)
    each = [
        f"awaway_state_scrub_differences_total{{kind={kind}}}" for kind in ("disk", "changelog")
    ]
    return [seen[name] for name in ("awaway_state_scrub_users_differing{partition=3}", *each)]


def test_a_user_counts_and_is_named_once_until_it_agrees_again(told: Told) -> None:
    assert told.walk({}) == []
    assert counts(told) == [0, 0, 0]
    assert told.walk({b"ann": "disk"}) == ["disk and changelog differ"]
    assert told.walk({b"ann": "disk"}) == []
    assert told.walk({b"ann": "disk", b"bob": "changelog"}) == ["disk and changelog differ"]
    assert counts(told) == [2, 1, 1]
    assert told.walk({}) == ["disk and changelog say the same again"]
    assert counts(told) == [0, 1, 1]
    told.walk({b"ann": "disk"})
    assert counts(told) == [1, 2, 1]
    walked = scraped(told.metrics)["awaway_state_scrub_last_walk_timestamp_seconds{partition=3}"]
    assert walked == 1_700_000_000


def test_a_disk_that_cannot_be_read_is_a_difference(told: Told) -> None:
    assert "the disk cannot be read" in told.walk(CorruptStoreError("a block is damaged"))
    told.walk(CorruptStoreError("a block is damaged"))
    assert counts(told) == [1, 1, 0]


def test_a_log_line_names_some_and_counts_the_rest(told: Told) -> None:
    many: Findings = {f"user-{number:02}".encode(): "disk" for number in range(25)}
    told.walks.append(many | {b"\xff": "disk"})
    with capture_logs() as lines:
        told.scrubber._walk(3)
    (line,) = lines
    assert (next(iter(line["users"])), len(line["users"]), line["more"]) == ("user-00", 20, 6)
    assert "awaway scrub --user" in line["fix"]


def test_a_partition_that_goes_takes_its_series_along(told: Told) -> None:
    told.walk({b"ann": "disk"})
    told.metrics.scrub_progressed(3, 5, 7)
    told.telemetry.revoked([3], lost=False)
    assert not [name for name in scraped(told.metrics) if "scrub" in name and "partition" in name]
