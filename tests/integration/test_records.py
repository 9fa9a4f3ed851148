"""Every field of every published record says what its doc says.

One worker takes every kind of input there is; the topics are read with a plain consumer, and each
field of each record is computed again from the inputs, by the words of the schema and no code of
the pipeline's.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.ledger import Output
from pipeline.dev.local.stack import LocalStack
from tests.integration.ledger import ROOT, Ledger
from tests.integration.records_meaning import FRAMING_BYTES, Published, frames_of, unlocks_of
from tests.integration.records_of_users import (
    GEOMETRY_UPDATED,
    PORTAL_UNLOCKED,
    PROGRESS_UPDATED,
)
from tests.integration.records_scene import Scene, play
from tests.integration.records_tables import (
    AUDIT_ENTRY,
    CHAINED,
    DEAD_LETTER,
    GENERATION,
    RECONCILIATION_ALERT,
    Table,
)

TABLES: dict[str, tuple[str, Table]] = {
    "AuditEntry": ("audit", AUDIT_ENTRY),
    "DeadLetter": ("deadletters", DEAD_LETTER),
    "GeometryUpdated": ("geometry", GEOMETRY_UPDATED),
    "PortalUnlocked": ("portals", PORTAL_UNLOCKED),
    "ProgressUpdated": ("progress", PROGRESS_UPDATED),
    "ReconciliationAlert": ("reconciliation", RECONCILIATION_ALERT),
}

NOT_IN_THE_SCENE = {
    **dict.fromkeys(
        ("DuplicateVerdict.unknown", "AuditVerdict.unknown", "Stage.unknown"),
        "stands for symbols of a newer schema; nobody writes it",
    ),
    "Severity.unknown": "stands for symbols of a newer schema; nobody writes it",
    "Origin.unknown": "stands for symbols of a newer schema; nobody writes it",
    "Origin.rebuild": "a rebuild writes under a generation of its own, and no worker does so here",
}
"""Symbols that no record of the scene has, and why."""

HASH_BYTES = 32
LENGTH_AND_HASH_BYTES = 1 + HASH_BYTES


@pytest.fixture(scope="module")
def scene(
    stack: LocalStack, assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """The scene, played once."""
    prefix = f"t{uuid.uuid4().hex[:8]}."
    ledger = Ledger(stack, prefix, tmp_path_factory.mktemp("records"), assets, simulated_time=True)
    ledger.set_up()
    yield play(ledger)
    ledger.close()


def schema(record: str) -> dict[str, Any]:
    text = (ROOT / "schemas" / f"{record}.avsc").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def leaves(record: dict[str, Any], named: dict[str, Any], prefix: str = "") -> list[str]:
    """The path of each field of a schema that holds no record; `named` learns its types."""
    found: list[str] = []
    named[record["name"]] = record
    for field in record["fields"]:
        path, inner = prefix + field["name"], field["type"]
        if isinstance(inner, list):
            (inner,) = [one for one in inner if one != "null"]
        if isinstance(inner, dict) and inner["type"] == "array":
            inner = inner["items"]
        inner = named.get(inner, inner) if isinstance(inner, str) else inner
        if isinstance(inner, dict) and inner["type"] == "enum":
            named[inner["name"]] = inner | {"at": path}
        is_record = isinstance(inner, dict) and inner["type"] == "record"
        found += leaves(inner, named, f"{path}.") if is_record else [path]
    return found


def at(value: Any, path: str) -> Any:
    """What stands at a path; of a list of records, a list; of a null record, null."""
    name, _, rest = path.partition(".")
    if isinstance(value, list):
        return [at(one, path) for one in value]
    if value is None:
        return None
    return at(value[name], rest) if rest else value[name]


def published(scene: Scene, topic: str) -> list[Published]:
    """Each record of a topic beside its input."""
    return [
        Published(scene, scene.steps[coordinates], output, nth)
        for coordinates, outputs in scene.caused(topic).items()
        for nth, output in enumerate(outputs)
    ]


FIELDS = [
    (record, path)
    for record in TABLES
    for path in leaves(schema(record), {})
    if not (record == "AuditEntry" and path in CHAINED)
]


@pytest.mark.parametrize(("record", "path"), FIELDS)
def test_the_field_says_what_its_doc_says(scene: Scene, record: str, path: str) -> None:
    topic, table = TABLES[record]
    says = table[path]
    wrong = [
        (one.value["cause"], found, due)
        for one in published(scene, topic)
        for found, due in ((at(one.value, path), says(one)),)
        if found != due or type(found) is not type(due)
    ]
    assert wrong == []


@pytest.mark.parametrize("record", TABLES)
def test_nothing_is_held_that_no_schema_has(record: str) -> None:
    known = set(leaves(schema(record), {}))
    assert set(TABLES[record][1]) <= known


@pytest.mark.parametrize("record", TABLES)
def test_every_field_has_something_to_say(scene: Scene, record: str) -> None:
    """What never varies was not tried: each field has two values at least in the scene."""
    records = scene.outputs[TABLES[record][0]]
    for path in leaves(schema(record), {}):
        if path not in CONSTANT and (record, path) not in CONSTANT_IN:
            assert len({repr(at(one.value, path)) for one in records}) > 1, path


CONSTANT = {"generation", "generator_version", "tzdata_version"}
"""The same in all records of a run."""

CONSTANT_IN = {("ReconciliationAlert", path) for path in ("cause.topic", "original.topic")}
"""Only completions are reconciled."""


def test_every_input_leads_to_the_records_that_follow_from_it_and_no_others(scene: Scene) -> None:
    caused = {topic: scene.caused(topic) for topic, _ in TABLES.values()}
    for coordinates, step in scene.steps.items():
        any_output = Output(None, {}, b"", 0, 0, [])
        due = {
            "audit": 1,
            "deadletters": int(step.sent.wrong is not None),
            "geometry": len(frames_of(Published(scene, step, any_output, 0))),
            "portals": len(unlocks_of(step)),
            "progress": int(step.is_change),
            "reconciliation": len(step.verdict.alerts) if step.verdict else 0,
        }
        found = {topic: len(of.get(coordinates, [])) for topic, of in caused.items()}
        assert found == due, step.sent
    audited = sorted((scene.ledger.topic(kind), *rest) for kind, *rest in scene.steps)
    assert audited == scene.ledger.input_offsets()


def test_every_symbol_is_seen_or_has_a_reason_not_to_be(scene: Scene) -> None:
    missing = set()
    for record, (topic, _) in TABLES.items():
        named: dict[str, Any] = {}
        leaves(schema(record), named)
        for enum in (one for one in named.values() if one["type"] == "enum"):
            seen = {at(one.value, enum["at"]) for one in scene.outputs[topic]}
            missing |= {f"{enum['name']}.{s}" for s in enum["symbols"] if s not in seen}
    assert missing == set(NOT_IN_THE_SCENE)


def test_the_audit_is_a_chain_that_hashlib_alone_can_follow(scene: Scene) -> None:
    by_partition: dict[int, list[Output]] = {}
    for entry in scene.outputs["audit"]:
        by_partition.setdefault(entry.partition, []).append(entry)
    assert len(by_partition) == scene.ledger.partitions
    for partition, entries in by_partition.items():
        first = hashlib.sha256(f"awaway/audit/{GENERATION}/{partition}".encode()).digest()
        assert entries[0].value["prev_hash"] == first
        for one in entries:
            body, last = one.raw[FRAMING_BYTES:-LENGTH_AND_HASH_BYTES], one.raw[-HASH_BYTES:]
            assert one.raw[-LENGTH_AND_HASH_BYTES] == 2 * HASH_BYTES  # Avro's 32
            assert one.value["hash"] == last
            assert last == hashlib.sha256(one.value["prev_hash"] + body).digest()
        for before, after in pairwise(entries):
            assert after.value["prev_hash"] == before.value["hash"]


def test_pictures_are_where_the_records_say_and_have_the_hash_that_they_name(scene: Scene) -> None:
    for topic in ("portals", "geometry"):
        for one in scene.outputs[topic]:
            url = one.value["asset_url"]
            picture = Path(url.removeprefix("file://")).read_bytes()
            assert hashlib.sha256(picture).hexdigest() == one.value["asset_id"]


def test_the_keys_are_what_the_topics_file_says(scene: Scene) -> None:
    topics = yaml.safe_load((ROOT / "topics.yaml").read_text(encoding="utf-8"))["topics"]
    says = {topic["name"]: topic["schema"] for topic in topics}
    for record, (topic, _) in TABLES.items():
        assert says[topic]["value"] == record
        for one in published(scene, topic):
            if topic == "deadletters":
                assert says[topic]["key"] == "key of the input"
                assert one.output.key == one.step.logged.key
            else:
                assert says[topic]["key"] == "user id in UTF-8"
                user_id = one.value["user_id"]
                assert one.output.key == (None if user_id is None else user_id.encode())
            assert one.output.partition == one.step.logged.partition


def test_the_scene_has_what_once_was_told_wrongly(scene: Scene) -> None:
    """Each fault that records had is tried: what it needs is among the inputs."""
    entries = [one.value for one in scene.outputs["audit"]]
    unchanged = [e for e in entries if e["user_id"] and e["digest_before"] == e["digest_after"]]
    verdicts = {e["verdict"] for e in unchanged if e["revision"]}
    assert verdicts >= {"exact", "twin", "collision", "repeated", "dead_letter"}
    rejected = [e for e in entries if e["rejection"]]
    assert any(e["action"] == "completion" and e["user_id"] for e in rejected)
    assert any(e["reason"] not in (None, e["rejection"]) for e in rejected)
    framed = [o.value for o in scene.outputs["deadletters"] if o.value["schema_id"]]
    assert {one["stage"] for one in framed} == set(STAGES)
    alerts = {(o.value["verdict"], o.value["severity"]) for o in scene.outputs["reconciliation"]}
    assert alerts >= {(word, "error") for word in ("exact", "twin", "collision")}
    for user in ("dee", "eli"):
        frames = [
            (one.value["frame"], one.value["local_date"])
            for one in scene.outputs["geometry"]
            if one.value["user_id"] == user and one.value["cause"]["id"] == "join"
        ]
        completed = [date for frame, date in frames if frame == 108]
        assert len(completed) == len(set(completed)) == 2


STAGES = ("transport", "decode", "validate", "fold", "operator")
