"""A restorer over changelogs and stores in memory.

Owns: the restorer's surroundings for a test. Does not own: what has to hold (the tests).
"""

from collections.abc import Mapping
from typing import cast

import pytest

from pipeline.engine.batch import OpenPartition
from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import PartitionRefusedError
from pipeline.engine.ports import Cluster, Disk, TopicPartition, Watermarks
from pipeline.engine.recovery.restore import Restorer
from pipeline.engine.state.checkpoint import FORMAT, Checkpoint
from pipeline.engine.state.opener import StoreOpener
from pipeline.engine.state.store import PartitionStore
from tests.engine.changelogs import SEEN, USERS, Changelogs, Dictionaries
from tests.engine.recording_observer import RecordingObserver

ALL = Watermarks(0, 1_000)


class Restores:
    """A restorer of partitions with one input, `in`, unless more are named."""

    def __init__(self, *inputs: str, terms: str = "", bulk_records_min: int = 20_000) -> None:
        self.inputs = inputs or ("in",)
        self.cluster = Changelogs(partitions=2)
        self.disk = Dictionaries()
        self.observed = RecordingObserver()
        config = EngineConfig(
            "blue",
            self.inputs,
            (USERS, SEEN),
            clock=self.cluster.clock,
            terms=terms,
            bulk_records_min=bulk_records_min,
        )
        self.opener = StoreOpener(cast(Disk, self.disk), "blue", self.observed)
        self.restorer = Restorer(config, cast(Cluster, self.cluster), self.opener, self.observed)

    def write(self, number: int, at: int) -> None:
        """A transaction in the changelogs, after which the input's next offset is `at`."""
        self.cluster.write(USERS, number, (b"a", b"%d" % at))
        self.cluster.write(SEEN, number, (b"s", b"%d" % at))
        self.cluster.mark(number, {"in": at})

    def start(
        self, number: int, committed: int | None, store: PartitionStore | None = None
    ) -> None:
        offsets = {TopicPartition("in", number): committed}
        self.restorer.start({number: store}, offsets)

    def step(self) -> list[int]:
        return [store.partition for store in self.restorer.step(0.5)]

    def restored(self, number: int = 0) -> None:
        """Step until a partition is complete."""
        for _ in range(50):
            if number in self.step():
                return
        raise AssertionError("it is not restored")

    def finish(
        self, number: int = 0, marks: Mapping[str, Watermarks] | None = None
    ) -> OpenPartition:
        found = {TopicPartition(name, number): ALL for name in self.inputs}
        found |= {TopicPartition(name, number): mark for name, mark in (marks or {}).items()}
        return self.restorer.finish(number, found)[0]

    def opened(self, committed: int | None, number: int = 0) -> OpenPartition:
        self.start(number, committed)
        self.restored(number)
        return self.finish(number)

    def refusal(self, committed: int | None, marks: Mapping[str, Watermarks] | None = None) -> str:
        """Why partition 0 is refused."""
        self.start(0, committed)
        self.restored()
        with pytest.raises(PartitionRefusedError) as caught:
            self.finish(0, marks)
        assert caught.value.fix
        assert not self.disk.stores[0][-1].is_open
        assert self.restorer.partitions == set()
        return str(caught.value)

    def state(self, number: int, at: int) -> PartitionStore:
        """A store that an owner left, which stands at the changelogs' ends."""
        store = self.opener.open(number)
        store.overlay[b"ua"] = b"%d" % at
        ends = {
            table.changelog: (
                self.cluster.ids[table.changelog],
                self.cluster.end(TopicPartition(table.changelog, number)),
            )
            for table in (USERS, SEEN)
        }
        store.apply(Checkpoint(FORMAT, "blue", {"in": at}, b"own"), ends)
        return store


def users_changelog(number: int = 0) -> TopicPartition:
    return TopicPartition(USERS.changelog, number)
