"""Reads the topic of progress into the store, as its only writer.

Owns: the thread that reads, when the store fits the topic, what is done after a failure.
Does not own: which record replaces which (store.py), the clients (progress_topic.py), how far
behind the store is (freshness.py).

Invariants:
- It starts from the disk: reads are answered, as of when the store was complete, before the broker
  is asked anything, and while the broker is away.
- Reading goes on from a store only if the store fits: the same topic by UUID, as many
  partitions, no older than tombstones live, and every offset still there. Otherwise the store is
  quarantined and rebuilt. Meanwhile a user who is not in it is *not known yet*, never *not there*.
- A batch is applied as a whole or is read again: after any failure reading begins where the store
  ends.
- A record that is not a progress record is skipped, counted and logged; it never stops the others.

States: starting → (connecting → loading → tailing), back to connecting after a failure. `failed` is
final: the disk is unusable, or this program has a fault; `/livez` says so.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final, Literal

import structlog

from pipeline.api.reads.freshness import Freshness
from pipeline.api.reads.progress_topic import ProgressTopic
from pipeline.api.reads.store import Change, Identity, ProgressStore
from pipeline.codec.errors import CodecError, RegistryUnavailableError
from pipeline.codec.published import (
    NotPublishedError,
    PublishedReader,
    has_revision_second,
    revision_of,
    schema_id_of,
)
from pipeline.codec.schemas import JsonSchema, Schema
from pipeline.core.records import ProgressUpdated
from pipeline.kafka.errors import OffsetGoneError, UnreadableLogError
from pipeline.observability import api_metrics as m
from pipeline.observability.api_prometheus import ApiMetrics

STORE_AGE_MS_MAX: Final = 12 * 3_600_000
"""Max age of a store that is not rebuilt, ms. Kafka keeps tombstones for `delete.retention.ms`, by
default a day; in an older store a user who was erased meanwhile would stay."""

ASK_EVERY_S: Final = 0.5
"""Seconds between two questions for the ends of the topic."""

IDENTITY_EVERY_S: Final = 10.0
"""Seconds between two questions whether the topic was recreated."""

FLUSH_EVERY_S: Final = 10.0
"""Seconds between two flushes while records arrive."""

FLUSH_IDLE_S: Final = 300.0
"""Seconds between two flushes while no record arrives."""

AGAIN_S: Final = 1.0
"""Seconds between two attempts to connect."""

_POLL_S: Final = 0.1
_SAMPLE: Final = 100
"""Max records of a batch whose latency is measured."""

_log = structlog.get_logger("awaway.api.store")


class State(StrEnum):
    """The state of the materialiser."""

    STARTING = "starting"
    CONNECTING = "connecting"
    LOADING = "loading"
    TAILING = "tailing"
    FAILED = "failed"
    STOPPED = "stopped"


class Materialiser:
    """A service: a thread that reads the topic into the store.

    Args:
        store: an open store; the materialiser is its only writer, and closes it.
        connect: makes a reader of the topic.
        schema: our schema of progress.
        writer_schema: asks the registry for the schema of an id.
        metrics: counts what happens.
        now_ms: the time of day, ms since the epoch.

    Attributes:
        freshness: the freshness of the store; it is replaced together with the store.
        listeners: are called on the reader's thread with the users whose records were replaced,
            once the new records can be read; they must be quick and raise nothing.
    """

    def __init__(
        self,
        store: ProgressStore,
        connect: Callable[[], ProgressTopic],
        schema: Schema,
        writer_schema: Callable[[int], JsonSchema],
        metrics: ApiMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        self.store = store
        self.freshness = Freshness(0, store.complete_at_ms)
        self.listeners: list[Callable[[Sequence[bytes]], None]] = []
        self.state = State.STARTING
        self.reason = ""
        self._connect = connect
        self._registry = writer_schema
        self._metrics = metrics
        self._now_ms = now_ms
        self._is_quick: dict[int, bool] = {}
        self._texts: dict[int, str] = {}
        self._reader = PublishedReader(ProgressUpdated, schema, self._remembered)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="materialise", daemon=True)
        self._started_s = time.monotonic()
        self._flushed_s = self._started_s
        self._dirty = False
        metrics.before_scrape.append(self._measure)

    async def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """End the thread, flush and close the store."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(10.0)

    @property
    def is_loaded(self) -> bool:
        """Tell whether the store was complete at some instant of this process."""
        return self.freshness.caught_up

    @property
    def is_usable(self) -> bool:
        """Tell whether the store was ever complete, maybe in an earlier process."""
        return self.freshness.is_usable

    def decode(self, value: bytes) -> ProgressUpdated:
        """Decode a record of the store. Any thread; it does no IO over the network.

        Raises:
            NotPublishedError: the store has something that is not a progress record.
        """
        return self._reader.read(value)

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._once()
            self.state = State.STOPPED
            self._flush()
            self.store.close()
        except Exception as error:  # noqa: BLE001 - the thread's last words; /livez tells
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Keep the store open, so that reads are answered until the supervisor restarts us."""
        self.state = State.FAILED
        self.reason = str(error)
        _log.error("the store cannot go on", reason=str(error), exc_info=error)

    def _once(self) -> None:
        """Connect, and read until something fails."""
        if self.state is not State.STARTING:
            self.state = State.CONNECTING
        topic = self._connect()
        try:
            identity = topic.identity()
            self._fit(identity)
            topic.read_from(self.store.positions(), identity.partitions)
            self._tail(topic, identity)
        except OffsetGoneError as error:
            self._rebuild(identity, f"{error}")
        except (UnreadableLogError, RegistryUnavailableError) as error:
            self.state = State.CONNECTING
            self.reason = str(error)
            _log.warning("progress is not read for the moment", reason=str(error))
            self._stop.wait(AGAIN_S)
        finally:
            topic.close()

    def _fit(self, identity: Identity) -> None:
        """Keep the store if it fits the topic, else quarantine it."""
        have = self.store.identity
        complete_at_ms = self.store.complete_at_ms
        if have is None:
            self._rebuild(identity, "it is empty")
        elif have != identity:
            self._rebuild(identity, f"it was built from {have}, there is {identity}")
        elif self.freshness.partitions == 0 and complete_at_ms is None:
            self._rebuild(identity, "its first load was not ended")
        elif complete_at_ms is not None and self._is_too_old(complete_at_ms):
            self._rebuild(identity, "it is so old that erased users may have stayed in it")
        elif self.freshness.partitions != identity.partitions:
            self.freshness = Freshness(identity.partitions, complete_at_ms)
            self.freshness.moved(self.store.positions())

    def _is_too_old(self, complete_at_ms: int) -> bool:
        as_of = self.freshness.oldest()
        latest_ms = max(complete_at_ms, as_of.ms if as_of is not None else 0)
        return self._now_ms() - latest_ms > STORE_AGE_MS_MAX

    def _rebuild(self, identity: Identity, reason: str) -> None:
        if self.store.identity is not None:
            self._metrics.add(m.STORES_SET_ASIDE, 1)
            _log.warning("the store is set aside and built anew", reason=reason)
        # Freshness first, then the contents: meanwhile no read may say that a user is not there.
        self.freshness = Freshness(identity.partitions, None)
        self.store.replace(identity, reason)
        self._is_quick.clear()

    def _tail(self, topic: ProgressTopic, identity: Identity) -> None:
        self.state = State.TAILING if self.is_loaded else State.LOADING
        self.reason = ""
        asked_s = checked_s = time.monotonic()
        asked = self._ask(topic, identity)
        waiting = True
        while not self._stop.is_set():
            self._take(topic.poll(_POLL_S))
            now_s = time.monotonic()
            if waiting and (ends := topic.ends()) is not None:
                waiting = False
                self._compare(ends, *asked)
            elif not waiting and now_s - asked_s >= ASK_EVERY_S:
                asked_s, waiting = now_s, True
                asked = self._ask(topic, identity)
            if now_s - checked_s >= IDENTITY_EVERY_S:
                checked_s = now_s
                if topic.identity() != identity:
                    return  # the topic was recreated: begin again, and rebuild
            if self.is_loaded:
                self._loaded(now_s)

    def _ask(self, topic: ProgressTopic, identity: Identity) -> tuple[int, dict[int, int]]:
        """Ask for the ends; returns the instant, and the positions of the store then."""
        asked = (self._now_ms(), self.store.positions())
        topic.ask_ends(identity.partitions)
        return asked

    def _compare(self, ends: dict[int, int], asked_at_ms: int, positions: dict[int, int]) -> None:
        # Compare the positions at the question: by now the store may be beyond the answer.
        for partition, end in ends.items():
            if positions.get(partition, 0) > end:
                raise OffsetGoneError(
                    f"partition {partition} ends at {end}, before what was read from it",
                    partition=partition,
                )
        self.freshness.note_ends(ends, asked_at_ms)

    def _loaded(self, now_s: float) -> None:
        if self.state is State.LOADING:
            self.state = State.TAILING
            took_s = now_s - self._started_s
            self._metrics.put(m.LOAD_DURATION, took_s)
            _log.info("loaded", users=self.store.users, seconds=round(took_s, 1))
            self._flush()
        elif now_s - self._flushed_s > (FLUSH_EVERY_S if self._dirty else FLUSH_IDLE_S):
            self._flush()

    def _flush(self) -> None:
        as_of = self.freshness.oldest()
        self.store.flush(as_of.ms if as_of is not None else None)
        self._flushed_s = time.monotonic()
        self._dirty = False

    def _take(self, polled: Any) -> None:
        """Apply what was polled."""
        positions: dict[int, int] = dict(polled.ends)
        changes = []
        refused = 0
        for record in polled.records:
            partition, offset = record.partition(), record.offset()
            positions[partition] = max(positions.get(partition, 0), offset + 1)
            try:
                change = self._change(record, partition, offset)
            except NotPublishedError as error:
                refused += 1
                _log.warning("passed over", partition=partition, offset=offset, reason=str(error))
                continue
            changes.append(change)
        if not positions:
            return
        applied = self.store.apply(changes, positions)
        if not changes:
            self.freshness.moved(positions)
            self._count("refused", refused)
            return
        self._dirty = True
        for listener in self.listeners:
            listener(applied.users)
        if self.is_loaded:
            self._time(changes)
        self.freshness.moved(positions)
        self._count("applied", len(changes) - applied.superseded - applied.erased)
        self._count("superseded", applied.superseded)
        self._count("erased", applied.erased)
        self._count("refused", refused)

    def _change(self, record: Any, partition: int, offset: int) -> Change:
        user, value = record.key(), record.value()
        if user is None:
            raise NotPublishedError("it has no key")
        record_time_ms = record.timestamp()[1]
        if value is None:
            return Change(user, partition, offset, 0, record_time_ms, None)
        schema_id = schema_id_of(value)
        quick = self._is_quick.get(schema_id)
        if quick is None:
            quick = self._learn(schema_id)
        revision = revision_of(value) if quick else self._reader.read(value).revision
        return Change(user, partition, offset, revision, record_time_ms, value)

    def _learn(self, schema_id: int) -> bool:
        """Store a schema; returns whether a revision can be read without decoding the record."""
        text = self._texts.get(schema_id) or self.store.schema(schema_id)
        if text is None:
            try:
                text = json.dumps(self._registry(schema_id))
            except RegistryUnavailableError:
                raise
            except (CodecError, ValueError) as error:
                raise NotPublishedError(
                    f"its schema {schema_id} cannot be used", why=str(error)
                ) from error
        self._texts[schema_id] = text
        self.store.remember_schema(schema_id, text)
        self._is_quick[schema_id] = has_revision_second(json.loads(text))
        return self._is_quick[schema_id]

    def _remembered(self, schema_id: int) -> JsonSchema:
        text = self._texts.get(schema_id) or self.store.schema(schema_id)
        if text is None:
            raise NotPublishedError(f"its schema {schema_id} is not known")
        return json.loads(text)

    def _time(self, changes: list[Change]) -> None:
        now_ms = self._now_ms()
        sample = changes[:: -(-len(changes) // _SAMPLE)]
        values = [change.value for change in sample if change.value is not None]
        self._metrics.readable([self._reader.read(v).updated_at for v in values], now_ms)

    def _count(
        self, outcome: Literal["applied", "superseded", "erased", "refused"], records: int
    ) -> None:
        if records:
            self._metrics.add(m.RECORDS, records, outcome)

    def _measure(self) -> None:
        """Set the gauges; each scrape calls it."""
        metrics, freshness = self._metrics, self.freshness
        now_ms = self._now_ms()
        metrics.put(m.USERS, self.store.users)
        if self.state not in (State.FAILED, State.STOPPED):
            metrics.put(m.STORE_BYTES, self.store.size_bytes())
        metrics.drop(m.OFFSET_LAG)
        metrics.drop(m.TIME_LAG)
        for partition in range(freshness.partitions):
            lag, as_of = freshness.offset_lag(partition), freshness.as_of(partition)
            if lag is not None:
                metrics.put(m.OFFSET_LAG, lag, str(partition))
            age_s = float("inf") if as_of is None else max(0, now_ms - as_of.ms) / 1000
            metrics.put(m.TIME_LAG, age_s, str(partition))
