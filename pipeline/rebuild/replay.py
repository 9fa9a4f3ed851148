"""The replay: one partition's inputs once more, in the order that the audit recorded.

Owns: pairing each audit entry with its input, folding it again, and where the log and the replay
part; what was published of portals.
Does not own: the folding (worker/processing.py), the live state (live.py).
Invariants: inputs are folded exactly once and in the recorded order: position and derived state are
one write, so a replay that was killed goes on where it was. A local date that was recorded stands.
What workers could not read or fold then stays rejected, also where it could be read by now: it
counts where it is redriven, and there alone.
Repairs are passed over: what follows from the inputs does not depend on what an operator put right.

Local keys beside the tables': `d` user: where the user's entries first differ; `h` user: the digest
that the last entry left; `p` user, zero byte, offset: a portal that was published; `r`: position.
"""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final, cast

import msgspec

from pipeline.codec.published import PublishedReader, audit_link_of
from pipeline.core.enumerations import COUNTED
from pipeline.core.fold import Outcome, World, fold_command, fold_completion
from pipeline.core.records import AuditEntry, Cause, Command, PortalUnlocked
from pipeline.core.state import UserState
from pipeline.engine.batch import Batch, OpenPartition
from pipeline.engine.ports import Message, TransactionalProducer
from pipeline.engine.state.checkpoint import FORMAT, Checkpoint
from pipeline.engine.state.store import PartitionStore
from pipeline.errors import AwawayError
from pipeline.kafka.reader import record_offset
from pipeline.ops.rebuild_diffs import Parting
from pipeline.rebuild.live import Cut
from pipeline.rebuild.source import Source
from pipeline.worker.processing import Processor

ENTRIES_AT_ONCE: Final = 1_000
"""Audit entries that are replayed with one write."""

ENTRIES_SCANNED: Final = 20_000
"""Audit entries that are passed over at most between two looks at the progress."""

INPUT_WAIT_S: Final = 15.0
"""Seconds to wait for an input that the audit names."""

PORTALS_WAIT_S: Final = 60.0
"""Seconds to wait for the portals that were published up to a cut."""

POSITION: Final = b"rposition"

_encode: Final = msgspec.msgpack.Encoder().encode


class ReplayError(AwawayError):
    """The log cannot be replayed.

    **Operator action**: as the message says; nothing that is live was changed.
    """


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a replay goes on, and the newest append time that it has seen."""

    sequence: int = 0
    append_time: int = 0
    audit: int | None = None
    portals: int | None = None
    inputs: dict[str, int] = {}


class Nowhere:
    """A producer that keeps nothing: a replay publishes nothing."""

    def produce(self, *_: object) -> None:
        """Drop a record."""


class Folds:
    """The folds of a replay, which know what was recorded of each input.

    Attributes:
        recorded: entries by offset, of the batch at hand.
        outcomes: what the replay made of them.
        same_day_start: whether the policy of the replay and that of the worker begin a day alike.
    """

    def __init__(self, same_day_start: Callable[[int], bool]) -> None:
        self.recorded: dict[int, AuditEntry] = {}
        self.outcomes: dict[int, Outcome] = {}
        self._same_day_start = same_day_start

    def completion(
        self, state: UserState, seen: Any, event: Any, cause: Cause, at: int, world: World
    ) -> Outcome:
        """Fold a completion; the local date that was recorded stands."""
        entry = self.recorded[cause.offset]
        if _was_out_of_reach(entry):
            return self._left_rejected(entry)
        if entry.verdict in COUNTED and self._same_day_start(world.judged_at_or(at)):
            world = msgspec.structs.replace(world, recorded_date=entry.local_date)
        outcome = fold_completion(state, seen, event, cause, at, world)
        self.outcomes[cause.offset] = outcome
        return outcome

    def command(
        self, state: UserState, event: Command, cause: Cause, at: int, world: World
    ) -> Outcome:
        """Fold a command."""
        entry = self.recorded[cause.offset]
        if _was_out_of_reach(entry):
            return self._left_rejected(entry)
        outcome = self.outcomes[cause.offset] = fold_command(state, event, cause, at, world)
        return outcome

    def _left_rejected(self, entry: AuditEntry) -> Outcome:
        outcome = Outcome(
            *(entry.action, entry.actor),
            verdict="dead_letter",
            local_date=entry.local_date,
            policy_version=entry.policy_version,
        )
        self.outcomes[entry.cause.offset] = outcome
        return outcome

    def repair(self, _: UserState, event: Command, *given: Any) -> Outcome:
        """Pass a repair over.

        Args:
            given: what it carries, its cause, its append time and the world.
        """
        cause = given[1]
        verdict = self.recorded[cause.offset].verdict
        known = cast(Any, verdict if verdict in ("applied", "dead_letter") else "applied")
        outcome = Outcome("repair", event.actor, verdict=known, user_id=event.user_id)
        self.outcomes[cause.offset] = outcome
        return outcome


def _was_out_of_reach(entry: AuditEntry) -> bool:
    """Tell whether the rules did not get to an input, or to what it redrives."""
    is_unread = entry.user_id is None or entry.action == "redrive"
    return entry.verdict == "dead_letter" and is_unread


class Sources(msgspec.Struct, frozen=True):
    """What a replay reads of one partition: the audit, the inputs by topic, the portals."""

    audit: Source
    inputs: dict[str, Source]
    portals: Source

    def close(self) -> None:
        """Stop reading."""
        for source in (self.audit, *self.inputs.values(), self.portals):
            source.close()


class Readers(msgspec.Struct, frozen=True):
    """Decoders of what the worker published."""

    audit: PublishedReader[AuditEntry]
    portals: PublishedReader[PortalUnlocked]


def position_of(store: PartitionStore) -> Position:
    """Where a replay into this store goes on; the start for an empty one."""
    raw = store.disk.get(POSITION)
    return Position() if raw is None else msgspec.msgpack.decode(raw, type=Position)


Wanted = Callable[[bytes], bool]
"""Says by a user's key whether the user is wanted."""


class Replay:
    """The replay of one partition.

    Args:
        store: what was derived so far; empty at the start.
        processor: with `Folds` as its rules' folds.
        sources: that begin where `position_of` the store says.
        wanted: replay these users alone.

    Attributes:
        sequence: of the next audit entry.
        append_time: the newest of an input that was replayed, ms since the epoch.
        done: inputs replayed by this object.
    """

    def __init__(
        self,
        store: PartitionStore,
        processor: Processor,
        folds: Folds,
        sources: Sources,
        readers: Readers,
        *,
        wanted: Wanted | None = None,
    ) -> None:
        self.store = store
        self._processor = processor
        self._folds = folds
        self._sources = sources
        self._readers = readers
        self._wanted = wanted
        position = position_of(store)
        self.sequence = position.sequence
        self.append_time = position.append_time
        self._next_offsets = dict(position.inputs)
        self.done = 0
        checkpoint = store.checkpoint or Checkpoint(FORMAT, store.generation, {}, b"")
        self._open = OpenPartition(store, checkpoint, set())

    def advance(self, cut: Cut, wait_s: float = 0.2) -> bool:
        """Replay up to a cut, one portion; return whether the replay is at the cut now.

        Raises:
            ReplayError: an input is missing, or the audit has a gap.
            OffsetGoneError, UnreadableLogError: see there.
        """
        entries = self._entries(cut.sequence, wait_s)
        for topic, group in groupby(entries, key=lambda entry: entry.cause.topic):
            self._replay(topic, list(group))
        if entries:
            self._note_published(self._next_offsets)
            self._write()
        return self.sequence >= cut.sequence

    def is_beyond(self, cut: Cut) -> bool:
        """Whether there are audit entries after a cut, replayed or not."""
        if self.sequence > cut.sequence:
            return True
        record = self._sources.audit.peek()
        return record is not None and (
            audit_link_of(record.value() or b"")[0] == self.store.generation
        )

    def published_until(self, cut: Cut) -> None:
        """Note every portal that was published up to a cut.

        Raises:
            ReplayError: they cannot be read to their end.
        """
        source = self._sources.portals
        end, deadline_s = source.high_watermark(), time.monotonic() + PORTALS_WAIT_S
        while not self._note_published(cut.next_offsets) and source.reached < end:
            source.peek(0.2)
            if time.monotonic() > deadline_s:
                raise ReplayError(
                    f"the portals of partition {self.store.partition} cannot be read to their end",
                    why=f"they end at {end}, and nothing came after {source.reached}",
                    fix="is a transaction open on the topic that nobody ends? then ask again later",
                )
        self._write()

    def _entries(self, until: int, wait_s: float) -> list[AuditEntry]:
        entries: list[AuditEntry] = []
        source = self._sources.audit
        scanned_until = min(until, self.sequence + ENTRIES_SCANNED)
        while len(entries) < ENTRIES_AT_ONCE and self.sequence < scanned_until:
            record = source.peek(wait_s if not entries else 0.0)
            if record is None:
                break
            value = record.value() or b""
            generation, sequence = audit_link_of(value)
            source.take()
            if generation != self.store.generation:
                continue
            if sequence != self.sequence:
                raise ReplayError(
                    f"the audit of partition {self.store.partition} has a gap: {self.sequence}"
                    f" is followed by {sequence}",
                    fix="restore the topic audit from a backup: without it the order of the inputs"
                    " is unknown",
                )
            self.sequence += 1
            if self._is_wanted(record.key()):
                entries.append(self._readers.audit.read(value))
        return entries

    def _is_wanted(self, key: bytes | None) -> bool:
        return self._wanted is None or (key is not None and self._wanted(key))

    def _replay(self, topic: str, entries: Sequence[AuditEntry]) -> None:
        records = [self._input(topic, entry) for entry in entries]
        folds = self._folds
        folds.recorded = {entry.cause.offset: entry for entry in entries}
        folds.outcomes = {}
        batch = Batch(topic, records, self._open, cast(TransactionalProducer, Nowhere()))
        is_completions = topic.endswith("completions")
        process = self._processor.completions if is_completions else self._processor.commands
        process(batch)
        for entry in entries:
            self._compare(entry, folds.outcomes.get(entry.cause.offset))
        self._next_offsets[topic] = entries[-1].cause.offset + 1
        self.append_time = max(self.append_time, *(entry.append_time for entry in entries))
        self.done += len(entries)

    def _input(self, topic: str, entry: AuditEntry) -> Message:
        source = self._sources.inputs[topic]
        while (record := source.peek(INPUT_WAIT_S)) is not None:
            if record_offset(record) >= entry.cause.offset:
                break
            source.take()
        if record is None or record_offset(record) != entry.cause.offset:
            raise ReplayError(
                f"{topic} {self.store.partition} has no record {entry.cause.offset} any more",
                why=f"audit entry {entry.sequence} says that it was {entry.verdict}",
                fix="restore the topic from a backup; without its inputs no state can be derived",
            )
        return cast(Message, source.take())

    def _compare(self, entry: AuditEntry, outcome: Outcome | None) -> None:
        """Note the first entry of a user that the log and the replay see differently."""
        if entry.user_id is None:
            return
        user = entry.user_id.encode()
        overlay, get = self.store.overlay, self._get
        before = get(b"h" + user)
        overlay[b"h" + user] = (entry.digest_after or "").encode()
        parting = _parting(entry, outcome, None if before is None else before.decode())
        if parting is not None and get(b"d" + user) is None:
            overlay[b"d" + user] = _encode(parting)

    def _get(self, key: bytes) -> bytes | None:
        found = self.store.overlay.get(key)
        return found if found is not None else self.store.disk.get(key)

    def _note_published(self, next_offsets: dict[str, int]) -> bool:
        """Note the portals that are there; return whether one beyond the offsets was met."""
        source = self._sources.portals
        while (record := source.peek()) is not None:
            value = record.value()
            key = record.key()
            if value is not None and key is not None and self._is_wanted(key):
                portal = self._readers.portals.read(value)
                if portal.cause.offset >= next_offsets.get(portal.cause.topic, 0):
                    return True
                at = record_offset(record).to_bytes(8, "big")
                self.store.overlay[b"p" + key + b"\0" + at] = value
            source.take()
        return False

    def _write(self) -> None:
        store, audit, portals = self.store, self._sources.audit, self._sources.portals
        position = Position(
            self.sequence, self.append_time, audit.position, portals.position, self._next_offsets
        )
        store.overlay[POSITION] = _encode(position)
        attachment = self._open.attachment
        checkpoint = Checkpoint(FORMAT, store.generation, dict(self._next_offsets), attachment)
        self._open.apply(checkpoint, {})


def _parting(entry: AuditEntry, outcome: Outcome | None, before: str | None) -> Parting | None:
    """Return how an entry differs from the replay; None where it does not.

    Args:
        outcome: of the replay; None where the input cannot be decoded.
        before: the digest that the user's entry before left; None without one.
    """
    cause = entry.cause
    if before is not None and before != entry.digest_before:
        kind, recorded, derived = "state", entry.digest_before or "", before
    elif entry.action == "repair":
        return None
    elif outcome is not None and outcome.policy_version != entry.policy_version:
        kind, recorded, derived = "policy", entry.policy_version, outcome.policy_version
    else:
        kind, recorded = "decided", f"{entry.verdict} {entry.local_date}"
        derived = f"{outcome.verdict} {outcome.local_date}" if outcome else "dead_letter None"
        if recorded == derived:
            return None
    return Parting(kind, entry.sequence, cause.topic, cause.offset, recorded, derived)
