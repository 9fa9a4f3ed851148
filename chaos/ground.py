"""The servers that a run stands on, and their end.

Owns: a Kafka and a registry of the run's own, a proxy before Kafka, the published figures.
Does not own: topics (ledger.py), workers (fleet.py).
Invariant: whatever ends the block, everything that was started in it ends, too.
"""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.ledger import Ledger
from chaos.proxy import Proxy
from pipeline.dev.local.ports import choose
from pipeline.dev.local.servers import ProxiedPorts
from pipeline.dev.local.stack import LocalStack
from pipeline.ops.assets.catalogue import open_store, publish

LEASH: Final = Path(__file__).with_name("leash.py")


@dataclass(frozen=True)
class Ground:
    """What runs, and where its files are."""

    stack: LocalStack
    proxy: Proxy
    folder: Path

    def ledger(self, prefix: str) -> Ledger:
        """A ledger with topics and schemas; its workers end with this process."""
        launcher = (sys.executable, str(LEASH), str(os.getpid()))
        folder = self.folder / prefix
        folder.mkdir()
        made = Ledger(self.stack, prefix, folder, self.folder / "assets", launcher=launcher)
        made.set_up()
        return made


@contextmanager
def prepared(folder: Path) -> Iterator[Ground]:
    """Start everything in a folder that exists; it ends with the block."""
    behind, advertised = choose(2, random.Random())
    with LocalStack(folder / "stack", proxied=ProxiedPorts(behind, advertised)) as stack:
        publish(open_store(str(folder / "assets"), create=True))
        proxy = Proxy(advertised, behind)
        proxy.start()
        try:
            yield Ground(stack, proxy, folder)
        finally:
            proxy.stop()
