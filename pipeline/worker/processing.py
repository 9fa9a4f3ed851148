"""From a micro-batch of raw records to everything that follows from them.

Owns: the path of one input (decode, check, fold, encode, write) and the audit chain's growth.
Does not own: the rules (core/), bytes (codec/), the transaction (engine/), who calls (agents.py).

Ordering and atomicity it relies on: the records of a batch come in offset order; all writes of a
batch are in one transaction. All of an event's outputs are encoded before the first is written, so
an event that cannot be folded or encoded leaves nothing behind but its dead letter.

Invariants: each input gets exactly one audit entry; the chain's head moves in the same transaction;
an exception in decode, fold or encode costs only its own event. Only two things fail a batch: a
registry that is away (it is postponed), and too many events that the fold cannot take (the
breaker). What an operator has put aside (ops/skips.py) is not decoded at all.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from pipeline.codec.dead_letters import fault_of, fit
from pipeline.codec.errors import DecodeError, RegistryUnavailableError, readable
from pipeline.codec.framed import schema_id_in
from pipeline.codec.headers import dead_letter_headers, read_headers
from pipeline.codec.inputs import check_key
from pipeline.codec.state import StateDecodeError, decode_state, encode_state
from pipeline.core.audit import AuditIds, ChainHead, genesis
from pipeline.core.fold import Outcome
from pipeline.core.progress import progress_standing
from pipeline.core.records import (
    AuditEntry,
    Cause,
    Command,
    DeadLetter,
    Header,
    PracticeCompleted,
)
from pipeline.core.rejection import Rejection
from pipeline.core.state import EMPTY, UserState
from pipeline.core.streak import Standing
from pipeline.engine.batch import Batch, TableView
from pipeline.engine.errors import BatchPostponedError, CorruptStoreError, EngineError
from pipeline.engine.ports import Message
from pipeline.engine.tablespec import TableSpec
from pipeline.errors import AwawayError
from pipeline.observability.metrics import BatchStats
from pipeline.ops.skips import Skip
from pipeline.worker.outputs import Outputs
from pipeline.worker.rules import Rules
from pipeline.worker.window import Sweep, Window

Input = TypeVar("Input", PracticeCompleted, Command)

BREAKER_INPUTS: Final = 1_000
"""The breaker looks at this many inputs at a time."""

BREAKER_FAILURES_MAX: Final = 100
"""More inputs than this of those that the fold cannot take stop the worker."""


class TooManyFoldFailuresError(AwawayError):
    """The fold raised for so many events that the release is at fault, not the data.

    Operator action: roll back to the last good release; the dead letters of stage `fold` hold the
    events and their tracebacks, and can be redriven after that.
    """


_encode_head = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(ChainHead).decode


class Processor:
    """Turns batches into effects; one for the worker's life.

    Args:
        rules: what to apply.
        outputs: encoders and topics.
        users, seen: the two tables.
        told: is given each batch's counts, before its commit.
    """

    def __init__(
        self,
        rules: Rules,
        outputs: Outputs,
        users: TableSpec,
        seen: TableSpec,
        told: Callable[[BatchStats], None],
    ) -> None:
        self.rules = rules
        self.outputs = outputs
        self.users = users
        self.seen = seen
        self.told = told
        self._sweeps: dict[int, Sweep] = {}
        self._failures = self._looked_at = 0

    def completions(self, batch: Batch) -> None:
        """Process a batch of the topic of completions."""
        table = batch.table(self.seen)
        work = _Work(self, batch, Window(table, self.rules.world.policies.window_ms))
        work.run(self.rules.decoder.decode_completion, work.fold_completion, "completion")
        sweep = self._sweeps.setdefault(batch.partition, Sweep(self.rules.world.policies.window_ms))
        sweep.step(table, batch.records[-1].timestamp()[1])

    def commands(self, batch: Batch) -> None:
        """Process a batch of the topic of commands."""
        work = _Work(self, batch, Window(batch.table(self.seen), 0))
        work.run(self.rules.decoder.decode_command, work.fold_command, "unknown")

    def count_failures(self, inputs: int, failures: int) -> None:
        """Trip the breaker when the fold fails too often.

        Raises:
            TooManyFoldFailuresError: then the batch is not committed.
        """
        self._looked_at += inputs
        self._failures += failures
        if self._failures > BREAKER_FAILURES_MAX:
            raise TooManyFoldFailuresError(
                f"the fold raised for {self._failures} of the last {self._looked_at} inputs",
                fix="roll back to the last good release; see the dead letters of stage fold",
            )
        if self._looked_at >= BREAKER_INPUTS:
            self._looked_at = self._failures = 0


class _Change(msgspec.Struct, gc=False):
    """A user as an input left it, and that input."""

    state: UserState
    standing: Standing
    cause: Cause
    append_time: int


class _Work:
    """One batch in hand."""

    __slots__ = (
        "append_time",
        "audit_ids",
        "batch",
        "cause",
        "collapse",
        "dirty",
        "emit",
        "failures",
        "head",
        "offset",
        "outputs",
        "partition",
        "processor",
        "rules",
        "stats",
        "topic",
        "users",
        "verdicts",
        "window",
        "world",
    )

    def __init__(self, processor: Processor, batch: Batch, window: Window) -> None:
        self.processor = processor
        self.rules = processor.rules
        self.outputs = processor.outputs
        self.collapse = processor.rules.collapse
        self.batch = batch
        self.emit = batch.emit
        self.topic = batch.topic
        self.partition = batch.partition
        self.window = window
        self.world = processor.rules.world
        self.users: TableView = batch.table(processor.users)
        generation = self.world.generation
        self.head = (
            _decode_head(batch.ledger) if batch.ledger else genesis(generation, batch.partition)
        )
        self.audit_ids = AuditIds(generation, batch.partition)
        self.stats = BatchStats(batch.topic, batch.partition)
        self.verdicts: list[tuple[str, str]] = []
        self.dirty: dict[str, _Change] = {}
        self.failures = 0
        self.offset = -1
        self.append_time = 0
        self.cause = Cause(batch.topic, batch.partition, -1)

    def run(
        self,
        decode: Callable[[bytes | None], Input],
        fold: Callable[[Input], Outcome],
        action: str,
    ) -> None:
        """Process every record of the batch."""
        started = time.perf_counter()
        decoder = self.rules.decoder
        ignored_before = decoder.ignored_fields
        partition, partitions = self.partition, self.rules.partitions
        tell_append_time = self.stats.append_times.append
        self.rules.begin(self.topic, partition, self.batch.records[-1].timestamp()[1])
        skips = self.rules.skips.get((self.topic, partition), {})
        for record in self.batch.records:
            self.append_time = append_time = record.timestamp()[1]
            tell_append_time(append_time)
            self.offset = offset = record.offset()
            if offset in skips:
                self._skip(record, skips[offset], action)
                continue
            try:
                event = decode(record.value())
                check_key(record.key(), event.user_id, partition, partitions)
            except DecodeError as error:
                self.cause = Cause(self.topic, partition, self.offset)
                self._reject(record, action, Rejection(error.stage, error.reason, error.detail))
                continue
            except RegistryUnavailableError as error:
                raise BatchPostponedError("a schema cannot be told yet", why=str(error)) from error
            except Exception as error:  # noqa: BLE001 — decoding is total; this is for its faults
                self.cause = Cause(self.topic, partition, offset)
                self._fail(record, "decode", error, action)
                continue
            self._take(record, event, fold, action)
        self._flush()
        self.stats.outcomes.update(self.verdicts)
        self.stats.fields_ignored = decoder.ignored_fields - ignored_before
        self.batch.ledger = _encode_head(self.head)
        self.stats.fold_s = time.perf_counter() - started
        self.processor.count_failures(len(self.batch.records), self.failures)
        self.processor.told(self.stats)

    def _take(
        self, record: Message, event: Input, fold: Callable[[Input], Outcome], action: str
    ) -> None:
        try:
            outcome = fold(event)
            encoded = self.outputs.encode(outcome)
        except EngineError:
            raise  # the store is at fault, or the changelog, and not the event
        except StateDecodeError as error:
            raise CorruptStoreError("what is stored cannot be decoded", why=str(error)) from error
        except Exception as error:  # noqa: BLE001 — a dead letter says what it was
            self._fail(record, "fold", error, action)
            return
        if outcome.rejection is not None:
            self._dead_letter(record, outcome.rejection)
        for topic, key, value in encoded:
            self.emit(topic, key, value)
        if outcome.seen is not None:
            self.window.remember(event.user_id, outcome.seen)
        if outcome.state is not None and outcome.standing is not None:
            change = _Change(outcome.state, outcome.standing, self.cause, self.append_time)
            if self.collapse:
                self.dirty[event.user_id] = change
            else:
                self._write_user(event.user_id, change)
        self._audit(outcome)

    def fold_completion(self, event: PracticeCompleted) -> Outcome:
        """The fold of one completion over what the tables hold."""
        self.cause = Cause(self.topic, self.partition, self.offset, event.completion_id)
        self.window.now = append_time = self.append_time
        state = self._state(event.user_id)
        return self.rules.fold_completion(
            state, self.window, event, self.cause, append_time, self.world
        )

    def fold_command(self, event: Command) -> Outcome:
        """The fold of one command over what the tables hold."""
        self.cause = Cause(self.topic, self.partition, self.offset, event.request_id)
        state = self._state(event.user_id)
        return self.rules.fold_command(state, event, self.cause, self.append_time, self.world)

    def _state(self, user_id: str) -> UserState:
        dirty = self.dirty.get(user_id)
        if dirty is not None:
            return dirty.state
        raw = self.users.get(user_id.encode())
        return EMPTY if raw is None else decode_state(raw)

    def _flush(self) -> None:
        for user_id, change in self.dirty.items():
            self._write_user(user_id, change)

    def _write_user(self, user_id: str, change: "_Change") -> None:
        key = user_id.encode()
        progress = progress_standing(
            user_id, change.state, change.standing, change.cause, change.append_time, self.world
        )
        self.emit(self.outputs.topics.progress, key, self.outputs.progress(progress))
        self.users.put(key, encode_state(change.state))

    # --- audit and dead letters ------------------------------------------------------------------

    def _fail(self, record: Message, stage: str, error: Exception, action: str) -> None:
        """Have a fault of this program cost the event alone, until there are too many."""
        self.failures += 1
        self._reject(record, action, fault_of(stage, error))

    def _skip(self, record: Message, skip: Skip, action: str) -> None:
        """Put an input aside unread, as an operator asked."""
        self.cause = Cause(self.topic, self.partition, self.offset)
        detail = readable(f"{skip.actor} had it put aside ({skip.ticket}): {skip.reason}")
        rejection = Rejection("operator", "skipped", detail)
        self._dead_letter(record, rejection)
        self._audit(
            Outcome(
                action=action,
                actor=skip.actor,
                reason=skip.reason,
                ticket=skip.ticket,
                verdict="dead_letter",
                rejection=rejection,
                policy_version=self.world.policies.at(self.append_time).version,
            )
        )

    def _reject(self, record: Message, action: str, rejection: Rejection) -> None:
        self._dead_letter(record, rejection)
        self._audit(
            Outcome(
                action=action,
                actor="unknown",
                reason=rejection.reason,
                verdict="dead_letter",
                rejection=rejection,
                policy_version=self.world.policies.at(self.append_time).version,
            )
        )

    def _dead_letter(self, record: Message, rejection: Rejection) -> None:
        value = record.value()
        whole = DeadLetter(
            stage=rejection.stage,
            reason=rejection.reason,
            detail=rejection.detail,
            key=record.key(),
            value=value,
            headers=tuple(Header(name, value) for name, value in read_headers(record)),
            schema_id=schema_id_in(value),
            cause=self.cause,
            append_time=self.append_time,
        )
        letter = fit(whole, self.rules.dead_letter_bytes_max)
        headers = [(header.key, header.value) for header in letter.headers]
        self.stats.dead_letters[letter.stage, letter.reason] += 1
        self.emit(
            self.outputs.topics.deadletters,
            letter.key,
            self.outputs.dead_letter(letter),
            dead_letter_headers(headers, self.cause, letter.stage, letter.reason, letter.detail),
        )

    def _audit(self, outcome: Outcome) -> None:
        head = self.head
        user_id, unlocks = outcome.user_id, outcome.unlocks
        entry = AuditEntry(
            self.audit_ids.of(head.next_sequence),
            self.world.generation,
            self.partition,
            head.next_sequence,
            user_id,
            outcome.action,
            outcome.actor,
            outcome.reason,
            outcome.ticket,
            outcome.verdict,
            outcome.local_date,
            tuple([unlock.unlock_id for unlock in unlocks]) if unlocks else (),
            outcome.digest_before,
            outcome.digest_after,
            outcome.revision,
            outcome.policy_version,
            self.rules.tzdata_version,
            self.append_time,
            self.cause,
            None if outcome.rejection is None else outcome.rejection.reason,
            outcome.tz,
            outcome.tz_assumed,
            outcome.revoked_by,
            head.hash,
            b"",
        )
        value, link = self.outputs.audit(entry)
        key = None if user_id is None else user_id.encode()
        self.emit(self.outputs.topics.audit, key, value)
        self.head = ChainHead(head.next_sequence + 1, link)
        self.verdicts.append((outcome.action, outcome.verdict))
        for unlock in unlocks:
            self.stats.unlocks[unlock.portal] += 1
            self.stats.keys_granted += len(unlock.field_keys)
