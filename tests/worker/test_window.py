"""The windowed table over a store that keeps records whole: as over one that has them expanded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from pipeline.codec.state import encode_cover, encode_seen
from pipeline.core.dedupe import SeenCompletion, SeenUpdate, Session
from pipeline.engine.batch import TableView
from pipeline.engine.ports import Message, TopicPartition
from pipeline.engine.recovery.replay import replay
from pipeline.engine.state.lazy_records import REGION
from pipeline.engine.state.rocks import RocksDisk
from pipeline.engine.state.store import PartitionStore
from pipeline.worker import window
from pipeline.worker.window import DAY_MS, Sweep, Window
from tests.engine.changelogs import Record

SEEN = window.spec_of("seen-changelog", b"w")
WINDOW_MS = 35 * DAY_MS
AT_MS = 20_000 * DAY_MS
CELL = 80_000
ANN = "ann"


class Log:
    """A producer whose records can be read back."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []

    def produce(self, _: str, __: int, key: bytes, value: bytes | None) -> None:
        self.records.append((key, value))


def update(number: int, at_ms: int = AT_MS) -> SeenUpdate:
    """A completion by its number; each is the only session of the cell."""
    completion, session = f"completion-{number}", f"session-{number}"
    entry = SeenCompletion(
        completion, session, "breath", at_ms - 60_000, at_ms, "completions", 0, number, at_ms
    )
    cover = (Session(at_ms - 60_000, at_ms, completion, "completions", 0, number),)
    return SeenUpdate(entry, ((CELL, cover),))


def written(*completions: SeenUpdate, user: str = ANN) -> list[tuple[bytes, bytes | None]]:
    """The changelog records of accepted completions."""
    log = Log()
    view = TableView(SEEN, cast(PartitionStore, _Empty()), cast(Any, log))
    for completion in completions:
        Window(view, WINDOW_MS).remember(user, completion)
    return log.records


class _Empty:
    """A store with nothing in it."""

    partition = 0

    def __init__(self) -> None:
        self.overlay: dict[bytes, bytes | None] = {}
        self.disk = self.lazy = self
        self.is_any = False

    def get(self, _: bytes) -> None:
        return None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    opened = PartitionStore(0, RocksDisk(tmp_path).open(0), "blue")
    yield opened
    opened.close()


def restore(
    store: PartitionStore,
    records: list[tuple[bytes, bytes | None]],
    *,
    start: int = 0,
    is_bulk: bool = True,
) -> None:
    changelog = TopicPartition(SEEN.changelog, 0)
    records_read = [Record(changelog, start + at, *record) for at, record in enumerate(records)]
    store.expect_bulk(is_bulk)
    replay(store, SEEN, cast(list[Message], records_read), "id")
    store.expect_bulk(False)
    assert store.lazy.is_any == is_bulk


def seen_by(store: PartitionStore) -> Window:
    view = TableView(SEEN, store, cast(Any, Log()))
    seen = Window(view, WINDOW_MS)
    seen.now = AT_MS
    return seen


def test_a_lazy_completion_is_found_by_id_by_session_and_by_cover(store: PartitionStore) -> None:
    restore(store, written(update(1), update(2)))
    assert seen_by(store).by_id(ANN, "completion-1") == update(1).entry
    assert not [key for key, _ in store.disk.scan(REGION, REGION)]
    assert seen_by(store).by_session(ANN, "session-2") == update(2).entry
    assert seen_by(store).cover(ANN, CELL) == update(2).covers[0][1]


@pytest.mark.parametrize("look", ["by_session", "cover"])
def test_each_look_up_expands_first(store: PartitionStore, look: str) -> None:
    restore(store, written(update(1)))
    seen = seen_by(store)
    found = seen.cover(ANN, CELL) if look == "cover" else seen.by_session(ANN, "session-1")
    assert found == (update(1).covers[0][1] if look == "cover" else update(1).entry)


def test_what_is_remembered_is_later_than_what_is_lazy(store: PartitionStore) -> None:
    restore(store, written(update(1), update(2)))
    seen_by(store).remember(ANN, update(3))
    store.disk.write(list(store.overlay.items()))
    store.discard()
    store.lazy.expand_owner(SEEN, b"")
    assert seen_by(store).cover(ANN, CELL) == update(3).covers[0][1]
    assert seen_by(store).by_id(ANN, "completion-1") == update(1).entry


def test_a_repaired_record_is_found_in_every_way(store: PartitionStore) -> None:
    restore(store, written(update(1)))
    ((key, value),) = written(update(2))
    seen = seen_by(store)
    seen.repair(key, value)
    assert seen.by_id(ANN, "completion-2") == update(2).entry
    assert seen.by_session(ANN, "session-2") == update(2).entry
    assert seen.cover(ANN, CELL) == update(2).covers[0][1]  # later than what was lazy
    assert seen.by_id(ANN, "completion-1") == update(1).entry


def test_a_repair_deletes_one_key_at_a_time(store: PartitionStore) -> None:
    restore(store, written(update(1), update(2)))
    log = Log()
    seen = Window(TableView(SEEN, store, cast(Any, log)), WINDOW_MS)
    seen.now = AT_MS
    seen.repair(b"iann\0completion-1", None)
    assert seen.by_id(ANN, "completion-1") is None
    assert seen.by_session(ANN, "session-1") is None
    assert seen.by_id(ANN, "completion-2") == update(2).entry
    seen.repair(b"oann\0" + CELL.to_bytes(8, "big"), None)
    assert seen.cover(ANN, CELL) == ()
    assert log.records == [(b"iann\0completion-1", None), (b"oann\0" + CELL.to_bytes(8), None)]


def test_one_user_is_expanded_and_another_is_not(store: PartitionStore) -> None:
    records = written(update(1)) + written(update(2), user="anna") + written(update(3), user="an")
    restore(store, records)
    assert seen_by(store).by_id(ANN, "completion-1") == update(1).entry
    left = [key for key, _ in store.disk.scan(REGION, REGION)]
    assert [key[8 : key.index(0, 8)] for key in left] == [b"an", b"anna"]


def test_all_entries_of_a_record_are_its_owners() -> None:
    for key, value in written(update(1), user="ann\u00e9"):
        entries = window.expand(key, value)
        assert [entry[:1] for entry, _ in entries] == [b"i", b"s", b"o"]
        assert {window.owner(entry) for entry, _ in entries} == {"ann\u00e9".encode() + b"\0"}


def test_a_sweep_spares_what_a_lazy_record_made_new(store: PartitionStore) -> None:
    old = AT_MS - WINDOW_MS - 1
    restore(store, written(update(1, old)), is_bulk=False)
    restore(store, written(update(1)), start=1)
    table = TableView(SEEN, store, cast(Any, Log()))
    assert Sweep(WINDOW_MS).step(table, AT_MS) == 0
    assert seen_by(store).by_id(ANN, "completion-1") == update(1).entry


def test_a_changelog_written_anew_is_expanded_to_the_same(store: PartitionStore) -> None:
    restore(store, written(update(1), update(2)), is_bulk=False)
    again = list(window.records(store.scan(SEEN)))
    kinds = [key[:1] for key, _ in again]
    assert kinds == [b"i", b"i", b"o"]
    assert dict(window.expand(*again[0]))[again[0][0]] == dict(store.scan(SEEN))[again[0][0]]
    assert encode_seen(update(1).entry) in (again[0][1] or b"")
    assert (again[2][1] or b"").endswith(encode_cover(update(2).covers[0][1]))


def an_i(**other: Any) -> bytes:
    """The value of the record of `update(1)`, with other contents where they are said."""
    ((_, value),) = written(update(1))
    whole = msgspec.msgpack.decode(value or b"")
    parts = dict(zip(("append_time", "session_id", "seen", "covers"), whole, strict=True))
    return msgspec.msgpack.encode(list({**parts, **other}.values()))


COMPLETION = encode_seen(update(1).entry)
COVER = encode_cover(update(1).covers[0][1])
STAMP = AT_MS.to_bytes(8)
I_KEY, S_KEY = b"iann\0completion-1", b"sann\0session-1"
O_KEY = b"oann\0" + CELL.to_bytes(8)


def far(append_time: int) -> bytes:
    """The bytes of a completion that was appended at some time."""
    entry = update(1).entry
    return encode_seen(msgspec.structs.replace(entry, append_time=append_time))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[(key, None) for key in (I_KEY, S_KEY, O_KEY)],
        (I_KEY, an_i()),
        (I_KEY, an_i(covers=[])),
        (S_KEY, STAMP + b"completion-1"),
        (O_KEY, STAMP + COVER),
        (O_KEY, STAMP + encode_cover(())),
    ],
)
def test_what_a_worker_writes_is_a_record(key: bytes, value: bytes | None) -> None:
    assert window.is_record(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"xann\0completion-1", None),
        (b"xann\0completion-1", an_i()),
        (I_KEY, b""),
        (I_KEY, b"junk"),
        (I_KEY, STAMP + COMPLETION),
        (I_KEY, an_i(append_time=AT_MS + 1)),
        (I_KEY, an_i(append_time=2**64 - 1, seen=far(2**64 - 1))),
        (I_KEY, an_i(session_id="session-2")),
        (I_KEY, an_i(seen=b"")),
        (I_KEY, an_i(seen=COMPLETION[1:])),
        (I_KEY, an_i(covers=[(CELL, b"")])),
        (I_KEY, an_i(covers=[(CELL, COVER), (CELL + 1, COVER[:-1])])),
        (I_KEY, an_i(covers=[(2**63, COVER)])),
        (b"iann\0completion-2", an_i()),
        (b"iann\0\xff", an_i()),
        (b"iann", an_i()),
        (S_KEY, b""),
        (S_KEY, STAMP),
        (S_KEY, STAMP[1:] + b"c"),
        (S_KEY, STAMP + b"\xff"),
        (O_KEY, b""),
        (O_KEY, STAMP),
        (O_KEY, COVER),
        (O_KEY, STAMP + COVER[:-1]),
        (O_KEY[:-1], STAMP + COVER),
        (O_KEY + b"\0", STAMP + COVER),
        (b"oann", STAMP + COVER),
    ],
)
def test_what_no_worker_writes_is_none(key: bytes, value: bytes | None) -> None:
    assert not window.is_record(key, value)
