"""The events of a live stream and their ids.

Owns: the text of server-sent events, the JSON of each kind, event ids.
Does not own: which events a client gets (hub.py), HTTP (routes/live.py).
Invariants: an event's id names, for each streamed topic, the next offset of the user's partition:
everything below was sent. So a client that resumes from it, on any server, gets everything above.
Events depend on the published records alone, except `progress`, which is as of now in the client's
zone.

An id is `<stream epoch>-<offset>-<offset>-<offset>`, in the order of TOPICS; the stream epoch
changes when a topic is recreated.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final, Literal, NamedTuple

import msgspec

from pipeline.api.reads.views import Asset, InstantText, UserNow, Views, asset
from pipeline.clock import rfc3339
from pipeline.codec.published import NotPublishedError, PublishedReader, WriterSchemas
from pipeline.codec.schemas import Schema
from pipeline.core.calendar import day_of
from pipeline.core.reading import today
from pipeline.core.records import (
    Cause,
    GeometryUpdated,
    NextPortal,
    PortalUnlocked,
    ProgressUpdated,
)
from pipeline.core.rulebook import PolicyBook

TOPICS: Final = ("progress", "portals", "geometry")
EventKind = Literal["progress", "portal", "geometry", "erased", "snapshot", "end"]
KINDS: Final[tuple[EventKind, ...]] = ("progress", "portal", "geometry")
"""The kind of event of each topic."""

_RECORDS: Final[tuple[type[Any], ...]] = (ProgressUpdated, PortalUnlocked, GeometryUpdated)
_ID: Final = re.compile(r"([0-9a-f]{8})((?:-\d{1,18}){3})")
_encode: Final = msgspec.json.Encoder().encode


class StreamPosition(NamedTuple):
    """The position of a stream: the stream epoch, and the next offset of each of TOPICS."""

    stream_epoch: str
    offsets: tuple[int, int, int]

    @property
    def id(self) -> str:
        """Return it as an event's id."""
        return "-".join([self.stream_epoch, *map(str, self.offsets)])

    def after(self, topic: int, offset: int) -> "StreamPosition":
        """Return the position after the record of a topic at an offset was sent."""
        offsets = list(self.offsets)
        offsets[topic] = max(offsets[topic], offset + 1)
        return StreamPosition(self.stream_epoch, (offsets[0], offsets[1], offsets[2]))


def position_of(event_id: str) -> StreamPosition | None:
    """Read the position from an event's id; None when it is not one of our ids."""
    found = _ID.fullmatch(event_id)
    if found is None:
        return None
    first, second, third = map(int, found[2][1:].split("-"))
    return StreamPosition(found[1], (first, second, third))


def stream_epoch_of(topic_ids: Mapping[str, str]) -> str:
    """Return the stream epoch: eight hexadecimal digits that change with the topics' ids."""
    text = "/".join(topic_ids[name] for name in sorted(topic_ids))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Streamed(NamedTuple):
    """A record of one of TOPICS, for one user.

    Attributes:
        topic: the index of its topic in TOPICS.
        time_ms: the record's timestamp, ms since the epoch.
        value: None is a tombstone.
    """

    topic: int
    offset: int
    time_ms: int
    value: bytes | None


class PortalEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A portal was unlocked; once, for ever."""

    unlock_id: str
    user_id: str
    lap: int
    portal: str
    title: str
    cycle_day: int
    streak_days: int
    longest_days: int
    lifetime_days: int
    reached_on: date
    tz: str
    practice: str | None
    figure: str
    frame: int
    asset: Asset
    field_keys: tuple[str, ...]
    field_keys_pending: int
    next_portal: NextPortal | None
    policy_version: str
    origin: str
    unlocked_at: InstantText
    cause: Cause


class GeometryEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The current frame changed, or a figure was completed on `local_date`."""

    user_id: str
    local_date: date
    figure: str
    frame: int
    variant: int
    figure_completed: bool
    asset: Asset
    generator_version: str
    cause: Cause


class EventTexts:
    """Turns records into events.

    Args:
        schemas: our schemas by record name.
        writer_schema: returns the schema of an id, within a short time.
        policies: the rules in force at each instant.
        views: make the view of progress.
        now_ms: the time of day, ms since the epoch.
    """

    def __init__(
        self,
        schemas: Mapping[str, Schema],
        writer_schema: WriterSchemas,
        policies: PolicyBook,
        views: Views,
        now_ms: Callable[[], int],
    ) -> None:
        self._readers = [
            PublishedReader(kind, schemas[kind.__name__], writer_schema) for kind in _RECORDS
        ]
        self._policies = policies
        self._views = views
        self._now_ms = now_ms

    def read(self, one: Streamed) -> Any:
        """Decode a record; None for a tombstone, and for a value that is not such a record.

        Raises:
            RegistryError: its schema is unknown.
        """
        if one.value is None:
            return None
        try:
            return self._readers[one.topic].read(one.value)
        except NotPublishedError:
            return None

    def data(self, record: object, tz: str | None = None) -> bytes:
        """Make the JSON of an event; `{}` without a record.

        Args:
            tz: as in `progress`.
        """
        if isinstance(record, ProgressUpdated):
            return _encode(self.progress(record, tz))
        if isinstance(record, PortalUnlocked):
            return _encode(_portal(record))
        if isinstance(record, GeometryUpdated):
            return _encode(_geometry(record))
        return b"{}"

    def progress(self, record: ProgressUpdated, tz: str | None = None) -> object:
        """Make the view of a published progress as of now.

        Args:
            tz: canonical name of the reader's zone; None: the user's own (core/reading.py).
        """
        now_ms = self._now_ms()
        policy = self._policies.at(now_ms)
        return self._views.progress(UserNow(record, today(record, now_ms, policy, tz), policy))


def event(kind: EventKind, data: bytes, position: StreamPosition | None) -> bytes:
    """Make one server-sent event.

    Args:
        data: JSON, so it has no line breaks.
        position: the position that its id names; None leaves the client's last id.
    """
    head = f"event: {kind}\n" if position is None else f"id: {position.id}\nevent: {kind}\n"
    return head.encode() + b"data: " + data + b"\n\n"


def heartbeat_of(position: StreamPosition) -> bytes:
    """Make a heartbeat: it moves the client's last id, and the client sees no event."""
    return f": alive\nid: {position.id}\n\n".encode()


def _portal(one: PortalUnlocked) -> PortalEvent:
    return PortalEvent(
        unlock_id=one.unlock_id,
        user_id=one.user_id,
        lap=one.lap,
        portal=one.portal,
        title=one.title,
        cycle_day=one.cycle_day,
        streak_days=one.streak_days,
        longest_days=one.longest_days,
        lifetime_days=one.lifetime_days,
        reached_on=day_of(one.reached_on),
        tz=one.tz,
        practice=one.practice,
        figure=one.figure,
        frame=one.frame,
        asset=asset(one.asset_id),
        field_keys=one.field_keys,
        field_keys_pending=one.field_keys_pending,
        next_portal=one.next_portal,
        policy_version=one.policy_version,
        origin=one.origin,
        unlocked_at=rfc3339(one.unlocked_at),
        cause=one.cause,
    )


def _geometry(one: GeometryUpdated) -> GeometryEvent:
    return GeometryEvent(
        user_id=one.user_id,
        local_date=day_of(one.local_date),
        figure=one.figure,
        frame=one.frame,
        variant=one.variant,
        figure_completed=one.figure_completed,
        asset=asset(one.asset_id),
        generator_version=one.generator_version,
        cause=one.cause,
    )
