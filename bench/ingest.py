"""`python -m bench.ingest`: from a POST to its effects readable, through the API and a worker.

A real broker, `awaway worker` and `awaway api`, each as an operator starts it. Completions are
posted one a request at a steady rate, by a schedule that waits for nothing, each of another user;
each is read with `min_revision=1`, which answers when the progress is there. A delay runs from the
instant at which the POST was due, so that a server that stalls is not let off; what is turned away
(429, 503) is sent again, and counted from when it was due first. The first seconds are sent but
not counted. Beside that stands how far each process had brought an input when, by its own
histogram: the worker's commit and the API's store, both from the append. The last line is one JSON
object.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import jwt
from prometheus_client.parser import text_string_to_metric_families

from bench import ours
from bench.api.server import api, until_ready
from bench.errors import BenchError
from bench.ground import Ground
from bench.histogram import histogram, summary
from pipeline.api.console.sampling import buckets, quantile, reading_of
from pipeline.clock import now_ms
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.workload.wire import plain_completion
from pipeline.observability.api_metrics import READABLE
from pipeline.observability.metrics import INGEST_TO_COMMIT

SECRET: Final = "a secret of this benchmark alone, and of no use elsewhere"
ISSUER: Final = "bench"
WARM_S: Final = 5
CONNECTIONS: Final = 256
READY_S_MAX: Final = 120.0
READABLE_S_MAX: Final = 60.0
AGAIN_S: Final = 0.2
"""Before a completion is sent again that the API turned away."""


@dataclass(frozen=True)
class Target:
    """Whom to ask, and with which token."""

    address: tuple[str, int]
    token: str

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """An HTTP/1.1 request."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(frozen=True)
class Timed:
    """One completion's delays, in ms from when it was due, and how often it was sent."""

    recorded_ms: float
    readable_ms: float
    sent: int


class Connections:
    """Kept-alive connections, each used by one request at a time."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )

    async def open(self, count: int) -> None:
        """Connect."""
        for _ in range(count):
            self._free.put_nowait(await asyncio.open_connection(*self._target.address))

    async def ask(self, method: str, path: str, body: bytes = b"") -> int:
        """The status of an answer, once all of it is here."""
        reader, writer = await self._free.get()
        writer.write(self._target.request(method, path, body))
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        await reader.readexactly(length)
        self._free.put_nowait((reader, writer))
        return int(head.split(b" ", 2)[1])


async def one(connections: Connections, number: int, run: str, due_s: float) -> Timed:
    """Post a completion when it is due, and read until it shows."""
    await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    user = f"{run}-{number}"
    body = plain_completion(user, f"completion-{number}", now_ms())
    sent = 1
    while (status := await connections.ask("POST", "/v1/completions", body)) != 202:
        if status not in (429, 503) or time.monotonic() - due_s > READABLE_S_MAX:
            raise BenchError(f"a POST was answered with {status}")
        sent += 1
        await asyncio.sleep(AGAIN_S)
    recorded_s = time.monotonic()
    status = 503
    while status == 503:
        status = await connections.ask("GET", f"/v1/users/{user}/progress?min_revision=1")
        if time.monotonic() - due_s > READABLE_S_MAX:
            break
    if status != 200:
        raise BenchError(f"a completion was not readable in time: {status}")
    return Timed((recorded_s - due_s) * 1000, (time.monotonic() - due_s) * 1000, sent)


async def measure(target: Target, per_s: int, seconds: int) -> list[Timed]:
    """Delays of all that were due after the warming."""
    connections = Connections(target)
    await connections.open(CONNECTIONS)
    run = f"u{now_ms():x}"
    start_s = time.monotonic() + 0.5
    every = [
        asyncio.create_task(one(connections, number, run, start_s + number / per_s))
        for number in range(per_s * (WARM_S + seconds))
    ]
    timed = await asyncio.gather(*every)
    return timed[per_s * WARM_S :]


@contextmanager
def worker(env: dict[str, str], log: Path) -> Iterator[None]:
    """`awaway worker`, ready; it is stopped at the end."""
    with log.open("wb") as written:
        process = subprocess.Popen(
            [*ours.COMMAND, "worker"], env={**os.environ, **env}, stdout=written, stderr=written
        )
    try:
        deadline_s = time.monotonic() + READY_S_MAX
        while '"partition ready"' not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise BenchError("the worker is not ready", why=log.read_text()[-2000:])
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(40)


def stage(url: str, name: str) -> str:
    """The buckets of a histogram of a process in which its median and 99th percentile lie."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        reading = reading_of(text_string_to_metric_families(answer.read().decode()))
    cumulative = buckets(reading, name)
    half, most = quantile(cumulative, 0.5), quantile(cumulative, 0.99)
    if half is None or most is None:
        raise BenchError(f"{url} has no {name}")
    return f"half within {half * 1000:g} ms, 99 % within {most * 1000:g} ms"


def run(folder: Path, per_s: int, seconds: int) -> list[Timed]:
    """One run on servers of its own."""
    with LocalStack(folder / "stack") as stack:
        ground = Ground(stack.bootstrap_servers, stack.registry_url, folder)
        env = ours.environment(ground, "ingest.", collapse=True)
        ours.prepare(env)
        issued_s = now_ms() // 1000
        claims: dict[str, Any] = {
            "sub": "bench",
            "iss": ISSUER,
            "aud": "awaway",
            "exp": issued_s + 3_600,
            "awaway_kind": "service",
            "scope": "completions:write progress:read",
        }
        more = {
            "AWAWAY_API_PORT": "0",
            "AWAWAY_API_AUTH_ISSUER": ISSUER,
            "AWAWAY_API_AUTH_SECRET": SECRET,
            "AWAWAY_DATA_DIR": str(folder / "api"),
        }
        with (
            worker(env, folder / "worker.log"),
            api(env | more, folder / "api.log", None) as serving,
        ):
            until_ready(serving, folder / "api.log")
            target = Target(serving.address, jwt.encode(claims, SECRET, "HS256"))
            timed = asyncio.run(measure(target, per_s, seconds))
            worker_url = f"http://127.0.0.1:{env['AWAWAY_HTTP_PORT']}/metrics"
            api_url = "http://{}:{}/metrics".format(*serving.address)
            print("append to commit:  ", stage(worker_url, INGEST_TO_COMMIT.name))
            print("append to readable:", stage(api_url, READABLE.name))
            return timed


def main() -> int:
    """Measure, print, and leave with 0 when the 99th percentile is below a second."""
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__)
    parser.add_argument("--rate", type=int, default=200, help="POSTs a second")
    parser.add_argument("--seconds", type=int, default=30, help="counted, without the warming")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="awaway-bench-"))
    try:
        timed = run(folder, asked.rate, asked.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = {}
    for name in ("recorded_ms", "readable_ms"):
        delays = [getattr(each, name) for each in timed]
        found[name] = asdict(summary(delays))
        print(f"\n{name}: {len(delays)} completions at {asked.rate} a second")
        print("\n".join(histogram(delays)))
    print(f"\nturned away and sent again: {sum(each.sent - 1 for each in timed)} times")
    print(json.dumps(found))
    return 0 if found["readable_ms"]["p99_ms"] < 1_000 else 1


if __name__ == "__main__":
    sys.exit(main())
