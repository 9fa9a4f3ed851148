"""A ledger of a test's own on the shared servers: what tests say of it, in few words.

Owns: producing completions and commands by their fields; a worker for as long as a block runs;
waiting until everything is processed.
Does not own: the ledger itself (chaos/ledger.py), expectations, which the tests have.
"""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from chaos.ledger import INPUTS, ROOT, STARTING
from chaos.ledger import Ledger as SharedLedger
from pipeline.dev.workload.wire import plain_completion, rfc3339
from pipeline.kafka.errors import UnreadableLogError

__all__ = ["ROOT", "Ledger", "iso"]

READY = " ready\n"
"""Ends the line of a planted worker about a partition that it processes."""


def iso(instant_ms: int) -> str:
    """Return an instant as RFC 3339 with the offset +00:00."""
    return rfc3339(instant_ms, "UTC")


@dataclass
class Ledger(SharedLedger):
    """Everything of one test under one prefix."""

    ready_before: int = 0
    is_planted: bool = False

    def be_set_in(self, environ: pytest.MonkeyPatch) -> None:
        """Let commands that run in this process use the ledger."""
        for name, value in self.environment().items():
            if name.startswith("AWAWAY_"):
                environ.setenv(name, value)

    def complete(self, user_id: str, completion_id: str, at: datetime, **fields: Any) -> None:
        """Produce one JSON completion of twenty minutes that ended at `at`."""
        end_ms = int(at.timestamp() * 1000)
        value = plain_completion(user_id, completion_id, end_ms, **fields)
        self.send("completions", user_id.encode(), value)

    def command(self, user_id: str, request_id: str, kind: str, **fields: Any) -> None:
        """Produce one JSON command."""
        record = {"request_id": request_id, "user_id": user_id, "kind": kind, "actor": "test"}
        self.send("commands", user_id.encode(), json.dumps(record | fields).encode())

    def start_worker(
        self, slot: int = 0, plan: dict[str, Any] | None = None, **settings: Any
    ) -> subprocess.Popen[bytes]:
        """Start a worker process, and remember how its log stood."""
        self.ready_before = self.log(slot).count(READY)
        self.is_planted = plan is not None
        return super().start_worker(slot, plan, **settings)

    @contextlib.contextmanager
    def worker(
        self, plan: dict[str, Any] | None = None, **settings: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A worker that is stopped at the end, and must then exit with 0."""
        running = self.start_worker(plan=plan, **settings)
        yield running
        assert self.stop_worker(running) == 0, self.log()

    def drain(self, worker: subprocess.Popen[bytes] | None = None) -> None:
        """Wait until every partition was ready once and every input is committed.

        Args:
            worker: that must live while we wait; None when the test restarts it elsewhere.
        """

        def drained() -> bool:
            if worker is not None and worker.poll() is not None:
                raise AssertionError(f"the worker ended with {worker.returncode}\n{self.log()}")
            if self.is_planted and self.log().count(READY) < self.ready_before + self.partitions:
                return False
            try:
                return self.lag() == 0
            except UnreadableLogError as error:
                assert error.code in STARTING, error
                return False

        self.wait_for(drained)

    def input_offsets(self) -> list[tuple[str, int, int]]:
        """(topic, partition, offset) of every input there is."""
        return sorted(
            (record.topic(), record.partition(), record.offset())
            for name in INPUTS
            for record in self.raw(name)
        )

    def audited_offsets(self) -> list[tuple[str, int, int]]:
        """(topic, partition, offset) of the input of every audit entry, repeats included."""
        causes = (entry.value["cause"] for entry in self.read("audit"))
        return sorted((c["topic"], c["partition"], c["offset"]) for c in causes)

    def progress(self) -> dict[str, dict[str, Any]]:
        """The last progress of each user."""
        return {output.value["user_id"]: output.value for output in self.read("progress")}
