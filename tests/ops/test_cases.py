"""Inputs from the field: what is said of each by the pipeline's own code, and by the oracle.

Each file of tests/cases is a log as `awaway validate` reads it, with what must come out.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.codec.errors import UnknownSchemaIdError
from pipeline.codec.inputs import InputDecoder
from pipeline.codec.instants import instant_ms
from pipeline.codec.schemas import load_schemas
from pipeline.core.fold import World
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.policy import load_policy
from pipeline.dev.oracle.events import Logged
from pipeline.dev.oracle.model import judge
from pipeline.dev.oracle.reading import Reader
from pipeline.dev.oracle.rules import load_rules
from pipeline.ops.validate.files import entries_of
from pipeline.ops.validate.verdicts import Validator

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests" / "cases").glob("*.json"))
POLICY = (ROOT / "policy.yaml").read_text()
SCHEMAS = load_schemas(ROOT / "schemas")
WORLD = World(load_policy(POLICY), GoldenCatalogue())


def no_registry(schema_id: int) -> Any:
    raise UnknownSchemaIdError("there is no registry", fix="give a schema")


def validator() -> Validator:
    return Validator(WORLD, InputDecoder(SCHEMAS, no_registry))


def test_there_are_cases() -> None:
    assert len(FILES) >= 28


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_said_of_a_case(path: Path) -> None:
    raw = path.read_bytes()
    case = json.loads(raw)
    judging = validator()
    entries = entries_of(raw, path.stem, None, 0).entries
    said = [json.loads(msgspec.json.encode(judging.judge(entry))) for entry in entries]
    assert len(said) == len(case["expected"])
    for one, expected in zip(said, case["expected"], strict=True):
        one["alerts"] = [
            [a["verdict"], a["severity"], a["differing_fields"]] for a in one["alerts"]
        ]
        assert {key: one[key] for key in expected} == expected, one["detail"]
        if one["verdict"] == "dead_letter":
            assert one["detail"] and one["stage"] and one["reason"]
    for wanted in case.get("reads", ()):
        user = wanted.get("user", next(iter(judging.left.users)))
        found = judging.read(user, instant_ms(wanted["at"]), wanted.get("tz"))
        assert found.streak_days == wanted["streak_days"]
        if "bridged" in wanted:
            assert json.loads(msgspec.json.encode(found.bridged)) == wanted["bridged"]
        if "tz_said" in wanted:
            assert found.tz == wanted["tz_said"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_oracle_says_the_same(path: Path) -> None:
    raw = path.read_bytes()
    judging = validator()
    entries = entries_of(raw, path.stem, None, 0).entries
    said = [judging.judge(entry) for entry in entries]
    log = [
        Logged(entry.topic, 0, n, entry.append_time, entry.key, entry.value)
        for n, entry in enumerate(entries)
    ]
    judged = judge(log, load_rules(POLICY), Reader({}), 1)
    for record, one in zip(log, said, strict=True):
        verdict = judged.verdicts[record.coordinates]
        assert verdict.word == one.verdict, (one.name, one.detail, verdict)
        if one.verdict in ("accepted", "overlap"):
            assert verdict.local_date == one.local_date
    for user_id, model in judged.users.items():
        now_ms = max(record.append_time_ms for record in log)
        shown = model.progress(now_ms, load_rules(POLICY).at(now_ms))
        found = judging.read(user_id, now_ms)
        assert (found.streak_days, found.longest_days) == (shown.streak_days, shown.longest_days)
        assert set(found.portals) == {slug for _, slug in model.unlocks}
