"""Connections that break, and requests that arrive late or out of order.

Owns: what the proxy is told. Does not own: the proxy (proxy.py), the broker (servers.py).
Invariant: only the worker behind the proxy is hurt; afterwards the proxy lets everything pass.
"""

import re
import threading
import time
from typing import Final

from chaos.faults.fault import TRANSACTION_S, Fault, Scene
from chaos.fleet import Worker
from chaos.proxy import Treatment

CUTS: Final = 4
RENEWED: Final = re.compile(r"transaction aborted|producer recreated")
LATE_REQUESTS: Final = 5


class NetworkFault(Fault):
    """A fault of the worker behind the proxy."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._lock = threading.Lock()
        self.treated = 0

    def worker(self) -> Worker:
        """The worker behind the proxy, once it has partitions."""
        fleet = self.scene.fleet
        slot = fleet.proxied
        worker = fleet.running[slot]
        self.scene.wait_for(worker.has_partitions, "partitions behind the proxy")
        return worker

    def treat(self, treatment: Treatment, times: int) -> None:
        """Give the next so many ends of transactions this treatment."""

        def decide() -> Treatment | None:
            with self._lock:
                if self.treated >= times:
                    return None
                self.treated += 1
                return treatment

        self.scene.proxy.treat = decide

    def heal(self) -> None:
        self.scene.proxy.treat = None


class ConnectionsCut(NetworkFault):
    """Every connection of a worker breaks, again and again."""

    name = "connections_cut"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.before = (0, 0)

    def inject(self) -> None:
        self.worker()
        proxy = self.scene.proxy
        self.before = (proxy.was_cut, proxy.accepted)
        for _ in range(CUTS):
            proxy.cut()
            time.sleep(self.scene.rng.uniform(0.2, 1.5))

    def fired(self) -> bool:
        proxy, (was_cut, accepted) = self.scene.proxy, self.before
        return proxy.was_cut - was_cut >= CUTS and proxy.accepted - accepted >= CUTS


class EndTxnDelayed(NetworkFault):
    """The request that ends a transaction comes when the broker has given the transaction up."""

    name = "end_txn_delayed"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.noticed = False

    def inject(self) -> None:
        worker, proxy = self.worker(), self.scene.proxy
        log_before, repeated_before = len(worker.log), proxy.repeated
        self.treat(Treatment(hold_s=TRANSACTION_S + 3), 1)
        self.scene.wait_for(
            lambda: (
                proxy.repeated > repeated_before
                or RENEWED.search(worker.log, log_before) is not None
            ),
            "the worker's asking again, or giving up",
        )
        self.noticed = True

    def fired(self) -> bool:
        return self.noticed and self.treated == 1


class EndTxnReordered(NetworkFault):
    """The request that ends a transaction arrives after its own repetition."""

    name = "end_txn_reordered"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.seen_before = 0

    def inject(self) -> None:
        self.worker()
        proxy = self.scene.proxy
        self.seen_before = proxy.late
        self.treat(Treatment(hold_s=self.scene.rng.uniform(0.2, 1.5), cut=True), LATE_REQUESTS)
        self.scene.wait_for(
            lambda: proxy.late - self.seen_before >= LATE_REQUESTS, "late requests at the broker"
        )

    def fired(self) -> bool:
        return self.scene.proxy.late - self.seen_before >= LATE_REQUESTS
