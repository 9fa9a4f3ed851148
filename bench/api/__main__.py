"""`make bench-api`: the read API beside a bare Starlette route, and a million users loaded.

Both servers are processes on one core, the load is on another where there is one. They are asked
in turn, in rounds, so that what else the machine does hits both; the median round counts. The API
asks for a token, as in production; every user was read once before, and that pass is shown, too.
The last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import jwt
from confluent_kafka.admin import AdminClient

from bench.api.data import People, produce, user_of
from bench.api.load import Counted, ask, at_random, request_of
from bench.api.server import Serving, api, bare, until_ready
from pipeline.clock import now_ms
from pipeline.codec.registry import connect
from pipeline.codec.schemas import load_schemas
from pipeline.dev.local.stack import LocalStack
from pipeline.ops.schemas import sync as schema_ops
from pipeline.ops.topics import sync as topic_ops
from pipeline.ops.topics.file import Target, load_topics

SECRET = "a secret of this benchmark alone, and of no use elsewhere"
ISSUER = "bench"
PARTITIONS = 4


@dataclass(frozen=True)
class Ground:
    """Where it runs. `core`: of the servers; None where there is only one."""

    stack: LocalStack
    folder: Path
    core: int | None

    def fill(self, prefix: str, users: int) -> None:
        """Topics and schemas under a prefix, and the progress of some users."""
        file = load_topics(Path("topics.yaml"))
        target = Target(prefix=prefix, partitions=PARTITIONS)
        topic_ops.apply(
            AdminClient({"bootstrap.servers": self.stack.bootstrap_servers}), file, target
        )
        registry = connect({"url": self.stack.registry_url})
        schema_ops.register(
            registry, schema_ops.expected(file, load_schemas(Path("schemas")), target)
        )
        schema_id = registry.get_latest_version(f"{prefix}progress-value").schema_id
        if schema_id is None:
            raise RuntimeError("the registry has no id for the schema of progress")
        people = People(Path("policy.yaml"), now_ms())
        took_s = produce(
            self.stack.bootstrap_servers,
            f"{prefix}progress",
            schema_id,
            people.records(users),
            Path("schemas"),
        )
        say(f"{users} users written in {took_s:.1f} s")

    def env(self, prefix: str) -> dict[str, str]:
        """The API's settings."""
        given = {
            "BOOTSTRAP_SERVERS": self.stack.bootstrap_servers,
            "REGISTRY_URL": self.stack.registry_url,
            "TOPIC_PREFIX": prefix,
            "DATA_DIR": str(self.folder / f"{prefix}data"),
            "API_PORT": "0",
            "API_AUTH_SECRET": SECRET,
            "API_AUTH_ISSUER": ISSUER,
            "API_RATE_SERVICES_PER_S": "1000000",
            "LOG_FORMAT": "json",
        }
        return {f"AWAWAY_{name}": value for name, value in given.items()}


def say(what: str) -> None:
    """Progress, on stderr."""
    print(f"  {what}", file=sys.stderr, flush=True)


def token() -> str:
    """A service's, for an hour."""
    now_s = now_ms() // 1000
    claims = {"sub": "bench", "iss": ISSUER, "aud": "awaway", "iat": now_s, "exp": now_s + 3_600}
    claims |= {"awaway_kind": "service", "scope": "progress:read"}
    return jwt.encode(claims, SECRET, algorithm="HS256")


def requests_of(serving: Serving, users: int, bearer: str) -> list[bytes]:
    """One request for each user."""
    return [
        request_of(serving.address, f"/v1/users/{user_of(number)}/progress", bearer)
        for number in range(users)
    ]


def size_of(serving: Serving, bearer: str) -> int:
    """Bytes of an answer's body."""

    async def one() -> int:
        reader, writer = await asyncio.open_connection(*serving.address)
        writer.write(request_of(serving.address, f"/v1/users/{user_of(0)}/progress", bearer))
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])

    return asyncio.run(one())


def compare(ground: Ground, options: argparse.Namespace) -> dict[str, float]:
    """Requests a second of both, in turn."""
    ground.fill("small.", options.users)
    bearer = token()
    log = ground.folder / "api.log"
    with api(ground.env("small."), log, ground.core) as ours:
        say(f"loaded in {until_ready(ours, log):.1f} s")
        size = size_of(ours, bearer)
        with bare(size, ground.folder / "bare.log", ground.core) as beside:
            asked = requests_of(ours, options.users, bearer)
            first = asyncio.run(ask(ours.address, iter(asked), options.connections, 600))
            say(f"each user for the first time: {first.per_s:.0f} requests a second")
            sent = {"ours": asked, "bare": requests_of(beside, options.users, bearer)}
            where = {"ours": ours, "bare": beside}
            rounds: dict[str, list[Counted]] = {"bare": [], "ours": []}
            for number in range(options.rounds):
                for name, found in rounds.items():
                    source = at_random(sent[name], number)
                    there = where[name].address
                    counted = asyncio.run(ask(there, source, options.connections, options.seconds))
                    if counted.wrong:
                        raise RuntimeError(f"{counted.wrong} answers of {name} were not 200")
                    found.append(counted)
                    say(f"{name}: {counted.per_s:.0f}/s, p99 {counted.quantile_ms(0.99):.2f} ms")
        say(f"memory with {options.users} users: {ours.memory_mib(peak=False):.0f} MiB")
    result: dict[str, float] = {}
    for name, found in rounds.items():
        result[f"{name}_rps"] = round(statistics.median(one.per_s for one in found), 1)
        p99s = [one.quantile_ms(0.99) for one in found]
        result[f"{name}_p99_ms"] = round(statistics.median(p99s), 3)
    return result


def load(ground: Ground, users: int) -> dict[str, float]:
    """From an empty disk to all users readable, on one core."""
    ground.fill("large.", users)
    log = ground.folder / "load.log"
    with api(ground.env("large."), log, ground.core) as serving:
        took_s = until_ready(serving, log)
        memory = serving.memory_mib(peak=True)
    say(f"{users} users loaded in {took_s:.1f} s, at most {memory:.0f} MiB")
    return {"load_users_s": round(took_s, 1), "rss_mb": round(memory, 1)}


def main(argv: list[str]) -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.api",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--users", type=int, default=100_000, help="users that are read")
    add("--load-users", type=int, default=1_000_000, help="users that are loaded; 0: not")
    add("--rounds", type=int, default=5, help="of both; the median counts")
    add("--seconds", type=float, default=4.0, help="of one round of one")
    add("--connections", type=int, default=32, help="kept alive, each with one request under way")
    options = parser.parse_args(argv)
    cores = sorted(os.sched_getaffinity(0))
    core = cores[0] if len(cores) > 1 and shutil.which("taskset") else None
    root = Path(".local")
    root.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-api-", dir=root))
    try:
        with LocalStack(folder / "stack") as stack:
            if core is not None:
                os.sched_setaffinity(0, set(cores) - {core})
            ground = Ground(stack, folder, core)
            result = compare(ground, options)
            if options.load_users:
                result |= load(ground, options.load_users)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"ours over bare: {result['ours_rps'] / result['bare_rps']:.2f}")
    names = ("ours_rps", "bare_rps", "ours_p99_ms", "bare_p99_ms", "load_users_s", "rss_mb")
    print(json.dumps({name: result.get(name) for name in names}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
