"""Whether a ledger is exact, as the chaos run judges it.

Owns: the assertion, and reading a local store. Does not own: the comparison (chaos/judge.py), the
faults.
"""

from pathlib import Path

from chaos.judge import examine, gather, policy
from chaos.stores import compared
from pipeline.dev.oracle import Judgement
from pipeline.engine.state.rocks import RocksDisk
from tests.integration.ledger import Ledger


def check_exact(ledger: Ledger) -> Judgement:
    """Check everything that has to hold however often workers died; returns the oracle's answer."""
    findings, judgement = examine(gather(ledger), policy())
    assert not findings.lost, "\n".join(findings.lost)
    assert not findings.duplicated, "\n".join(findings.duplicated)
    assert not findings.wrong_state, "\n".join(findings.wrong_state)
    return judgement


def local_state(data_dir: Path, ledger: Ledger) -> list[dict[bytes, bytes]]:
    """Every entry of every partition's local store, that its changelogs account for."""
    disk = RocksDisk(data_dir / ledger.group)
    partitions = []
    for number in range(ledger.partitions):
        store = disk.open(number)
        partitions.append(compared(store, ledger))
        store.close()
    return partitions
