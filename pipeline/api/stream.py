"""One client's stream: where it begins, and the events of what comes.

Owns: resuming from an id, the snapshot where that cannot be, the place of the client.
Does not own: who gets which record (stream_hub.py), what an event says (stream_events.py), HTTP and
when a stream ends (live.py).

Invariants:
- A stream that resumes from an id sends every record of its user above it, once: from memory, else
  from the topics. Where that cannot be, it begins with a snapshot that says why (`reason`), and
  goes on from exactly where the snapshot stands.
- A user's progress never goes back within a stream: an older revision than was sent is left out.
- The client's place is that of the last event that it was given; what it was not given is above.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from pipeline.api.parts import Parts
from pipeline.api.problems import ProblemError
from pipeline.api.stream_events import (
    KINDS,
    EventTexts,
    Place,
    Streamed,
    event,
    heartbeat,
    place_of,
)
from pipeline.api.stream_hub import Client, Hub
from pipeline.api.stream_replay import NotReplayedError, Replay, Stretch
from pipeline.api.views import Progress
from pipeline.codec.partitioner import partition_of
from pipeline.core.records import ProgressUpdated

RETRY_MS: Final = 1_000
"""How long a client waits before it resumes."""

_encode: Final = msgspec.json.Encoder().encode


class Snapshot(msgspec.Struct, frozen=True):
    """The first event of a stream that does not resume.

    Attributes:
        reason: start (there was no id), or why what was missed is not told: gone (the topics no
            longer have it), too-far (it is too much), reset (the topics were made again),
            unknown-id, unavailable (the brokers do not answer).
        progress: as it is now; null for a user of whom nothing was published.
    """

    reason: Literal["start", "gone", "too-far", "reset", "unknown-id", "unavailable"]
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class Live:
    """What streams need.

    Attributes:
        replaying: bounds how many replays run at once.
    """

    hub: Hub
    texts: EventTexts
    replay: Replay
    replaying: asyncio.Semaphore


class Stream:
    """One client's stream, and its text.

    Args:
        client: has joined.
    """

    def __init__(self, parts: Parts, client: Client) -> None:
        self._parts = parts
        self._live = parts.live
        self.client = client
        self._revision = 0

    async def opening(self, given: str | None) -> bytes:
        """What it begins with.

        Args:
            given: the last id that the client has.

        Raises:
            ProblemError: 503, it cannot begin now.
        """
        head = f"retry: {RETRY_MS}\n\n".encode()
        if not given:
            return head + await self._snapshot("start")
        last = place_of(given)
        if last is None:
            return head + await self._snapshot("unknown-id")
        if last.epoch != self.client.place.epoch:
            return head + await self._snapshot("reset")
        try:
            missed = await self._missed(last)
        except NotReplayedError as error:
            return head + await self._snapshot(error.what)
        until = self.client.place
        self.client.place = last
        text = head + b"".join(self.texts(missed))
        highest = [max(pair) for pair in zip(last.offsets, until.offsets, strict=True)]
        self.client.place = Place(until.epoch, (highest[0], highest[1], highest[2]))
        return text + heartbeat(self.client.place)

    async def _snapshot(self, reason: str) -> bytes:
        source, until = self._parts.source, self.client.place
        partition = partition_of(self.client.user, self._live.hub.partitions)
        stored = source.store.positions().get(partition, 0)
        raw = source.store.raw(self.client.user)
        progress = None
        if raw is not None:
            user = self._parts.reads.user_now(raw)
            progress = self._parts.reads.views.progress(user)
            self._revision = user.record.revision
        since = min(stored, until.offsets[0])
        self.client.place = Place(until.epoch, (since, *until.offsets[1:]))
        try:
            missed = await self._missed(self.client.place, until)
        except NotReplayedError as error:
            raise ProblemError(
                503,
                "still-loading",
                "Still loading",
                f"the store is too far behind the topic to begin a stream ({error}); try again",
                headers={"Retry-After": "2"},
            ) from error
        data = msgspec.to_builtins(Snapshot("start", progress)) | {"reason": reason}
        text = event("snapshot", _encode(data), self.client.place) + b"".join(self.texts(missed))
        self.client.place = until
        return text + heartbeat(until)

    async def _missed(self, since: Place, until: Place | None = None) -> list[Streamed]:
        """This user's records from a place to where the client listens."""
        hub, user = self._live.hub, self.client.user
        offsets = (until or self.client.place).offsets
        found: list[Streamed] = []
        far: list[Stretch] = []
        for topic, name in enumerate(hub.topics):
            first, end = since.offsets[topic], offsets[topic]
            if first >= end:
                continue
            remembered = hub.remembered(user, topic, first, end)
            if remembered is None:
                far.append(Stretch(topic, name, first, end))
            else:
                found += remembered
        if far:
            partition = partition_of(user, hub.partitions)
            async with self._live.replaying:
                found += await asyncio.to_thread(self._live.replay.read, user, partition, far)
        return sorted(found, key=lambda one: (one.time_ms, one.topic, one.offset))

    def texts(self, records: Sequence[Streamed]) -> Iterator[bytes]:
        """The events of some records; the client's place moves with each."""
        client = self.client
        for one in records:
            if one.offset < client.place.offsets[one.topic]:
                continue
            record = self._live.texts.read(one)
            client.place = client.place.after(one.topic, one.offset)
            if isinstance(record, ProgressUpdated):
                if record.revision <= self._revision:
                    continue
                self._revision = record.revision
            elif record is None and one.value is not None:
                continue  # not one of ours; whoever reads the topic first has said so
            kind = KINDS[one.topic] if record is not None else "erased"
            yield event(kind, self._live.texts.data(record), client.place)

    def alive(self) -> bytes:
        """A sign of life, for a client with nothing waiting: all that was passed on was sent."""
        client, hub = self.client, self._live.hub
        if hub.epoch == client.place.epoch:
            highest = [
                max(pair)
                for pair in zip(client.place.offsets, hub.place(client.user).offsets, strict=True)
            ]
            client.place = Place(hub.epoch, (highest[0], highest[1], highest[2]))
        return heartbeat(client.place)
