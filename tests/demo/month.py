"""A small month, and the outputs that a faultless pipeline would have written for it.

The outputs are made from the oracle's answer, so that the comparison can be tried on one difference
at a time.
"""

import io
import json
import pickle
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import fastavro
import msgspec
from confluent_kafka import Message

from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.dev.demo.expected import REASONS, days, expected_audit, expected_progress
from pipeline.dev.demo.newer_schemas import newer_encoder, newer_schemas
from pipeline.dev.demo.outputs import Outputs
from pipeline.dev.demo.sending import Sent
from pipeline.dev.oracle import Judgement, Logged, Reader, Rules, Verdict, judge, load_rules
from pipeline.dev.oracle.events import Alert, Coordinates
from pipeline.dev.oracle.partition import home
from pipeline.dev.oracle.reading import without_logical_types
from pipeline.dev.oracle.users import key_id, unlock_id
from pipeline.dev.workload.commands import Claimable
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.month import Month, generate
from pipeline.dev.workload.reports import Limits, limits_of
from pipeline.dev.workload.wire import Wire

ROOT = Path(__file__).parents[2]
POLICY = (ROOT / "policy.yaml").read_text(encoding="utf-8")
END_MS = 1_795_400_000_000
PARTITIONS = 3
KINDS = {"t.completions": "completions", "t.commands": "commands"}
SCHEMAS: dict[int, dict[str, Any]] = {
    schema_id: json.loads((ROOT / "schemas" / name).read_text(encoding="utf-8"))
    for schema_id, name in ((1, "PracticeCompleted.avsc"), (2, "Command.avsc"))
}
NEWER = newer_schemas(SCHEMAS[1])
SCHEMAS |= dict(enumerate(NEWER.values(), 3))


@cache
def rules() -> Rules:
    """Return the rules of the checked-in policy."""
    return load_rules(POLICY)


def encoder(schema_id: int) -> Any:
    """Return a function from a record to framed Avro, by fastavro alone."""
    schema = fastavro.parse_schema(without_logical_types(SCHEMAS[schema_id]))

    def encode(record: msgspec.Struct) -> bytes:
        body = io.BytesIO()
        fastavro.schemaless_writer(body, schema, msgspec.structs.asdict(record))
        return b"\0" + schema_id.to_bytes(4, "big") + body.getvalue()

    return encode


def wire(partitions: int = PARTITIONS) -> Wire:
    """Return what the generator needs, without the pipeline's codec."""
    return Wire(
        avro_completion=encoder(1),
        avro_command=encoder(2),
        newer_completions={
            what: newer_encoder(schema, schema_id)
            for schema_id, (what, schema) in enumerate(NEWER.items(), 3)
        },
        partition_of=lambda key: home(key, partitions),
        partitions=partitions,
        key_id=key_id,
    )


def limits() -> Limits:
    """Return the policy's bounds."""
    return limits_of(rules().at(END_MS))


def claimable() -> tuple[Claimable, ...]:
    """Return the first portals."""
    return tuple(Claimable(p.slug, p.keys) for p in rules().at(END_MS).portals[:4])


def make(
    users: int, seed: int, length: int = 30, partitions: int = PARTITIONS
) -> list[InputRecord]:
    """Return a month's records."""
    month = Month(users=users, days=length, seed=seed, end_ms=END_MS)
    return generate(month, limits(), claimable(), wire(partitions))


def log_of(records: list[InputRecord], partitions: int = PARTITIONS) -> dict[Coordinates, Sent]:
    """Return the log that the records make."""
    ends: dict[tuple[str, int], int] = {}
    log = {}
    for record in records:
        partition = record.partition
        if partition is None:
            partition = home(record.key or b"", partitions)
        offset = ends.get((record.kind, partition), 0)
        ends[record.kind, partition] = offset + 1
        logged = Logged(
            record.kind, partition, offset, record.append_time_ms, record.key, record.value
        )
        log[logged.coordinates] = Sent(logged, list(record.headers), record)
    return log


@dataclass(frozen=True)
class FakeMessage:
    """As much of a Kafka message as the comparison looks at."""

    body: bytes
    at: tuple[int, int] = (0, 0)

    def value(self) -> bytes:
        return self.body

    def partition(self) -> int:
        return self.at[0]

    def offset(self) -> int:
        return self.at[1]


@dataclass
class Run:
    """A month with faultless outputs."""

    sent: dict[Coordinates, Sent]
    judgement: Judgement
    outputs: Outputs


@cache
def _made(seed: int) -> tuple[dict[Coordinates, Sent], Judgement]:
    sent = log_of(make(40, seed))
    log = [one.logged for one in sent.values()]
    return sent, judge(log, rules(), Reader(SCHEMAS), PARTITIONS)


def faultless(seed: int = 1) -> Run:
    """Return a run to be tampered with."""
    return Run(*_made(seed), pickle.loads(_pickled_outputs(seed)))


@cache
def _pickled_outputs(seed: int) -> bytes:
    sent, judgement = _made(seed)
    outputs = Outputs(kinds=dict(KINDS))
    _audit(sent, judgement, outputs)
    for coordinates, verdict in judgement.verdicts.items():
        logged = sent[coordinates].logged
        if verdict.word == "dead_letter":
            reason = sorted(REASONS[sent[coordinates].meant.garbage])[0]
            headers = [{"key": key, "value": value} for key, value in sent[coordinates].headers]
            letter: dict[str, Any] = {"key": logged.key, "value": logged.value, "headers": headers}
            letter |= {"reason": reason, "append_time": logged.append_time_ms}
            outputs.dead_letters.append(letter | {"cause": cause(coordinates)})
        outputs.alerts.extend(_alert(coordinates, verdict, alert) for alert in verdict.alerts)
    _users(judgement, outputs)
    return pickle.dumps(outputs)


def _alert(coordinates: Coordinates, verdict: Verdict, due: Alert) -> dict[str, Any]:
    original = due.originals[0]
    return {
        "user_id": verdict.user_id,
        "verdict": due.word,
        "severity": original.severity,
        "original": cause(original.coordinates),
        "differing_fields": sorted(original.differing),
        "local_date": days(due.local_date),
        "original_local_date": days(original.local_date),
        "cause": cause(coordinates),
    }


def cause(coordinates: Coordinates) -> dict[str, Any]:
    """Return the record of a cause."""
    return {"topic": f"t.{coordinates[0]}", "partition": coordinates[1], "offset": coordinates[2]}


def _audit(sent: dict[Coordinates, Sent], judgement: Judgement, outputs: Outputs) -> None:
    heads: dict[int, tuple[int, bytes]] = {}
    unlocks: dict[Coordinates, list[str]] = {}
    for user_id, user in judgement.users.items():
        for unlock in user.unlocks.values():
            id_ = unlock_id(user_id, unlock.lap, unlock.slug)
            unlocks.setdefault(unlock.coordinates, []).append(id_)
    for coordinates, one in sent.items():
        partition = coordinates[1]
        genesis = sha256(f"awaway/audit/blue/{partition}".encode()).digest()
        sequence, prev_hash = heads.get(partition, (0, genesis))
        body = f"{coordinates}/{sequence}".encode()
        hashed = sha256(prev_hash + body).digest()
        verdict = judgement.verdicts[coordinates]
        entry = {"cause": cause(coordinates), "partition": partition, "sequence": sequence}
        entry |= {"generation": "blue"}
        entry |= {"verdict": verdict.word} | expected_audit(verdict)
        reason = sorted(REASONS[garbage])[0] if (garbage := one.meant.garbage) else None
        entry |= {"rejection": reason}
        entry |= {"unlock_ids": unlocks.get(coordinates, [])}
        entry |= {"prev_hash": prev_hash, "hash": hashed}
        framed = b"\0\0\0\0\1" + body + b"\x40" + hashed
        message = FakeMessage(framed, (partition, 2 * sequence))
        outputs.audit.append((cast(Message, message), entry))
        heads[partition] = (sequence + 1, hashed)


def _users(judgement: Judgement, outputs: Outputs) -> None:
    catalogue = GoldenCatalogue()
    for user_id, user in judgement.users.items():
        variant = catalogue.variant_of(user_id)
        for one in user.unlocks.values():
            portal = {"user_id": user_id, "lap": one.lap, "portal": one.slug, "frame": one.day}
            portal |= {"title": one.slug.title(), "cycle_day": one.day}
            portal |= {"reached_on": days(one.reached_on), "unlocked_at": one.unlocked_at_ms}
            portal |= {"field_keys": list(one.keys), "cause": cause(one.coordinates)}
            portal |= {"asset_id": catalogue.asset_id(one.day, variant), "tz": one.tz}
            ahead = one.shown.next_portal
            portal |= {"next_portal": {"slug": ahead[0], "days_away": ahead[1]}}
            portal |= {"unlock_id": unlock_id(user_id, one.lap, one.slug)}
            for name in ("streak_days", "longest_days", "lifetime_days"):
                portal[name] = getattr(one.shown, name)
            portal["field_keys_pending"] = one.keys_pending
            outputs.portals.append(portal)
            outputs.geometry.append(dict(portal))
        shown = expected_progress(user, rules(), user.last_change_ms)
        dates = {
            kind: [{"start": day, "length": 1} for day in found]
            for kind, found in shown["dates"].items()
        }
        names = ("lap", "slug", "reached_on", "unlocked_at")
        portals = [dict(zip(names, one, strict=True)) for one in shown["portals"]]
        frame = shown["cycle_day"]
        progress = shown | {"user_id": user_id, "dates": dates, "portals": portals, "frame": frame}
        progress |= {"updated_at": user.last_change_ms}
        assert user.last_change is not None
        progress |= {"cause": cause(user.last_change)}
        progress |= {"asset_id": catalogue.asset_id(frame, variant) if frame else None}
        outputs.progress[user_id] = progress
        outputs.geometry.append({**progress, "cause": cause(user.last_change)})
        # Told once, although the last event may have unlocked a portal of the same frame.
        by_frame = {
            (one["user_id"], str(one["cause"]), one["frame"]): one for one in outputs.geometry
        }
        outputs.geometry = [one for one in by_frame.values() if one["frame"]]
