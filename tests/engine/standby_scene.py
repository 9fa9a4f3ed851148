"""The standbys of one worker, over changelogs and stores in memory.

Owns: the surroundings of the standbys for a test. Does not own: what has to hold (the tests).
"""

from collections.abc import Sequence
from typing import Final, cast

from pipeline.engine.config import EngineConfig
from pipeline.engine.ports import Cluster, Disk, TopicPartition
from pipeline.engine.recovery.standby import Standbys
from pipeline.engine.state.checkpoint import FORMAT, Checkpoint
from pipeline.engine.state.opener import StoreOpener
from pipeline.engine.state.store import PartitionStore
from tests.engine.changelogs import SEEN, USERS, Changelogs, Dictionaries
from tests.engine.recording_observer import RecordingObserver

SLOTS: Final = ("b-0", "b-1")
MANY: Final = 1_000
OWNED: Final = frozenset({0, 1})


class StandbyScene:
    """The standbys of slot b-0, which owns 0 and 1 of four partitions and would get 2 and 3."""

    def __init__(
        self,
        *,
        slots: Sequence[Sequence[str] | None] = (SLOTS,),
        losses: int = 1,
        bulk_records_min: int = 20_000,
        expanded_min: int = 500,
    ) -> None:
        self.cluster = Changelogs(partitions=4, slots=slots)
        self.disk = Dictionaries()
        self.observed = RecordingObserver()
        config = EngineConfig(
            "blue",
            ("in",),
            (USERS, SEEN),
            clock=self.cluster.clock,
            slot_id="b-0",
            standbys=losses,
            bulk_records_min=bulk_records_min,
            expanded_min=expanded_min,
        )
        opener = StoreOpener(cast(Disk, self.disk), "blue", self.observed)
        self.opener = opener
        self.standbys = Standbys(config, cast(Cluster, self.cluster), opener, self.observed)
        for number in range(4):
            self.cluster.write(USERS, number, (b"a", b"%d" % number))
            self.cluster.mark(number, {"in": 1})
        self.standbys.reconsider()

    def step(self, records_max: int = MANY) -> bool:
        return self.standbys.step(OWNED, records_max)

    def rest(self) -> int:
        """Step until there is nothing more to do at once; returns how many steps said more."""
        for count in range(50):
            if not self.step():
                return count
        raise AssertionError("it never rests")

    def spoil(self, number: int) -> None:
        """The next write to a partition's standby breaks it, with something to write at once."""
        self.disk.stores[number][-1].breaks_in = 0
        self.cluster.write(USERS, number, (b"b", b"more"))

    def entries(self, number: int) -> dict[bytes, bytes]:
        return self.disk.stores[number][-1].entries

    def state(self, number: int) -> PartitionStore:
        """A partition's state, as its owner would leave it, up to the changelogs' ends."""
        store = self.opener.open(number)
        store.overlay[b"ua"] = b"owner's"
        ends = {
            table.changelog: (
                self.cluster.ids[table.changelog],
                self.cluster.end(TopicPartition(table.changelog, number)),
            )
            for table in (USERS, SEEN)
        }
        store.apply(Checkpoint(FORMAT, "blue", {"in": 1}, b""), ends)
        return store
