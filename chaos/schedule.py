"""Which faults there are, and in which order a seed brings them.

Owns: the catalogue, the choice of those that this machine can have, the order.
Does not own: the faults (faults/).
Invariant: the order is a function of the seed and of the names to choose from; every fault comes
once before any comes again.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Final

from chaos.faults import crashes, disks, freezes, groups, inputs, network, servers
from chaos.faults.fault import Fault
from pipeline.errors import UsageError

CATALOGUE: Final[dict[str, type[Fault]]] = {
    fault.name: fault
    for fault in (
        crashes.CrashBeforeBegin,
        crashes.CrashMidProduce,
        crashes.CrashAfterFlush,
        crashes.CrashBeforeCommit,
        crashes.CrashBeforeApply,
        crashes.CrashInWrite,
        crashes.CrashInRestore,
        crashes.CrashInRevoke,
        crashes.KillAtRandom,
        freezes.FreezeShort,
        freezes.FreezeLong,
        freezes.SlowAgent,
        freezes.PollTooLate,
        freezes.SlotTaken,
        groups.RebalanceStorm,
        groups.RollingRestart,
        groups.SharedFolder,
        servers.BrokerClean,
        servers.BrokerHard,
        servers.BrokerAtEndTxn,
        servers.RegistryAway,
        network.ConnectionsCut,
        network.EndTxnDelayed,
        network.EndTxnReordered,
        inputs.ProducerDuplicates,
        inputs.AbortedInputs,
        inputs.LateAndDisordered,
        inputs.OversizeAndPoison,
        disks.OldSnapshot,
        disks.ChangelogRemade,
        disks.DiskFull,
    )
}


def chosen(names: Sequence[str]) -> list[type[Fault]]:
    """The faults of these names, or all when there are none.

    Raises:
        UsageError: one is not in the catalogue. Operator action: `--list` shows them.
    """
    if unknown := sorted(set(names) - CATALOGUE.keys()):
        raise UsageError(
            f"no such fault: {', '.join(unknown)}", fix="`python -m chaos --list` shows them"
        )
    return [CATALOGUE[name] for name in names or CATALOGUE]


def impossible(faults: Sequence[type[Fault]]) -> dict[str, str]:
    """Which of these this machine cannot have, and why."""
    return {fault.name: why for fault in faults if (why := fault.impossible())}


def in_order(faults: Sequence[type[Fault]], rng: random.Random) -> Iterator[type[Fault]]:
    """These faults for ever, each round in another order; nothing when there are none."""
    while faults:
        yield from rng.sample(faults, len(faults))
