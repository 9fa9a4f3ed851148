"""The engine's guards, each of which can be switched off to see who notices.

Owns: a name for each guard, how it is switched off, and the faults that bring its lack to light.
Does not own: the guards themselves (pipeline/engine/), those of rebuilds (guards_of_rebuilds.py),
how a lack is looked for (guard.py).
Invariant: switching off is undone, whatever happens meanwhile.

Some guards stand in the clients for the real broker, of which the simulated ones are models: there
the model's is switched off. Guards that no seed can bring to light are listed in `UNSEEN`, each
with the test that sees it.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from pipeline.engine.batch import OpenPartition, Poll
from pipeline.engine.errors import CorruptStoreError
from pipeline.engine.machine import Engine
from pipeline.engine.ownership import Ownership
from pipeline.engine.ports import TopicPartition
from pipeline.engine.recovery import restore, validation
from pipeline.engine.recovery.restore import Restorer
from pipeline.engine.state.checkpoint import Checkpoint
from pipeline.engine.state.lazy_records import REGION, LazyRecords
from pipeline.engine.state.opener import StoreOpener
from pipeline.engine.state.store import PartitionStore
from pipeline.engine.transactions import acquire
from pipeline.engine.transactions.hanging import HangingDetector
from simulator.agent import AUDIT
from simulator.consumers import SimChangelogReader, SimGroupConsumer
from simulator.group import Group
from simulator.guard import Guard, nothing, without
from simulator.guards_of_rebuilds import GUARDS_OF_REBUILDS
from simulator.producer import SimProducer


def _apply_first() -> AbstractContextManager[None]:
    original = Engine._end_transaction

    def end(self: Engine, poll: Poll) -> Any:
        producer: Any = self._producer
        producer.commit = nothing
        try:
            checkpoints, positions = original(self, poll)
        finally:
            del producer.commit
        for number, checkpoint in checkpoints.items():
            self.partitions.open[number].apply(checkpoint, positions[number])
        producer.commit()
        return checkpoints, positions

    return without(Engine, "_end_transaction", end)()


def _data_after_positions() -> AbstractContextManager[None]:
    original = PartitionStore.apply

    def apply(
        self: PartitionStore, checkpoint: Checkpoint, next_offsets: Mapping[str, Any]
    ) -> None:
        overlay = dict(self.overlay)
        self.overlay.clear()
        original(self, checkpoint, next_offsets)
        self.disk.write(overlay.items())

    return without(PartitionStore, "apply", apply)()


def _done_without_a_word() -> AbstractContextManager[None]:
    original = Engine.commit

    def commit(self: Engine, poll: Poll) -> None:
        for batch in poll.batches:
            batch.is_done, batch.error = True, None
        original(self, poll)

    return without(Engine, "commit", commit)()


def _never_back() -> AbstractContextManager[None]:
    original = SimGroupConsumer.fetch

    def fetch(self: SimGroupConsumer, offsets: Mapping[TopicPartition, int]) -> None:
        original(self, {tp: self._positions.get(tp, at) for tp, at in offsets.items()})

    return without(SimGroupConsumer, "fetch", fetch)()


def _any_end() -> AbstractContextManager[None]:
    original = Restorer._note_ends

    def note_ends(self: Restorer, ends: Mapping[TopicPartition, int]) -> None:
        for source, end in ends.items():
            item = self._restoring.get(source.partition)
            if item is not None:
                item.targets[source.topic] = min(end, item.targets[source.topic])
        original(self, ends)

    return without(Restorer, "_note_ends", note_ends)()


def _from_the_start() -> AbstractContextManager[None]:
    original = Restorer.finish

    def finish(self: Restorer, partition: int, inputs: Any) -> Any:
        item = self._restoring[partition]
        if all(offset is None for offset in item.committed.values()):
            item.store.checkpoint = None
        return original(self, partition, inputs)

    return without(Restorer, "finish", finish)()


def _outputs_at_once() -> AbstractContextManager[None]:
    original = SimProducer.produce

    def produce(self: SimProducer, topic: str, partition: int, *rest: Any) -> None:
        if topic == AUDIT:
            log = self._broker.log(topic, partition)
            log.append((rest[0], rest[1], None), int(self._process.world.now * 1000))
        else:
            original(self, topic, partition, *rest)

    return without(SimProducer, "produce", produce)()


def _attachment_goes_on() -> AbstractContextManager[None]:
    def discard(self: OpenPartition, _: Checkpoint) -> None:
        self.state.discard()

    return without(OpenPartition, "discard", discard)()


def _overlay_stays() -> AbstractContextManager[None]:
    def discard(self: OpenPartition, checkpoint: Checkpoint) -> None:
        self.attachment = checkpoint.attachment

    return without(OpenPartition, "discard", discard)()


def _not_recovered() -> AbstractContextManager[None]:
    def recover_store(_: Ownership, __: int, error: CorruptStoreError) -> None:
        raise error

    return without(Ownership, "recover_store", recover_store)()


def _expanded_for_good() -> AbstractContextManager[None]:
    original = LazyRecords.added

    def added(self: LazyRecords) -> None:
        expanded_owners = set(self._expanded_owners)
        original(self)
        self._expanded_owners |= expanded_owners

    return without(LazyRecords, "added", added)()


def _lazy_stays() -> AbstractContextManager[None]:
    original = LazyRecords._expand_within

    def expand_within(self: LazyRecords, start: bytes, *others: Any) -> bytes:
        before = list(self._disk.scan(start))
        following = original(self, start, *others)
        self._disk.write([entry for entry in before if entry[0].startswith(REGION)])
        return following

    return without(LazyRecords, "_expand_within", expand_within)()


GUARDS: Final = (
    Guard(
        "only members of the group's generation commit offsets",
        5,
        without(Group, "check_member", nothing),
        ("frozen past the session", "worker cut off"),
    ),
    Guard(
        "nothing is applied before its commit",
        6,
        _apply_first,
        ("store breaks in use",),
    ),
    Guard("only the agent's word ends a batch", 6, _done_without_a_word, ("agent fails",)),
    Guard("what was aborted is fetched again", 6, _never_back, ("batch postponed",)),
    Guard(
        "records are acknowledged before the commit",
        6,
        without(SimProducer, "flush", nothing),
        (),
    ),
    Guard("an abort drops the overlay", 7, _overlay_stays, ("batch postponed",)),
    Guard("an abort takes the attachment back", 7, _attachment_goes_on, ("batch postponed",)),
    Guard("data and position are one write", 8, _data_after_positions, ("killed",)),
    Guard(
        "lazy records are expanded before their owner's entries are looked up",
        8,
        without(LazyRecords, "expand_owner", nothing),
        ("disk lost",),
    ),
    Guard(
        "what follows lazy records is kept lazily",
        8,
        without(PartitionStore, "stores_lazily", property(lambda store: store.is_bulk)),
        ("disk lost", "killed", "no answer"),
    ),
    Guard(
        "an owner is expanded again once it has new lazy records",
        8,
        _expanded_for_good,
        ("disk lost", "no answer"),
    ),
    Guard("what was expanded is no lazy record any more", 8, _lazy_stays, ("disk lost",)),
    Guard(
        "an unknown outcome rolls the store forward",
        9,
        without(Ownership, "roll_forward", Ownership.discard),
        ("no answer",),
    ),
    Guard(
        "hanging transactions are aborted before anything is committed",
        9,
        without(acquire, "_abort_hanging", nothing),
        ("broker killed",),
        (100.0, 200.0),
    ),
    Guard(
        "no transaction is ended while the one before may hang",
        9,
        without(HangingDetector, "check", nothing),
        ("broker killed", "queue does not drain"),
        (100.0, 200.0),
    ),
    Guard(
        "a store that is ahead of the group is quarantined",
        9,
        without(restore, "reasons_to_quarantine", lambda *_: []),
        ("broker killed",),
        (100.0, 200.0),
    ),
    Guard(
        "no transaction after a request that was asked twice",
        9,
        without(Engine, "_leave_spent_producer", nothing),
        ("late copy of a request",),
        (10.0, 20.0),
    ),
    Guard("a restore waits for open transactions", 10, _any_end, ("killed", "rebalance storm")),
    Guard(
        "changelogs are read committed",
        10,
        without(SimChangelogReader, "IS_COMMITTED", False),
        ("killed", "killed during a write"),
    ),
    Guard(
        "inputs are read committed",
        10,
        without(SimGroupConsumer, "IS_COMMITTED", False),
        ("input aborted",),
    ),
    Guard(
        "offsets that expired are the changelog's",
        11,
        _from_the_start,
        ("group's offsets expired",),
    ),
    Guard(
        "offsets that went back are repaired",
        11,
        without(validation, "covers", validation.matches_offsets),
        ("group's offsets went back",),
    ),
    Guard(
        "a lost changelog is rewritten",
        11,
        without(Restorer, "rewrites", lambda *_: []),
        ("changelog recreated",),
    ),
    Guard(
        "a changelog that is recreated in use is noticed",
        11,
        without(Ownership, "restore_anew", nothing),
        ("changelog recreated in use",),
    ),
    Guard(
        "a store that cannot be opened is quarantined",
        12,
        without(StoreOpener, "open", StoreOpener._opened),
        ("store corrupt",),
    ),
    Guard(
        "a store that breaks in use is quarantined", 12, _not_recovered, ("store breaks in use",)
    ),
    Guard(
        "partitions are given up when they are lost",
        13,
        without(Engine, "_drop", nothing),
        ("rebalance storm",),
    ),
    Guard("outputs are part of the transaction", 15, _outputs_at_once, ("killed",)),
    *GUARDS_OF_REBUILDS,
)
"""Each is noticed by a seed among the first few, with its faults."""

UNSEEN: Final[Mapping[str, str]] = {
    "2: one transactional id for each slot": "tests/contract/test_contract.py",
    "4: init_transactions before subscribe": "tests/contract/test_contract.py",
    "5: the assignment epoch of a batch": "tests/simulator/test_unseen_guards.py",
    "8: a changelog is rewritten with its lazy records": "tests/engine/test_lazy_records.py",
    "9: the last transaction's control markers are looked at": "tests/engine/test_acquire.py",
    "10: a restore begins at stable offsets": "tests/contract/test_contract.py",
    "11: state agrees with the group's offsets": "tests/integration/test_lost_state.py",
    "11: a standby never rewrites a changelog": "tests/simulator/test_unseen_guards.py",
    "12: a changelog's id is compared": "tests/simulator/test_unseen_guards.py",
    "13: a worker that lost its slot fences nobody": "tests/integration/test_many_workers.py",
    "16: the breaker": "tests/integration/test_rejects.py",
    "17: nothing is delivered twice": "tests/simulator/test_unseen_guards.py",
    "18: librdkafka's errors are told apart": "tests/contract/test_contract.py",
}
"""Guards that need a client library, a whole worker, or more bad luck than seeds have; by rule,
with the tests that see them."""
