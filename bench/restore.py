"""How long a worker without its disk takes to the first new event: `python -m bench.restore`.

Owns: filling the changelogs through a worker, taking its disk away, and the time from the start of
the next one until a record that waited for it has been processed, as a consumer sees it.
Does not own: the worker, the servers, the data.
Invariant: each round starts the same command on an empty disk, with the same changelogs and exactly
one new event waiting.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.errors import BenchError
from bench.ground import Ground
from bench.loading import PARTITIONS, load
from bench.ours import environment, prepare, worker_peer
from bench.peer import PeerProcess, run_peer
from bench.truth import data_of
from pipeline.clock import now_ms
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.workload.steady import Steady
from pipeline.kafka.reader import Reader

RECORDS_AN_EVENT: Final = 1.96
"""Changelog records that an event of the generated data leaves: its own, and mostly its user's."""

SEEN_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True)
class Round:
    """One start on an empty disk.

    Attributes:
        whole_s: from the start of the process until the new event's effects were readable.
        restore_s: of that, from the assignment until the last partition was ready.
        records: changelog records read.
    """

    whole_s: float
    restore_s: float
    records: int


class Bench:
    """The changelogs of one filled ledger, and starts on them."""

    def __init__(self, ground: Ground, records: int) -> None:
        self._ground = ground
        self._prefix = f"{ground.folder.name}."
        self._env = environment(ground, self._prefix, collapse=True)
        self._events = int(records / RECORDS_AN_EVENT) + 1
        self._data = data_of(Steady(self._events, max(1, self._events // 10), now_ms()))

    def fill(self) -> None:
        """Let a worker write the changelogs."""
        prepare(self._env)
        bootstrap = self._ground.bootstrap
        load(bootstrap, f"{self._prefix}completions", self._data.events)
        peer = worker_peer("filling", self._prefix, self._env, self._events)
        run_peer(peer, bootstrap, self._ground.folder)

    def round(self, number: int) -> Round:
        """Take the disk away, let one event wait, start a worker, wait for the event's effects."""
        shutil.rmtree(self._env["AWAWAY_DATA_DIR"])
        bootstrap = self._ground.bootstrap
        seen = self._audit_from_its_end()
        load(bootstrap, f"{self._prefix}completions", self._data.events[:1])
        peer = worker_peer(f"round-{number}", self._prefix, self._env, 1)
        log_path = self._ground.folder / f"round-{number}.log"
        started = time.monotonic()
        with PeerProcess(peer.name, peer.argv, peer.env, log_path) as worker:
            while not seen.poll(1, 0.05).records:
                worker.check_alive()
                if time.monotonic() - started > SEEN_TIMEOUT_S:
                    raise worker.died("did not process the new event in time")
            whole_s = time.monotonic() - started
        seen.close()
        ready = [e for e in _entries(log_path) if e.get("event") == "partition ready"]
        if len(ready) < PARTITIONS:
            raise BenchError("not every partition was ready", fix=f"see {log_path}")
        return Round(whole_s, max(e["restore_s"] for e in ready), sum(e["records"] for e in ready))

    def _audit_from_its_end(self) -> Reader:
        settings = {"bootstrap.servers": self._ground.bootstrap, "fetch.wait.max.ms": 10}
        reader = Reader(settings, f"{self._prefix}watch")
        audit = [(f"{self._prefix}audit", partition) for partition in range(PARTITIONS)]
        reader.assign(reader.ends(audit))
        return reader


def _entries(log_path: Path) -> list[dict[str, Any]]:
    lines = log_path.read_text("utf-8", "replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def main(argv: list[str]) -> int:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.restore", description=__doc__)
    parser.add_argument("--records", type=int, default=785_000, help="changelog records, about")
    parser.add_argument("--rounds", type=int, default=3, help="starts on an empty disk")
    parser.add_argument("--keep", action="store_true", help="leave the folder with its logs")
    arguments = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="awaway-restore-"))
    with ExitStack() as undo:
        if not arguments.keep:
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
        stack = undo.enter_context(LocalStack(folder / "stack"))
        ground = Ground(stack.bootstrap_servers, stack.registry_url, folder)
        bench = Bench(ground, arguments.records)
        print("filling the changelogs", file=sys.stderr)
        bench.fill()
        rounds = []
        for number in range(arguments.rounds):
            rounds.append(bench.round(number))
            print(rounds[-1], file=sys.stderr)
    middle = statistics.median_low([one.whole_s for one in rounds])
    chosen = next(one for one in rounds if one.whole_s == middle)
    found = {
        "records": chosen.records,
        "start_to_first_event_s": round(chosen.whole_s, 2),
        "restore_s": round(chosen.restore_s, 2),
        "records_per_s": round(chosen.records / chosen.restore_s),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
