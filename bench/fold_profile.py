"""Microseconds per event of each stage of the hot path, without Kafka.

Owns: the stages, in the worker's order, each timed by itself over one poll's records at a time; the
same path whole, by the real `Processor`; its profile by function.
Does not own: the stand-ins (pipeline/dev/memory_engine.py), figures with a broker (suite.py).
Invariant: what the stages come to is checked against the input's truth, and so is the whole.

Run it with `python -m bench.fold_profile`. Times are the thread's processor time, so that a busy
machine disturbs little. Stages overlap with nothing and leave out the glue between them.
"""

import argparse
import cProfile
import gc
import io
import pstats
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from bench.errors import WrongResultError
from bench.raw_loop import Loop
from bench.truth import Data, data_of
from pipeline.clock import now_ms
from pipeline.codec.inputs import check_key
from pipeline.codec.state import decode_state, encode_state
from pipeline.core.audit import AuditIds, ChainHead, genesis
from pipeline.core.fold import Outcome, fold_completion
from pipeline.core.progress import progress_standing
from pipeline.core.records import AuditEntry, Cause, PracticeCompleted
from pipeline.core.state import EMPTY, UserState
from pipeline.core.streak import Standing
from pipeline.core.zones import TZDATA_VERSION
from pipeline.dev.memory_engine import (
    GENERATION,
    PARTITIONS,
    SEEN,
    TOPIC,
    USERS,
    CountingProducer,
    Record,
    apply,
    as_producer,
    checked_in_schemas,
    decoder_of,
    new_processor,
    new_world,
    open_partitions,
    outputs_of,
    partition_stores,
    polls_of,
)
from pipeline.dev.workload.steady import Steady
from pipeline.engine.batch import Batch, TableView
from pipeline.engine.state.store import PartitionStore
from pipeline.engine.state.table_spec import TableSpec
from pipeline.observability.metrics import BatchStats
from pipeline.worker.window import Window

FUNCTIONS_SHOWN = 40


class Stages:
    """Each stage by itself, collapsing off."""

    def __init__(self, rocks: Path | None) -> None:
        schemas = checked_in_schemas()
        self.decode = decoder_of(schemas).decode_completion
        self.outputs = outputs_of(schemas)
        self.world = new_world()
        self.producer = CountingProducer()
        self.spent_s: dict[str, float] = defaultdict(float)
        self.accepted = 0
        self.portals = 0
        self._stores = partition_stores(rocks)
        self._heads = [genesis(GENERATION, number) for number in range(PARTITIONS)]

    def poll(self, poll: list[list[Record]]) -> None:
        """All stages over the records of one poll."""
        for partition, batch in enumerate(poll):
            if batch:
                self._partition(partition, batch)

    def _partition(self, partition: int, batch: list[Record]) -> None:
        store = self._stores[partition]
        with self._timed("decode JSON"):
            events = [self.decode(record.value()) for record in batch]
        with self._timed("check key and partition"):
            for record, event in zip(batch, events, strict=True):
                check_key(record.key(), event.user_id, partition, PARTITIONS)
        with self._timed("cause"):
            causes = [
                Cause(TOPIC, partition, record.offset(), event.completion_id)
                for record, event in zip(batch, events, strict=True)
            ]
        window = Window(self._view(SEEN, store), self.world.policies.window_ms)
        outcomes = self._fold(store, window, batch, events, causes)
        with self._timed("encode portals, geometry, alerts"):
            encoded = [self.outputs.encode(outcome) for outcome in outcomes]
        for output in encoded:
            for topic, key, value in output:
                self.producer.produce(topic, partition, key, value)
        self._write_users(store, batch, outcomes, causes)
        self._audit(partition, batch, outcomes, causes)
        with self._timed("apply to the store"):
            apply(store, batch[-1].offset() + 1, b"")
        self.accepted += sum(1 for outcome in outcomes if outcome.state is not None)
        self.portals += sum(len(outcome.unlocks) for outcome in outcomes)

    def _fold(
        self,
        store: PartitionStore,
        window: Window,
        batch: list[Record],
        events: list[PracticeCompleted],
        causes: list[Cause],
    ) -> list[Outcome]:
        """The fold needs what the events before it left, so its look-ups are timed inside it."""
        users = self._view(USERS, store)
        with self._timed("read and decode states"):
            states = {
                event.user_id: EMPTY if raw is None else decode_state(raw)
                for event in events
                for raw in (users.get(event.user_id.encode()),)
            }
        remembering_s = 0.0
        outcomes = []
        world, clock = self.world, time.thread_time
        started = clock()
        for record, event, cause in zip(batch, events, causes, strict=True):
            append_ms = record.timestamp()[1]
            window.now = append_ms
            user_id = event.user_id
            outcome = fold_completion(states[user_id], window, event, cause, append_ms, world)
            outcomes.append(outcome)
            if outcome.state is not None and outcome.seen is not None:
                states[user_id] = outcome.state
                before = clock()
                window.remember(user_id, outcome.seen)
                remembering_s += clock() - before
        self.spent_s["fold, with look-ups in the window"] += clock() - started - remembering_s
        self.spent_s["remember in the window"] += remembering_s
        return outcomes

    def _write_users(
        self,
        store: PartitionStore,
        batch: list[Record],
        outcomes: list[Outcome],
        causes: list[Cause],
    ) -> None:
        changed: list[tuple[str, UserState, Standing, Cause, int]] = [
            (outcome.user_id, outcome.state, outcome.standing, cause, record.timestamp()[1])
            for record, outcome, cause in zip(batch, outcomes, causes, strict=True)
            if outcome.user_id is not None
            and outcome.state is not None
            and outcome.standing is not None
        ]
        with self._timed("derive progress"):
            progress = [progress_standing(*change, self.world) for change in changed]
        with self._timed("encode progress"):
            values = [self.outputs.progress(record) for record in progress]
        with self._timed("encode states"):
            states = [encode_state(state) for _, state, *_ in changed]
        users = self._view(USERS, store)
        with self._timed("put states, emit progress"):
            for (user_id, *_), value, state in zip(changed, values, states, strict=True):
                key = user_id.encode()
                self.producer.produce("awaway.progress", store.partition, key, value)
                users.put(key, state)

    def _audit(
        self,
        partition: int,
        batch: list[Record],
        outcomes: list[Outcome],
        causes: list[Cause],
    ) -> None:
        head = self._heads[partition]
        ids = AuditIds(GENERATION, partition)
        making_s = sealing_s = 0.0
        clock = time.thread_time
        for record, outcome, cause in zip(batch, outcomes, causes, strict=True):
            started = clock()
            entry = _entry(head, ids, partition, record, outcome, cause)
            made = clock()
            value, link = self.outputs.audit(entry)
            sealed = clock()
            making_s += made - started
            sealing_s += sealed - made
            self.producer.produce("awaway.audit", partition, record.key(), value)
            head = ChainHead(head.next_sequence + 1, link)
        self._heads[partition] = head
        self.spent_s["make audit entry"] += making_s
        self.spent_s["encode and link audit entry"] += sealing_s

    def _view(self, spec: TableSpec, store: PartitionStore) -> TableView:
        return TableView(spec, store, as_producer(self.producer))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.thread_time()
        yield
        self.spent_s[stage] += time.thread_time() - started


def _entry(
    head: ChainHead, ids: AuditIds, partition: int, record: Record, outcome: Outcome, cause: Cause
) -> AuditEntry:
    return AuditEntry(
        ids.of(head.next_sequence),
        GENERATION,
        partition,
        head.next_sequence,
        outcome.user_id,
        outcome.action,
        outcome.actor,
        outcome.reason,
        outcome.ticket,
        outcome.verdict,
        outcome.local_date,
        tuple([unlock.unlock_id for unlock in outcome.unlocks]),
        *(outcome.digest_before, outcome.digest_after, outcome.revision),
        outcome.policy_version,
        TZDATA_VERSION,
        record.timestamp()[1],
        cause,
        None if outcome.rejection is None else outcome.rejection.reason,
        *(outcome.tz, outcome.tz_assumed, outcome.revoked_by),
        *(outcome.operation, outcome.subject),
        head.hash,
        b"",
    )


class Whole:
    """The worker's own `Processor` over the same polls."""

    def __init__(self, rocks: Path | None, *, collapse: bool) -> None:
        self.producer = CountingProducer()
        self.fold_s = self.apply_s = 0.0
        self.verdicts: dict[tuple[str, str], int] = defaultdict(int)
        self.portals = 0
        self._processor = new_processor(self._count, collapse=collapse)
        self._partitions = open_partitions(rocks)

    def poll(self, poll: list[list[Record]]) -> None:
        """Process one poll's batches, then apply them."""
        clock = time.thread_time
        for opened, batch in zip(self._partitions, poll, strict=True):
            if not batch:
                continue
            started = clock()
            self._processor.completions(Batch(TOPIC, batch, opened, as_producer(self.producer)))
            folded = clock()
            apply(opened.state, batch[-1].offset() + 1, opened.attachment)
            self.apply_s += clock() - folded
            self.fold_s += folded - started

    def _count(self, stats: BatchStats) -> None:
        for outcome, count in stats.outcomes.items():
            self.verdicts[outcome] += count
        self.portals += sum(stats.unlocks.values())


def run_stages(data: Data, at_ms: int, rocks: Path | None) -> list[str]:
    """Time the stages.

    Returns:
        The report's lines.
    """
    stages = Stages(rocks)
    for poll in _frozen_polls(data, at_ms):
        stages.poll(poll)
    _check("the stages", data, stages.accepted, stages.portals)
    events = len(data.events)
    lines = ["stages, collapsing off, in microseconds per event:"]
    for stage, spent_s in stages.spent_s.items():
        lines.append(f"  {stage:<40}{1e6 * spent_s / events:7.2f}")
    lines.append(f"  {'sum':<40}{1e6 * sum(stages.spent_s.values()) / events:7.2f}")
    return lines


def run_whole(data: Data, at_ms: int, rocks: Path | None, *, collapse: bool) -> list[str]:
    """Time the processor, whole."""
    whole = Whole(rocks, collapse=collapse)
    for poll in _frozen_polls(data, at_ms):
        whole.poll(poll)
    _check("the processor", data, whole.verdicts["completion", "accepted"], whole.portals)
    events = len(data.events)
    title = f"processor, whole, collapsing {'on' if collapse else 'off'}"
    fold_us, apply_us = 1e6 * whole.fold_s / events, 1e6 * whole.apply_s / events
    return [
        f"{title:<42}{fold_us:7.2f} and {apply_us:.2f} to apply;",
        f"  {whole.producer.records / events:.2f} records and"
        f" {whole.producer.value_bytes / events:,.0f} bytes out per event",
    ]


def functions_of(data: Data, at_ms: int, rocks: Path | None, *, collapse: bool) -> list[str]:
    """The processor's functions by their own time, by cProfile; its cost inflates small ones."""
    whole = Whole(rocks, collapse=collapse)
    polls = _frozen_polls(data, at_ms)
    profile = cProfile.Profile()
    profile.enable()
    for poll in polls:
        whole.poll(poll)
    profile.disable()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(FUNCTIONS_SHOWN)
    return text.getvalue().splitlines()


def run_bare_loop(data: Data, at_ms: int) -> str:
    """Time the bare loop's own work per event in the same way, for the ratio."""
    loop = Loop(cast(Any, _Sink()), "bench.")
    spent_s = 0.0
    for poll in _frozen_polls(data, at_ms):
        started = time.thread_time()
        for batch in poll:
            for record in batch:
                loop.handle(record)
        spent_s += time.thread_time() - started
    portals = sum(len(user["portals"]) for user in loop.users.values())
    _check("the bare loop", data, len(loop.seen), portals)
    return f"{'bare loop, whole':<42}{1e6 * spent_s / len(data.events):7.2f}"


class _Sink:
    """Takes what the bare loop produces."""

    def produce(self, *_: object) -> None:
        """Nothing."""


def _frozen_polls(data: Data, at_ms: int) -> list[list[list[Record]]]:
    """Polls, out of the garbage collector's sight: a worker does not hold its whole input."""
    polls = polls_of(data.events, at_ms)
    gc.collect()
    gc.freeze()
    return polls


def _check(what: str, data: Data, accepted: int, portals: int) -> None:
    truth = data.truth
    if (accepted, portals) != (truth.accepted, truth.portals):
        raise WrongResultError(
            f"{what} accepted {accepted} and unlocked {portals}",
            why=f"it should be {truth.accepted} and {truth.portals}",
        )


def main(argv: list[str]) -> int:
    """Print the figures.

    Returns:
        The exit code, 0.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.fold_profile", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rocks", action="store_true", help="state in RocksDB, not in a dict")
    parser.add_argument("--functions", action="store_true", help="cProfile of the whole, too")
    parser.add_argument("--collapse", action="store_true", help="with --functions: collapsing")
    parser.add_argument("--no-gc", action="store_true", help="garbage collector off")
    arguments = parser.parse_args(argv)
    if arguments.no_gc:
        gc.disable()
    at_ms = now_ms()
    data = data_of(Steady(arguments.events, max(1, arguments.events // 10), at_ms))
    with tempfile.TemporaryDirectory() as folder:
        folders: Iterator[Any] = (
            Path(folder) / str(number) if arguments.rocks else None for number in range(9)
        )
        lines = run_stages(data, at_ms, next(folders))
        lines.append(run_bare_loop(data, at_ms))
        for collapse in (False, True):
            lines += run_whole(data, at_ms, next(folders), collapse=collapse)
        if arguments.functions:
            lines += functions_of(data, at_ms, next(folders), collapse=arguments.collapse)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
