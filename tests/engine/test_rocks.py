"""The local databases: claimed by one, honest about damage, the same in bulk."""

import gc
from pathlib import Path

import pytest

from pipeline.engine.errors import CorruptStoreError, StoreLockedError
from pipeline.engine.state.rocks import RocksDisk

ENTRIES = [(b"u%06d" % number, b"%0100d" % number) for number in range(20_000)]


def damage(folder: Path) -> None:
    """Turn the bits of some blocks in the middle of a database."""
    (file,) = folder.glob("*.sst")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 5_000] = bytes(byte ^ 0xFF for byte in content[middle:][:5_000])
    file.write_bytes(content)


def test_a_folder_is_claimed_by_one(tmp_path: Path) -> None:
    disk = RocksDisk(tmp_path)
    disk.claim()
    disk.claim()
    with pytest.raises(StoreLockedError, match="another worker"):
        RocksDisk(tmp_path).claim()
    del disk
    RocksDisk(tmp_path).claim()


def test_what_is_written_in_bulk_is_read_as_ever(tmp_path: Path) -> None:
    store = RocksDisk(tmp_path).open(0)
    store.write(ENTRIES[:10])
    store.expect_bulk(True)
    store.write(reversed(ENTRIES))
    store.write([(ENTRIES[3][0], b"again"), (ENTRIES[4][0], None)])
    store.expect_bulk(False)
    assert store.get(ENTRIES[3][0]) == b"again"
    assert store.get(ENTRIES[4][0]) is None
    assert store.get(ENTRIES[-1][0]) == ENTRIES[-1][1]
    assert len(list(store.scan(b""))) == len(ENTRIES) - 1
    store.close()


def test_a_scan_over_damage_does_not_just_end(tmp_path: Path) -> None:
    store = RocksDisk(tmp_path).open(0)
    store.write(ENTRIES)
    store.close()
    damage(tmp_path / "0")
    store = RocksDisk(tmp_path).open(0)
    with pytest.raises(CorruptStoreError, match="damaged"):
        list(store.scan(b""))
    store.close()


def test_a_database_is_closed_under_a_scan_that_somebody_holds(tmp_path: Path) -> None:
    disk = RocksDisk(tmp_path)
    store = disk.open(0)
    store.write(ENTRIES[:10])
    scan = store.scan(b"")
    assert next(scan) == ENTRIES[0]
    store.close()
    disk.quarantine(0, "a test")
    disk.open(0).close()
    with pytest.raises(RuntimeError, match="closed during a scan"):
        next(scan)


def test_a_scan_does_not_go_on_in_a_database_that_was_opened_anew(tmp_path: Path) -> None:
    store = RocksDisk(tmp_path).open(0)
    store.write(ENTRIES[:10])
    scan = store.scan(b"")
    next(scan)
    store.expect_bulk(True)
    with pytest.raises(RuntimeError, match="closed during a scan"):
        next(scan)
    assert next(store.scan(b"")) == ENTRIES[0]
    store.close()


def test_a_damaged_database_can_be_replaced_while_its_error_is_held(tmp_path: Path) -> None:
    disk = RocksDisk(tmp_path)
    store = disk.open(0)
    store.write(ENTRIES)
    store.close()
    damage(tmp_path / "0")
    store = disk.open(0)
    with pytest.raises(CorruptStoreError, match="damaged") as held:
        list(store.scan(b""))
    store.close()
    disk.quarantine(0, str(held.value))
    disk.open(0).close()


@pytest.mark.parametrize(
    ("start", "prefix", "found"),
    [
        (b"", b"", [b"a", b"a1", b"a2", b"b", b"\xff", b"\xff\xff1"]),
        (b"a", b"a", [b"a", b"a1", b"a2"]),
        (b"a2", b"a", [b"a2"]),
        (b"b", b"b", [b"b"]),
        (b"\xff", b"\xff", [b"\xff", b"\xff\xff1"]),
        (b"c", b"c", []),
    ],
)
def test_a_scan_ends_with_its_prefix(
    tmp_path: Path, start: bytes, prefix: bytes, found: list[bytes]
) -> None:
    store = RocksDisk(tmp_path).open(0)
    store.write([(key, b"1") for key in (b"a", b"a1", b"a2", b"b", b"\xff", b"\xff\xff1")])
    scan = store.scan(start, prefix)
    gc.collect()
    assert [key for key, _ in scan] == found
    store.close()
