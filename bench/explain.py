"""How long an explanation takes in a long partition: `python -m bench.explain`.

Owns: an audit of many entries in one partition, with the inputs that they name, and the times.
Does not own: explaining (pipeline/ops/explain/), the servers.
Invariant: for some users and days the index gives the same explanation as the whole log, else there
are no figures.

Every user has one input a day, so a long partition has few users with long histories, which is the
worst case for one answer. Entries are chained nowhere, as nobody follows the chain here.
"""

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec
from confluent_kafka import Producer

from bench.audit_chain import SAMPLE
from bench.errors import BenchError, WrongResultError
from bench.ground import Ground
from bench.ours import environment, prepare
from pipeline.clock import now_ms
from pipeline.codec.avro import AvroEncoder
from pipeline.codec.partitioner import partition_of
from pipeline.codec.registry import SchemaResolver, connect
from pipeline.core.calendar import DAY_MS, day_of
from pipeline.core.policy import load_policy
from pipeline.core.records import Cause
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.memory_engine import checked_in_schemas
from pipeline.dev.workload.wire import plain_completion
from pipeline.ops.explain.explanation import explain
from pipeline.ops.explain.indexed_log import IndexedEvidence
from pipeline.ops.explain.log import LogEvidence

DAYS: Final = 1_000
"""Inputs of each user, one a day."""

COMPARED: Final = 3
HOME: Final = 0


def users_of(count: int, partitions: int) -> list[str]:
    """Users of one partition."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        name = f"user-{number:07}"
        if partition_of(name.encode(), partitions) == HOME:
            found.append(name)
        number += 1
    return found


def fill(producer: Producer, prefix: str, users: list[str], encoder: AvroEncoder) -> int:
    """Produce entries and inputs, day by day; returns how many of each."""
    today = now_ms() // DAY_MS
    count = 0
    for local_date in range(today - DAYS, today):
        noon_ms = local_date * DAY_MS + DAY_MS // 2
        for user in users:
            completion_id = f"c{count}"
            cause = Cause(f"{prefix}completions", HOME, count, completion_id)
            entry = msgspec.structs.replace(
                SAMPLE,
                user_id=user,
                sequence=count,
                local_date=local_date,
                append_time=noon_ms,
                cause=cause,
                hash=bytes(32),
            )
            records = (
                ("audit", encoder.encode(entry)),
                ("completions", plain_completion(user, completion_id, noon_ms)),
            )
            for name, value in records:
                _produce(producer, f"{prefix}{name}", user, value)
            count += 1
    if producer.flush(300):
        raise BenchError("not all records were acknowledged")
    return count


def _produce(producer: Producer, topic: str, key: str, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, key, HOME)
        except BufferError:
            producer.poll(0.1)
        else:
            return


def answers(
    evidence: LogEvidence, asked: list[tuple[str, date]], policies: Any, home: tuple[int, int]
) -> Iterator[tuple[float, Any]]:
    """Seconds and explanation of each question."""
    for user, day in asked:
        started = time.monotonic()
        found = explain(evidence, policies, user, day, now_ms(), home)
        yield time.monotonic() - started, msgspec.structs.replace(found, looked=(), standing=None)


def main(argv: list[str]) -> int:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.explain", description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the partition's audit")
    parser.add_argument("--questions", type=int, default=200, help="users and days")
    parser.add_argument("--seed", type=int, default=108, help="of the questions")
    arguments = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="awaway-explain-"))
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        stack = undo.enter_context(LocalStack(folder / "stack"))
        print(json.dumps(_measured(stack, folder, arguments)))
    return 0


def _measured(stack: LocalStack, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    prefix = "explain."
    ground = Ground(stack.bootstrap_servers, stack.registry_url, folder)
    prepare(environment(ground, prefix, collapse=True))
    schemas, client = checked_in_schemas(), {"bootstrap.servers": ground.bootstrap}
    registry = connect({"url": ground.registry_url})
    schema_id = registry.get_latest_version(f"{prefix}audit-value").schema_id
    codecs = schemas, SchemaResolver(registry).writer_schema
    policies = load_policy(Path("policy.yaml").read_text())
    whole = LogEvidence(client, prefix, *codecs)
    index = IndexedEvidence(client, prefix, codecs, folder / "index", policies)
    home = HOME, whole.partitions
    users = users_of(max(1, arguments.entries // DAYS), whole.partitions)
    producer = Producer({**client, "linger.ms": 50, "queue.buffering.max.messages": 200_000})
    print("filling the partition", file=sys.stderr)
    count = fill(producer, prefix, users, AvroEncoder(schemas["AuditEntry"], int(schema_id or 0)))
    rng = random.Random(arguments.seed)
    today = now_ms() // DAY_MS
    asked = [
        (rng.choice(users), day_of(today - rng.randint(1, DAYS)))
        for _ in range(arguments.questions)
    ]
    print("asking", file=sys.stderr)
    ((first_s, _),) = answers(index, asked[:1], policies, home)
    warm = list(answers(index, asked, policies, home))
    read = list(answers(whole, asked[:COMPARED], policies, home))
    if [told for _, told in read] != [told for _, told in warm[:COMPARED]]:
        raise WrongResultError("the index does not answer as the whole log does")
    times_ms = sorted(1000 * spent_s for spent_s, _ in warm)
    rows = sum(path.stat().st_size for path in (folder / "index").glob("*/*.rows"))
    return {
        "entries": count,
        "first_s": round(first_s, 1),
        "indexed_per_s": round(count / first_s),
        "answer_ms": {
            "p50": round(statistics.median(times_ms)),
            "p99": round(times_ms[int(len(times_ms) * 0.99)]),
            "max": round(times_ms[-1]),
        },
        "whole_log_s": round(statistics.median([spent_s for spent_s, _ in read]), 1),
        "bytes_per_entry": round(rows / count, 1),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
