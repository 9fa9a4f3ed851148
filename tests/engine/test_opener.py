"""Stores that break one after the other come to an end."""

from pathlib import Path
from typing import cast

import pytest

from pipeline.engine.errors import CorruptStoreError, StoreKeepsBreakingError
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import Disk
from pipeline.engine.state.opener import BREAKS_MAX, StoreOpener
from pipeline.engine.state.rocks import RocksDisk
from tests.engine.changelogs import Dictionaries


def test_a_disk_that_keeps_breaking_stops_the_worker_before_it_is_full(tmp_path: Path) -> None:
    stores = StoreOpener(RocksDisk(tmp_path), "blue", EngineObserver())
    store = stores.open(0)
    for _ in range(BREAKS_MAX):
        store = stores.replace_broken(store, CorruptStoreError("a checksum differs"))
    with pytest.raises(StoreKeepsBreakingError, match="partition 0") as raised:
        stores.replace_broken(store, CorruptStoreError("a checksum differs"))
    assert "AWAWAY_DATA_DIR" in str(raised.value.fix)
    assert len(list(tmp_path.glob("0.aside-*"))) == BREAKS_MAX


def test_breaks_are_counted_from_the_last_store_that_held(tmp_path: Path) -> None:
    stores = StoreOpener(RocksDisk(tmp_path), "blue", EngineObserver())
    store = stores.open(0)
    for _ in range(BREAKS_MAX + 1):
        store = stores.replace_broken(store, CorruptStoreError("a checksum differs"))
        stores.restored_whole(store)
    assert stores.open(1).partition == 1


def test_the_store_that_broke_once_too_often_is_closed_and_stays_where_it_is() -> None:
    disk = Dictionaries()
    stores = StoreOpener(cast(Disk, disk), "blue", EngineObserver())
    store = stores.open(0)
    for _ in range(BREAKS_MAX):
        store = stores.replace_broken(store, CorruptStoreError("a checksum differs"))
    with pytest.raises(StoreKeepsBreakingError):
        stores.replace_broken(store, CorruptStoreError("a checksum differs"))
    assert not disk.stores[0][-1].is_open
    assert len(disk.quarantined) == BREAKS_MAX
