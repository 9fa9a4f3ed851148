"""How clients in the field send: codecs, transactions, partitioners, keys, schemas of their own.

One worker takes what each of them sent; what is meant counts, and what cannot is told why.
"""

import copy
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import confluent_kafka as ck
import fastavro
import pytest
from confluent_kafka.schema_registry import Schema

from pipeline.codec.partitioner import partition_of
from pipeline.dev.workload.wire import plain_completion
from tests.integration.ledger import ROOT, Ledger

NOW = datetime.now(UTC)
NOW_MS = int(NOW.timestamp() * 1000)
TREE = json.loads((ROOT / "schemas" / "PracticeCompleted.avsc").read_text())
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def value_of(user: str) -> bytes:
    return plain_completion(user, f"of {user}", NOW_MS)


def record_of(user: str, **fields: Any) -> dict[str, Any]:
    """A completion as fastavro takes it."""
    record: dict[str, Any] = json.loads(value_of(user))
    instants = {"started_at": NOW_MS - 1_200_000, "completed_at": NOW_MS}
    return record | instants | {"context": {}} | fields


def with_a_uuid(tree: dict[str, Any]) -> None:
    tree["fields"][0]["type"] = {"type": "string", "logicalType": "uuid"}


def with_a_nullable_practice(tree: dict[str, Any]) -> None:
    tree["fields"][3]["type"] = ["null", "string"]


def with_two_of_a_name(tree: dict[str, Any]) -> None:
    def info(space: str, field: str, kind: str) -> dict[str, Any]:
        fields = [{"name": field, "type": kind}]
        return {"type": "record", "name": "Info", "namespace": space, "fields": fields}

    tree["fields"][:0] = [
        {"name": "phone", "type": info("org.one", "model", "string"), "default": {"model": ""}},
        {"name": "watch", "type": info("org.two", "pulse", "long"), "default": {"pulse": 0}},
        {"name": "tablet", "type": "org.one.Info", "default": {"model": ""}},
    ]


def with_micros(tree: dict[str, Any]) -> None:
    tree["fields"][5]["type"]["logicalType"] = "timestamp-micros"


INFOS = {"phone": {"model": "P9"}, "watch": {"pulse": 61}, "tablet": {"model": "T"}}
WRITERS: dict[str, tuple[Callable[[dict[str, Any]], None], dict[str, Any], str | None]] = {
    "uuid": (with_a_uuid, {"completion_id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301"}, None),
    "nullable": (with_a_nullable_practice, {}, None),
    "null": (with_a_nullable_practice, {"practice": None}, "wrong_type"),
    "two of a name": (with_two_of_a_name, INFOS, None),
    "micros": (with_micros, {}, "unresolvable_schema"),
}


@pytest.fixture
def processed(ledger: Ledger) -> Ledger:
    """A ledger in which everybody has sent, and a worker has processed it."""
    for codec in CODECS:
        producer = ledger.new_producer(**{"compression.type": codec})
        producer.produce(ledger.topic("completions"), key=codec, value=value_of(codec))
        producer.flush()
    in_transactions(ledger)
    elsewhere = ck.Producer({"bootstrap.servers": ledger.bootstrap, "log_level": 2})
    for n in range(12):
        elsewhere.produce(
            ledger.topic("completions"), key=f"placed {n}", value=value_of(f"placed {n}")
        )
    elsewhere.flush()
    with_schemas_of_their_own(ledger)
    ledger.send(
        "completions", b"headed", b"\x06abc", headers=[("__value_schema_id", b"\x01" + b"x" * 16)]
    )
    ledger.flush()
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    return ledger


def in_transactions(ledger: Ledger) -> None:
    producer = ledger.new_producer(**{"transactional.id": f"{ledger.prefix}client"})
    producer.init_transactions(30)
    for user, end in (("taken back", producer.abort_transaction), ("kept", None)):
        producer.begin_transaction()
        producer.produce(ledger.topic("completions"), key=user, value=value_of(user))
        producer.flush()
        (end or producer.commit_transaction)(30)


def with_schemas_of_their_own(ledger: Ledger) -> None:
    """Each writer registers its schema under the topic's subject, as serialisers do by default."""
    subject = f"{ledger.topic('completions')}-value"
    ledger.registry.set_compatibility(subject, "NONE")
    for user, (change, fields, _) in WRITERS.items():
        tree = copy.deepcopy(TREE)
        change(tree)
        schema_id = ledger.registry.register_schema(subject, Schema(json.dumps(tree), "AVRO"))
        out = io.BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
        out.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(out, fastavro.parse_schema(tree), record_of(user, **fields))
        ledger.send("completions", user.encode(), out.getvalue())
    newest = copy.deepcopy(TREE)
    newest["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    ledger.registry.register_schema(subject, Schema(json.dumps(newest), "AVRO"))
    ledger.registry.set_compatibility(subject, "BACKWARD_TRANSITIVE")


def test_what_clients_send_counts_or_says_why(processed: Ledger) -> None:
    progress = processed.progress()
    letters = {
        output.value["key"].decode(): output.value for output in processed.read("deadletters")
    }

    assert progress.keys() >= {*CODECS, "kept"}
    assert "taken back" not in progress and "taken back" not in letters

    home = {user: partition_of(user.encode(), 4) for user in (f"placed {n}" for n in range(12))}
    lay = {r.key().decode(): r.partition() for r in processed.raw("completions")}
    for user, partition in home.items():
        if lay[user] == partition:
            assert user in progress
        else:
            assert letters[user]["reason"] == "wrong_partition"
            assert "partitioner=murmur2_random" in letters[user]["detail"]
    assert any(lay[user] != home[user] for user in home)

    for user, (_, _, reason) in WRITERS.items():
        if reason is None:
            assert user in progress, letters[user]["detail"]
        else:
            assert letters[user]["reason"] == reason
            assert letters[user]["schema_id"] is not None

    assert letters["headed"]["reason"] == "unknown_format"
    assert "__value_schema_id" in letters["headed"]["detail"]
    assert processed.audited_offsets() == processed.input_offsets()
