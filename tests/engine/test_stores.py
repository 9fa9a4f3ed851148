"""What a worker opens: stores that can be read, topics that fit, tables with a prefix."""

from typing import cast

import pytest

from pipeline.engine.config import EngineConfig, assigned_numbers, check_partition_counts
from pipeline.engine.errors import IncompatibleTopicsError, StoreLockedError
from pipeline.engine.ports import Cluster, Disk, TopicPartition
from pipeline.engine.state.opener import StoreOpener
from pipeline.engine.state.table_spec import TableSpec
from tests.engine.changelogs import SEEN, USERS, Dictionaries, Store
from tests.engine.recording_observer import RecordingObserver


class Broken(Store):
    """Cannot be read."""

    def get(self, key: bytes) -> bytes | None:
        raise OSError("bad block")


def test_a_store_that_cannot_be_read_is_closed_quarantined_and_opened_empty() -> None:
    disk, observed = Dictionaries(), RecordingObserver()
    broken = Broken({})
    disk.stores[0].append(broken)

    class Again(Dictionaries):
        def open(self, partition: int) -> Store:
            return super().open(partition) if self.quarantined else broken

    again = Again()
    again.stores = disk.stores
    store = StoreOpener(cast(Disk, again), "blue", observed).open(0)
    assert not broken.is_open
    ((number, reason),) = again.quarantined
    assert (number, "partition 0 cannot be read" in reason) == (0, True)
    assert observed.of("quarantined") == [(0, reason, "aside-1")]
    assert store.checkpoint is None


def test_a_store_in_use_is_not_quarantined() -> None:
    class Locked(Dictionaries):
        def open(self, partition: int) -> Store:
            raise StoreLockedError("another worker")

    disk = Locked()
    with pytest.raises(StoreLockedError):
        StoreOpener(cast(Disk, disk), "blue", RecordingObserver()).open(0)
    assert disk.quarantined == []


class Counts:
    """A cluster of which only partition counts are asked."""

    def __init__(self, **counts: int) -> None:
        self.counts = {name.replace("_", "-"): count for name, count in counts.items()}

    def partition_counts(self, topics: list[str]) -> dict[str, int]:
        return {topic: self.counts[topic] for topic in topics if topic in self.counts}


CONFIG = EngineConfig("blue", ("in",), (USERS, SEEN))


def test_equal_partition_counts_are_fine() -> None:
    check_partition_counts(
        CONFIG, cast(Cluster, Counts(**{"in": 4}, users_changelog=4, seen_changelog=4))
    )


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"in": 4, "users_changelog": 4}, "not there: seen-changelog$"),
        ({"in": 4, "users_changelog": 4, "seen_changelog": 3}, "equal partition counts"),
        ({"in": 5, "users_changelog": 4, "seen_changelog": 4}, "equal partition counts"),
        ({}, "not there: in, users-changelog, seen-changelog$"),
    ],
)
def test_missing_topics_and_unequal_counts_are_refused(counts: dict[str, int], said: str) -> None:
    with pytest.raises(IncompatibleTopicsError, match=said) as caught:
        check_partition_counts(CONFIG, cast(Cluster, Counts(**counts)))
    assert caught.value.fix


def test_an_assignment_is_of_every_input() -> None:
    partitions = [TopicPartition(topic, number) for topic in ("b", "a") for number in (3, 1)]
    assert assigned_numbers(partitions, ("a", "b")) == [1, 3]
    assert assigned_numbers([], ("a", "b")) == []
    with pytest.raises(IncompatibleTopicsError, match=r"partition 3 was assigned for \['b'\] only"):
        assigned_numbers([partitions[0], partitions[1], partitions[3]], ("a", "b"))


@pytest.mark.parametrize("prefix", [b"", b"\x00", b"ab"])
def test_a_tables_prefix_is_one_byte_unlike_zero(prefix: bytes) -> None:
    with pytest.raises(ValueError, match="prefix must be one byte"):
        TableSpec("users", "users-changelog", prefix)
