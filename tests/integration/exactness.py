"""Whether a ledger is exact, as the chaos run judges it.

Owns: the assertion, and reading a local store. Does not own: the comparison (chaos/judge.py), the
faults.
"""

from pathlib import Path
from typing import Any

from chaos.judge import examine, gather, policy
from chaos.stores import POSITIONS
from pipeline.engine.rocks import RocksDisk
from pipeline.oracle import Judgement
from tests.integration.ledger import Ledger


def check_exact(ledger: Ledger) -> Judgement:
    """Check everything that has to hold however often workers died; returns the oracle's answer."""
    findings, judgement = examine(gather(ledger), policy())
    assert findings.lost == []
    assert findings.duplicated == []
    assert findings.wrong_state == []
    return judgement


def local_state(data_dir: Path, ledger: Ledger) -> list[dict[bytes, bytes]]:
    """Every entry of every partition's local store, without the changelog positions."""
    disk = RocksDisk(data_dir / ledger.group)
    partitions = []
    for number in range(ledger.partitions):
        store = disk.open(number)
        entries: dict[bytes, Any] = dict(store.scan(b""))
        entries.pop(POSITIONS, None)
        partitions.append(entries)
        store.close()
    return partitions
