"""Whether a ledger is exact: its outputs against its raw inputs, judged by the oracle.

Owns: the checks that hold after any fault: every input audited once (H), the unlocks as multisets
(A), every user's progress, unbroken audit chains, and disk equal to changelog (C).
Does not own: the faults.
"""

from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pipeline.core.audit import Link, genesis, verify
from pipeline.demo.expected import expected_progress, shown_progress
from pipeline.engine.rocks import RocksDisk
from pipeline.oracle import Judgement, Logged, Reader, judge, load_rules
from tests.integration.ledger import ROOT, Ledger

POLICY = (ROOT / "policy.yaml").read_text(encoding="utf-8")
HASH_BYTES = 32
POSITIONS = b"\x00positions"


def logged_inputs(ledger: Ledger) -> list[Logged]:
    """The raw inputs in the order in which they were consumed, as the audit tells it."""
    order = {
        (
            entry.value["cause"]["topic"],
            entry.partition,
            entry.value["cause"]["offset"],
        ): entry.offset
        for entry in ledger.read("audit")
    }
    log = []
    for kind in ("completions", "commands"):
        for record in ledger.raw(kind):
            log.append(
                Logged(
                    kind,
                    record.partition(),
                    record.offset(),
                    record.timestamp()[1],
                    record.key(),
                    record.value(),
                )
            )
    return sorted(
        log,
        key=lambda one: (one.partition, order[ledger.topic(one.kind), one.partition, one.offset]),
    )


def judged(ledger: Ledger) -> Judgement:
    """What the oracle says of the ledger's inputs."""
    return judge(logged_inputs(ledger), load_rules(POLICY), Reader({}), ledger.partitions)


def check_exact(ledger: Ledger) -> Judgement:
    """Check everything that has to hold however often workers died; returns the oracle's answer."""
    assert Counter(ledger.audited_offsets()) == Counter(ledger.input_offsets())
    check_chains(ledger)
    judgement = judged(ledger)
    told = Counter(
        (u.value["user_id"], u.value["lap"], u.value["portal"]) for u in ledger.read("portals")
    )
    due = Counter(
        (user_id, unlock.lap, unlock.slug)
        for user_id, user in judgement.users.items()
        for unlock in user.unlocks.values()
    )
    assert told == due
    rules = load_rules(POLICY)
    progress = {user_id: plain(record) for user_id, record in ledger.progress().items()}
    assert progress.keys() == judgement.users.keys()
    for user_id, user in judgement.users.items():
        expected = expected_progress(user, rules, user.last_change_ms)
        assert shown_progress(progress[user_id]) == expected, user_id
    verdicts = Counter(verdict.word for verdict in judgement.verdicts.values())
    assert Counter(entry.value["verdict"] for entry in ledger.read("audit")) == verdicts
    return judgement


def check_chains(ledger: Ledger) -> None:
    """Follow every partition's audit chain from its beginning."""
    for partition in range(ledger.partitions):
        links = [
            Link(
                entry.value["sequence"],
                entry.value["prev_hash"],
                entry.raw[5 : -HASH_BYTES - 1],
                entry.value["hash"],
            )
            for entry in ledger.read("audit")
            if entry.partition == partition
        ]
        assert verify(genesis("blue", partition), links).next_sequence == len(links)


def local_state(data_dir: Path, ledger: Ledger) -> list[dict[bytes, bytes]]:
    """Every entry of every partition's local store, without the changelog positions."""
    disk = RocksDisk(data_dir / f"{ledger.prefix}blue")
    partitions = []
    for number in range(ledger.partitions):
        store = disk.open(number)
        entries: dict[bytes, Any] = dict(store.scan(b""))
        entries.pop(POSITIONS, None)
        partitions.append(entries)
        store.close()
    return partitions


def plain(value: Any) -> Any:
    """A decoded record with dates as days and instants as milliseconds since 1970-01-01."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    if isinstance(value, date):
        return (value - date(1970, 1, 1)).days
    return value
