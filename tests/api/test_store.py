"""The store of progress: which record replaces which, and what it starts from."""

import random
import threading
from pathlib import Path

import pytest

from pipeline.api.reads.freshness import Freshness
from pipeline.api.reads.store import Change, Identity, ProgressStore, ReadStoreError

CACHE = 8 << 20
TOPIC = Identity("t.progress", "one", 2)


def change(user: str, revision: int, offset: int, value: bytes | None = b"v") -> Change:
    return Change(user.encode(), 0, offset, revision, 1_000 + offset, value)


def opened(folder: Path) -> ProgressStore:
    store = ProgressStore(folder, CACHE)
    if store.identity is None:
        store.replace(TOPIC, "it is empty")
    return store


def test_a_newer_revision_is_never_replaced_by_an_older(tmp_path: Path) -> None:
    store = opened(tmp_path)
    rows = [
        change("ann", 5, 10, b"five"),
        change("ann", 4, 11, b"four, late, of another generation"),
        change("bob", 1, 12, b"first"),
        change("bob", 1, 13, b"the same revision, told again"),
        change("bob", 1, 9, b"the same record, read again"),
    ]
    applied = store.apply(rows, {0: 14})
    assert (applied.superseded, sorted(set(applied.users))) == (1, [b"ann", b"bob"])
    ann, bob = store.get("ann"), store.get("bob")
    assert ann is not None
    assert bob is not None
    assert (ann.value, ann.revision, ann.offset) == (b"five", 5, 10)
    assert bob.value == b"the same revision, told again"
    # And across writes.
    assert store.apply([change("ann", 4, 15)], {0: 16}).users == []
    assert store.users == 2
    store.close()


def test_a_tombstone_removes_and_the_user_may_come_back(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.apply([change("ann", 9, 0), change("bob", 1, 1)], {0: 2})
    assert store.apply([change("ann", 0, 2, None), change("eve", 0, 3, None)], {0: 4}).erased == 2
    assert (store.get("ann"), store.users) == (None, 1)
    store.apply([change("ann", 1, 4)], {0: 5})
    assert (store.get("ann") is not None, store.users) == (True, 2)
    store.close()


def test_it_starts_from_its_disk_where_it_was_flushed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.remember_schema(7, '"string"')
    store.apply([change("ann", 1, 0), change("bob", 1, 1)], {0: 2, 1: 0})
    store.flush(123_456)
    store.close()
    again = ProgressStore(tmp_path, CACHE)
    assert (again.identity, again.users, again.positions()) == (TOPIC, 2, {0: 2, 1: 0})
    assert (again.complete_at_ms, again.schema(7), again.schema(8)) == (123_456, '"string"', None)
    again.close()


def test_a_store_of_something_else_is_set_aside_and_the_last_one_kept(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.apply([change("ann", 1, 0)], {0: 1})
    for number in range(3):
        store.replace(Identity("t.progress", f"other {number}", 2), f"made anew {number}")
        assert (store.get("ann"), store.users, store.positions()) == (None, 0, {})
        store.apply([change("bob", number, 0)], {0: 1})
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["2", "3"]
    assert (tmp_path / "2" / "WHY.txt").read_text() == "made anew 2\n"
    again = ProgressStore(tmp_path, CACHE)
    assert again.identity == Identity("t.progress", "other 2", 2)
    again.close()


def test_a_store_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.apply([change("ann", 1, 0)], {0: 1})
    store.flush(1)
    store.close()
    (tmp_path / "0" / "CURRENT").write_text("MANIFEST-nonsense\n")
    again = ProgressStore(tmp_path, CACHE)
    assert (again.identity, again.get("ann")) == (None, None)
    again.close()


def test_two_processes_do_not_share_a_store(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(ReadStoreError, match="cannot be used"):
        ProgressStore(tmp_path, CACHE)
    store.close()


def test_users_are_found_in_order_from_anywhere(tmp_path: Path) -> None:
    store = opened(tmp_path)
    names = ["ann", "anna", "bob", "u", "ü"]
    store.apply([change(name, 1, n) for n, name in enumerate(names)], {0: 9})
    assert [user.decode() for user, _ in store.scan()] == names
    assert [user.decode() for user, _ in store.scan(b"anna")] == names[1:]
    store.close()


def test_readers_see_whole_records_while_the_writer_writes_and_replaces(tmp_path: Path) -> None:
    store = opened(tmp_path)
    names = [f"user-{n}" for n in range(50)]
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        dice = random.Random(1)
        while not done.is_set():
            name = dice.choice(names)
            found = store.get(name)
            if found is not None and found.value != b"%d" % found.revision * 100:
                wrong.append(found)
            wrong.extend(
                user for user, one in store.scan() if one.value != b"%d" % one.revision * 100
            )

    readers = [threading.Thread(target=read) for _ in range(2)]
    for each in readers:
        each.start()
    for revision in range(1, 60):
        rows = [change(name, revision, revision, b"%d" % revision * 100) for name in names]
        store.apply(rows, {0: revision})
        if revision % 20 == 0:
            store.replace(Identity("t.progress", str(revision), 2), "once more")
    done.set()
    for each in readers:
        each.join()
    assert not wrong
    store.close()


def test_freshness_claims_only_what_was_proved() -> None:
    fresh = Freshness(2, None)
    assert (fresh.as_of(0), fresh.oldest(), fresh.caught_up) == (None, None, False)
    fresh.note_ends({0: 10, 1: 0}, 1_000)
    assert (fresh.offset_lag(0), fresh.offset_lag(1), fresh.as_of(0)) == (10, 0, None)
    one = fresh.as_of(1)
    assert one is not None
    assert one.ms == 1_000
    fresh.moved({0: 9})
    assert (fresh.oldest(), fresh.caught_up) == (None, False)
    # A later question does not move what is still open.
    fresh.note_ends({0: 20, 1: 0}, 2_000)
    fresh.moved({0: 10})
    zero, oldest = fresh.as_of(0), fresh.oldest()
    assert zero is not None
    assert oldest is not None
    assert (zero.ms, oldest.ms, fresh.caught_up, fresh.offset_lag(0)) == (1_000, 1_000, True, 10)


def test_a_store_that_was_complete_once_is_usable_as_of_then() -> None:
    fresh = Freshness(0, 5_000)
    found = fresh.as_of(3)
    assert found is not None
    assert (found.text, fresh.is_usable, fresh.caught_up) == (
        "1970-01-01T00:00:05.000Z",
        True,
        False,
    )
