"""One client's stream: where it begins, what the client missed, and the events from now on.

Owns: resuming from an id, the snapshot where that is impossible, the client's position in the
topics (`StreamPosition`).
Does not own: which client gets which record (hub.py), reading a topic again (replay.py), the text
of an event (events.py), HTTP and when a stream ends (routes/live.py).

Invariants:
- A stream that resumes from an id sends every record of its user above that id, once: from memory,
  else from the topics, page by page, however many there are. Where the topics no longer have them,
  a snapshot says why (`reason`), and the stream goes on exactly from the snapshot.
- While the brokers do not answer, nothing is lost: a snapshot with the reason `unavailable` keeps
  the client's id, and what the client missed is sent later.
- A user's progress never goes back within a stream: a revision older than one already sent is left
  out.
- An event's id does not name the zone: a client that resumes in another zone goes on from the same
  position.
- The client's position is that of the last event sent to it; everything not sent is above it.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from pipeline.api.live.events import (
    KINDS,
    EventTexts,
    Streamed,
    StreamPosition,
    event,
    heartbeat_of,
    position_of,
)
from pipeline.api.live.hub import Client, Hub
from pipeline.api.live.replay import (
    NotReplayedError,
    OffsetRange,
    Replay,
    ReplayPage,
    in_order,
)
from pipeline.api.reads.materialise import Materialiser
from pipeline.api.reads.user_read import Reads
from pipeline.api.reads.views import Progress
from pipeline.codec.partitioner import partition_of
from pipeline.core.records import ProgressUpdated

RETRY_MS: Final = 1_000
"""How long a client waits before it resumes, ms."""

AGAIN_S: Final = 1.0
"""Seconds between two attempts to read what a client missed."""

Reason = Literal["start", "gone", "reset", "unknown-id", "unavailable"]
_encode: Final = msgspec.json.Encoder().encode


class Snapshot(msgspec.Struct, frozen=True):
    """The first event of a stream that does not resume.

    Attributes:
        reason: start (there was no id), or why what was missed is not told: gone (the topics no
            longer have it), reset (the topics were made again), unknown-id; or unavailable: the
            brokers do not answer, what was missed comes later.
        progress: as it is now; null for a user of whom nothing was published.
    """

    reason: Reason
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class Live:
    """What streams need.

    Attributes:
        hub: passes on the records that come from now on.
        texts: turns records into events.
        replay: reads what a client missed from the topics.
        replaying: bounds how many replays run at once.
        source: the store that snapshots are read from.
        reads: reads a user's record as of now.
    """

    hub: Hub
    texts: EventTexts
    replay: Replay
    replaying: asyncio.Semaphore
    source: Materialiser
    reads: Reads


class Stream:
    """Makes the text of one client's stream.

    Args:
        client: a client that has joined the hub.
        tz: canonical name of the zone in which progress is read; None: the user's own.
    """

    def __init__(self, live: Live, client: Client, tz: str | None = None) -> None:
        self._live = live
        self.client = client
        self._tz = tz
        self._revision = 0
        self._is_unavailable = False

    def opening(self, given: str | None) -> bytes:
        """Make the first text; the client is behind afterwards.

        Args:
            given: the last id that the client has.
        """
        head = f"retry: {RETRY_MS}\n\n".encode()
        if not given:
            return head + self._snapshot("start")
        last = position_of(given)
        if last is None:
            return head + self._snapshot("unknown-id")
        if last.stream_epoch != self.client.position.stream_epoch:
            return head + self._snapshot("reset")
        self.client.position = last
        return head

    async def catch_up(self) -> bytes:
        """Make the next part of what the client missed; after the last part it is not behind.

        It may be cancelled at any time, as the position moves only when it returns.
        """
        client, hub = self.client, self._live.hub
        records = hub.follow(client)
        if records is not None:
            now = hub.position(client.user)
            text = b"".join(self.texts(in_order(records)))
            client.position = _furthest(client.position, now.offsets)
            return text + heartbeat_of(client.position)
        try:
            page = await self._page()
        except NotReplayedError as error:
            if error.what == "gone":
                await asyncio.sleep(AGAIN_S if self._is_unavailable else 0)
                return self._snapshot("gone")
            return await self._unavailable()
        self._is_unavailable = False
        text = b"".join(self.texts(page.records))
        reached = [page.reached.get(n, offset) for n, offset in enumerate(client.position.offsets)]
        client.position = _furthest(client.position, (reached[0], reached[1], reached[2]))
        return text + heartbeat_of(client.position)

    def _snapshot(self, reason: Reason) -> bytes:
        """Make a snapshot from the store; the stream goes on from the store's position."""
        source, hub = self._live.source, self._live.hub
        partition = partition_of(self.client.user, hub.partitions)
        stored = source.store.positions().get(partition, 0)
        raw = source.store.raw(self.client.user)
        progress = None
        if raw is not None:
            user = self._live.reads.user_now(raw, self._tz)
            progress = self._live.reads.views.progress(user)
            self._revision = user.record.revision
        if reason != "unavailable":
            now = hub.position(self.client.user)
            self.client.position = StreamPosition(
                now.stream_epoch, (min(stored, now.offsets[0]), *now.offsets[1:])
            )
        return event("snapshot", _encode(Snapshot(reason, progress)), self.client.position)

    async def _unavailable(self) -> bytes:
        """Send one snapshot that says so, then try again."""
        if not self._is_unavailable:
            self._is_unavailable = True
            return self._snapshot("unavailable")
        await asyncio.sleep(AGAIN_S)
        return b""

    async def _page(self) -> ReplayPage:
        hub, client = self._live.hub, self.client
        partition = partition_of(client.user, hub.partitions)
        pairs = zip(client.position.offsets, hub.position(client.user).offsets, strict=True)
        ranges = [
            OffsetRange(topic, hub.topics[topic], since, until)
            for topic, (since, until) in enumerate(pairs)
            if since < until
        ]
        unwanted = threading.Event()
        async with self._live.replaying:
            try:
                return await asyncio.to_thread(
                    self._live.replay.page, client.user, partition, ranges, unwanted
                )
            finally:
                unwanted.set()

    def texts(self, records: Sequence[Streamed]) -> Iterator[bytes]:
        """Make the events of some records; the client's position moves with each."""
        client = self.client
        for one in records:
            if one.offset < client.position.offsets[one.topic]:
                continue
            record = self._live.texts.read(one)
            client.position = client.position.after(one.topic, one.offset)
            if isinstance(record, ProgressUpdated):
                if record.revision <= self._revision:
                    continue
                self._revision = record.revision
            elif record is None and one.value is not None:
                continue  # not one of our records; the materialiser has logged it
            kind = KINDS[one.topic] if record is not None else "erased"
            yield event(kind, self._live.texts.data(record, self._tz), client.position)

    def heartbeat(self) -> bytes:
        """Make a heartbeat for a client that was sent everything so far."""
        client, hub = self.client, self._live.hub
        if hub.stream_epoch == client.position.stream_epoch:
            client.position = _furthest(client.position, hub.position(client.user).offsets)
        return heartbeat_of(client.position)


def _furthest(position: StreamPosition, offsets: tuple[int, int, int]) -> StreamPosition:
    """Return the position that is furthest in each topic."""
    first, second, third = (max(pair) for pair in zip(position.offsets, offsets, strict=True))
    return StreamPosition(position.stream_epoch, (first, second, third))
