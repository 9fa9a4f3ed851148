"""A read_committed reader of the audit that goes on all the while.

Owns: what it saw, and whether the log still says so in the end.
Does not own: the log.
Invariant: it reads as a consumer does: forward only, up to the last stable offset.
"""

from collections.abc import Iterator

from simulator.log import Log
from simulator.world import World

READ_S = 1.5


class Reader:
    """Reads one partition, now and then."""

    def __init__(self, world: World, log: Log) -> None:
        self._world = world
        self._log = log
        self._position = 0
        self._seen: list[tuple[int, bytes | None]] = []
        world.later(READ_S, self._read)

    def _look(self) -> None:
        records, self._position = self._log.read(self._position, 1_000_000)
        self._seen += [(record.offset(), record.value()) for record in records]

    def _read(self) -> None:
        self._look()
        self._world.later(READ_S, self._read)

    def complaints(self) -> Iterator[str]:
        """What it saw that is not in the log, or the other way round."""
        self._look()
        final = [(record.offset(), record.value()) for record in self._log.committed()]
        if self._seen != final:
            tp = self._log.topic_partition
            yield f"E: {tp}: the reader saw {len(self._seen)} of {len(final)}"
