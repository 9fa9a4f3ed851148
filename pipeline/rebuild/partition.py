"""The rebuild of one partition: its stores, how far it has come, how it differs.

Owns: opening and closing the stores, catching up with what is live.
Does not own: replaying, following and comparing (replay.py, live.py, compare.py).
Invariants: after `catch_up` both stores are of the same cut. What was derived survives the process;
what is live is read anew each time, so nothing of it can be outdated.
"""

import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from pipeline.codec.state import StateDecodeError, decode_state
from pipeline.core.state import EMPTY, UserState
from pipeline.engine.state.rocks import RocksDisk
from pipeline.engine.state.store import PartitionStore
from pipeline.rebuild.compare import Comparison, Stores, UserDifference
from pipeline.rebuild.live import LiveState
from pipeline.rebuild.published import Published, Wrong
from pipeline.rebuild.replay import Replay, ReplayError, Sources, Wanted, position_of
from pipeline.rebuild.setup import Setup
from pipeline.rebuild.source import Source

ROUNDS_MAX: Final = 6
"""Times that published progress is compared at most, until what is found stays."""

ROUND_S: Final = 0.5
"""Seconds between two of them."""

SILENT_S_MAX: Final = 60.0
"""Max seconds without an audit entry that has to be there."""

SHORT_S: Final = 5.0
"""Seconds of a pass after which what is live has not gone far."""

NEAR: Final = 500
"""A replay has caught up when no more inputs than these came during its last pass."""

Say = Callable[[int, int], None]
"""Is told how many of a partition's inputs are done, and how many there are by now."""


def unheard(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


class PartitionRebuild:
    """One partition of a rebuild; a context manager, for one thread.

    Args:
        setup: shared by all partitions.
        partition: its number.
        folder: of the rebuild; what was derived stays there.
        user_id: rebuild this user alone; its published progress is compared, too.
        wanted: rebuild these users alone.

    Attributes:
        done: inputs that this object has replayed.
    """

    def __init__(
        self,
        setup: Setup,
        partition: int,
        folder: Path,
        user_id: str | None = None,
        wanted: Wanted | None = None,
    ) -> None:
        self._setup = setup
        self._partition = partition
        self._user_key = user_key = None if user_id is None else user_id.encode()
        self._wanted = wanted if user_key is None else user_key.__eq__
        generation = setup.settings.generation
        # What another release or policy derived is not gone on with.
        derived = RocksDisk(folder / "derived" / setup.rules_id).open(partition)
        # Only now, as the open database locks the partition of this rebuild.
        shutil.rmtree(folder / "live" / str(partition), ignore_errors=True)
        store = PartitionStore(partition, derived, generation)
        position = position_of(store)
        topic, client = setup.settings.topic, setup.client
        sources = Sources(
            Source(client, (topic("audit"), partition), position.audit),
            {
                name: Source(client, (name, partition), position.inputs.get(name))
                for name in setup.inputs
            },
            Source(client, (topic("portals"), partition), position.portals),
        )
        folds = setup.folds()
        self._sources = sources
        self._replay = Replay(
            store, setup.processor(folds), folds, sources, setup.readers, wanted=self._wanted
        )
        self._published = None
        if user_key is not None:
            self._published = Published(setup, partition, folder, user_key)
        self._live = LiveState(
            RocksDisk(folder / "live").open(partition),
            [(table, Source(client, (table.changelog, partition))) for table in setup.tables],
            generation,
        )

    def __enter__(self) -> "PartitionRebuild":
        return self

    def __exit__(self, *_: object) -> None:
        self._sources.close()
        self._replay.store.close()
        self._live.close()
        if self._published is not None:
            self._published.close()

    @property
    def done(self) -> int:
        """Inputs that this object has replayed."""
        return self._replay.done

    def catch_up(self, say: Say = unheard) -> None:
        """Replay and follow until both are of one cut, close to what is live now.

        Raises:
            ReplayError, OffsetGoneError, UnreadableLogError, StoreFormatError: see there.
        """
        live, replay = self._live, self._replay
        abreast_s = time.monotonic()
        while True:
            began_s = time.monotonic()
            while live.read(0.2) and not live.is_at_end():
                pass
            cut, began_at = live.cut, replay.sequence
            moved_s, last = time.monotonic(), began_at
            while not replay.advance(cut):
                say(replay.sequence, cut.sequence)
                if replay.sequence != last:
                    moved_s, last = time.monotonic(), replay.sequence
                elif time.monotonic() - moved_s > SILENT_S_MAX:
                    raise ReplayError(
                        f"the audit of partition {self._partition} ends before entry"
                        f" {cut.sequence - 1}, which the changelogs contain",
                        why=f"nothing came after entry {last - 1} for {SILENT_S_MAX:.0f} s",
                        fix="`awaway explain` tells whether a transaction is open on the topic"
                        " audit; if its end is gone, the audit has to be restored from a backup",
                    )
            say(replay.sequence, cut.sequence)
            if not live.is_at_end():
                continue
            if cut.sequence <= began_at and replay.is_beyond(cut):
                if time.monotonic() - abreast_s > SILENT_S_MAX:
                    raise ReplayError(
                        f"the changelogs of partition {self._partition} end at audit entry"
                        f" {cut.sequence - 1}, and the audit goes on",
                        why=f"it was so for {SILENT_S_MAX:.0f} s",
                        fix="was a changelog recreated, or is it being written anew? the worker's"
                        " log says so; ask again when its partitions are ready",
                    )
                continue
            abreast_s = time.monotonic()
            if cut.sequence - began_at <= NEAR or time.monotonic() - began_s < SHORT_S:
                replay.published_until(cut)
                return

    def live_state(self, user_id: str) -> UserState:
        """A user's live state as of the last `catch_up`; `EMPTY` where there is none.

        Raises:
            StateDecodeError: it cannot be decoded.
        """
        raw = self._live.store.get(self._setup.tables[0].prefix + user_id.encode())
        return EMPTY if raw is None else decode_state(raw)

    def users(self) -> set[bytes]:
        """The keys of the users who are rebuilt and have a state, live or derived."""
        prefix = self._setup.tables[0].prefix
        stores = (self._live.store, self._replay.store.disk)
        found = {key[len(prefix) :] for one in stores for key, _ in one.scan(prefix, prefix)}
        return found if self._wanted is None else set(filter(self._wanted, found))

    def differences(self) -> list[UserDifference]:
        """The users who differ as of the last `catch_up`.

        Where one user alone is rebuilt, so does who has a right state and wrong progress; then
        there may be a further `catch_up`.
        """
        if self._user_key is None or self._published is None:
            return self.state_differences()
        wrong, _ = self.wrongly_published(self._published, {self._user_key})
        return self._differences_of(self._user_key, wrong)

    def state_differences(self) -> list[UserDifference]:
        """The users whose live state differs as of the last `catch_up`."""
        if self._wanted is None:
            return self._differences_of(None)
        return [one for key in sorted(self.users()) for one in self._differences_of(key)]

    def _differences_of(
        self, user_key: bytes | None, unpublished: Collection[bytes] = ()
    ) -> list[UserDifference]:
        stores = Stores(self._partition, self._replay.store.disk, self._live.store)
        comparison = Comparison(
            stores,
            self._setup.tables,
            self._setup.world,
            self._setup.readers.portals,
            self._replay.append_time,
            user_key,
        )
        return list(comparison.differences(unpublished))

    def wrongly_published(
        self, published: Published, keys: Collection[bytes]
    ) -> tuple[dict[bytes, Wrong], int]:
        """Compare published progress with the live state, while both go on.

        The two are read one after the other, so a user may change in between. What is found counts
        when it is found again of the same record and the same state, with both read in between.

        Returns:
            Who is wrong, and how many users changed too often to tell.
        """
        found: dict[bytes, Wrong] = {}
        for _ in range(ROUNDS_MAX):
            published.read()
            before, found = found, {}
            for key in keys:
                wrong = self._wrong_for(published, key)
                if wrong is not None:
                    found[key] = wrong
            if all(one.is_of_the_same(before.get(key)) for key, one in found.items()):
                return found, 0
            keys = found.keys()
            time.sleep(ROUND_S)
            self.catch_up()
        settled = {key: one for key, one in found.items() if one.is_of_the_same(before.get(key))}
        return settled, len(found) - len(settled)

    def _wrong_for(self, published: Published, key: bytes) -> Wrong | None:
        try:
            return published.wrong_for(key, self.live_state(key.decode()))
        except StateDecodeError:
            return None  # the comparison with the log says so
