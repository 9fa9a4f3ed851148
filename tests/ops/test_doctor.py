"""`awaway doctor` without a cluster: how checks are asked, access rules, this machine."""

import threading
from pathlib import Path
from typing import NoReturn, cast

import msgspec
import pytest
from confluent_kafka import Message

from pipeline.codec.avro import AvroEncoder
from pipeline.core.audit import link
from pipeline.core.records import AuditEntry
from pipeline.errors import ConfigError
from pipeline.ops.doctor import machine, records, run
from pipeline.ops.doctor.access import Granted, missing, unasked
from pipeline.ops.doctor.finding import Bounds, Finding, Level, Subject
from pipeline.ops.doctor.run import Check, examine
from pipeline.ops.topics.acls import Rule, rules
from pipeline.ops.topics.file import Target, load_topics
from pipeline.settings.worker import Settings
from tests.codec.samples import SAMPLES, SCHEMAS

ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000_000


def subject(folder: Path, bounds: Bounds | None = None, **settings: object) -> Subject:
    given = {
        "topics_file": ROOT / "topics.yaml",
        "policy_file": ROOT / "policy.yaml",
        "schemas_dir": ROOT / "schemas",
        "data_dir": folder,
    }
    return Subject(Settings(**(given | settings)), lambda: NOW, bounds or Bounds())  # type: ignore[arg-type]


def levels(found: list[Finding]) -> dict[str, Level]:
    return {one.check: one.level for one in found}


def test_a_check_is_not_asked_where_one_that_it_needs_has_failed(tmp_path: Path) -> None:
    def refusing(_: Subject) -> NoReturn:
        raise ConfigError("it is wrong", why="a line", fix="mend the line")

    def broken(_: Subject) -> NoReturn:
        raise KeyError("x")

    def warning(_: Subject) -> Finding:
        return Finding("warning", "warn", "hm", "look")

    def fine(_: Subject) -> Finding:
        return Finding("fine", "ok", "yes")

    checks = (
        Check("fine", fine, ("warning",)),
        Check("refusing", refusing),
        Check("warning", warning),
        Check("after", fine, ("warning", "refusing")),
        Check("later", fine, ("after",)),
        Check("broken", broken),
    )
    said: list[tuple[str, int, int]] = []
    found = examine(subject(tmp_path), checks, lambda *told: said.append(told))
    assert [one.level for one in found] == ["ok", "fail", "warn", "skipped", "skipped", "fail"]
    assert found[1] == Finding("refusing", "fail", "it is wrong: a line", "mend the line")
    assert "check of refusing failed" in found[3].said
    assert "KeyError" in found[5].said and "defect" in found[5].advice
    assert said[-1] == ("broken", 5, 6)


def test_a_check_that_hangs_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "NEEDED_S", 0.1)
    monkeypatch.setattr(run, "TOTAL_S", 0.5)
    released = threading.Event()

    def hanging(_: Subject) -> Finding:
        released.wait(60)
        return Finding("hanging", "ok", "at last")

    checks = (Check("hanging", hanging), Check("needs it", hanging, ("hanging",)))
    found = examine(subject(tmp_path), checks)
    released.set()
    assert levels(found) == {"hanging": "fail", "needs it": "skipped"}
    assert "no answer within" in found[0].said


def test_every_check_has_a_name_of_its_own_and_needs_others_that_are_there() -> None:
    names = [check.name for check in run.CHECKS]
    assert len(names) == len(set(names))
    assert {need for check in run.CHECKS for need in check.needs} <= set(names)


# --- access -------------------------------------------------------------------------------------

WRITE = Rule("rewards", "topic", "awaway.commands", ("Write", "Describe"))
GROUP = Rule("worker", "group", "awaway.blue", ("Read",), "prefixed")


def allowed(name: str, operation: str, principal: str = "rewards", **more: bool) -> Granted:
    return Granted(principal, "topic", name, more.get("prefixed", False), operation)


@pytest.mark.parametrize(
    "granted",
    [
        [allowed("awaway.commands", "Write")],  # which implies Describe
        [allowed("awaway.commands", "All")],
        [allowed("*", "Write")],
        [allowed("awaway.", "Write", prefixed=True)],
        [allowed("awaway.commands", "Write", "*")],
    ],
)
def test_rules_of_the_cluster_that_grant_what_is_needed(granted: list[Granted]) -> None:
    assert missing([WRITE], granted) == []


@pytest.mark.parametrize(
    ("granted", "lacking"),
    [
        ([], "--operation Write --operation Describe"),
        ([allowed("awaway.commands", "Read")], "--operation Write --topic"),
        ([allowed("awaway.commands", "Write", "profile")], "--operation Write"),
        ([allowed("awaway.portals", "Write")], "--operation Write"),
        ([allowed("awaway.portals", "Write", prefixed=True)], "--operation Write"),
        (
            [
                allowed("*", "All"),
                Granted("*", "topic", "awaway.commands", False, "Write", is_allowed=False),
            ],
            "--operation Write --topic",
        ),
    ],
)
def test_what_is_not_granted_is_told_as_kafka_acls_wants_it(
    granted: list[Granted], lacking: str
) -> None:
    (line,) = missing([WRITE], granted)
    assert line.startswith("--add --allow-principal User:rewards")
    assert lacking in line


def test_a_rule_about_names_that_begin_alike_needs_one_that_is_as_wide() -> None:
    named = Granted("worker", "group", "awaway.blue", False, "Read")
    assert len(missing([GROUP], [named])) == 1
    assert missing([GROUP], [named._replace(is_prefixed=True)]) == []
    assert missing([GROUP], [named._replace(name="awaway.", is_prefixed=True)]) == []
    assert len(missing([GROUP], [named._replace(name="awaway.blue-2", is_prefixed=True)])) == 1


def test_the_rules_that_the_file_asks_for_suffice_and_others_are_told() -> None:
    file = load_topics(ROOT / "topics.yaml")
    wanted = rules(file, Target())
    granted = [
        Granted(one.principal, one.resource, one.name, one.pattern == "prefixed", operation)
        for one in wanted
        for operation in one.operations
    ]
    topics = [one.name for one in file.wanted(Target())]
    assert missing(wanted, granted) == unasked(wanted, granted, topics) == []
    extra = [
        allowed("awaway.audit", "Write", "mallory"),
        allowed("*", "All", "*"),
        allowed("awaway.audit", "Read", "eve"),
    ]
    (first, second) = unasked(wanted, [*granted, *extra], topics)
    assert first == "mallory may write awaway.audit"
    assert second.startswith("everybody may write awaway.completions, ")


# --- the ends of the audit ----------------------------------------------------------------------


class Record:
    """A record of the audit as a consumer has it."""

    def __init__(self, value: bytes | None, offset: int, partition: int = 3) -> None:
        self._value, self._offset, self._partition = value, offset, partition

    def value(self) -> bytes | None:
        return self._value

    def topic(self) -> str:
        return "awaway.audit"

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset


def entry(sequence: int) -> bytes:
    """A whole entry of partition 3, as a worker seals it."""
    (sample,) = (one for one in SAMPLES if isinstance(one, AuditEntry))
    value = AvroEncoder(SCHEMAS["AuditEntry"], 1).encode(
        msgspec.structs.replace(sample, sequence=sequence)
    )
    return value[:-32] + link(sample.prev_hash, value[5:-33])


@pytest.mark.parametrize(
    ("record", "first", "said"),
    [
        (Record(entry(7), 7), 0, None),
        (Record(entry(7), 30), 0, None),  # markers take offsets, too
        (Record(entry(9), 7), 0, "sequence 9: 2 entries before it are gone"),
        (Record(entry(9), 7), 5, None),  # a topic whose beginning was deleted does not tell
        (Record(entry(7), 7, partition=1), 0, "is an entry of partition 3"),
        (Record(entry(7)[:-1] + b"?", 7), 0, "no whole audit entry"),
        (Record(entry(7)[:60] + b"?" + entry(7)[61:], 7), 0, "no whole audit entry"),
        (Record(b"{}", 7), 0, "no whole audit entry"),
        (Record(None, 7), 0, "no whole audit entry"),
    ],
)
def test_the_last_entry_of_a_chain_is_whole_and_none_before_it_is_gone(
    record: Record, first: int, said: str | None
) -> None:
    found = records.wrong_with(cast(Message, record), first)
    assert found is None if said is None else found is not None and said in found


# --- this machine -------------------------------------------------------------------------------


def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "blue"
    found = machine.disk(subject(folder, Bounds(disk_free_bytes=1)))
    assert found.level == "ok"
    assert "not there yet" in found.said
    full = machine.disk(subject(folder, Bounds(disk_free_bytes=1 << 60)))
    assert (full.level, "AWAWAY_DATA_DIR" in full.advice) == ("fail", True)
    free = int(float(found.said.split()[0]) * (1 << 30))
    assert machine.disk(subject(folder, Bounds(disk_free_bytes=free // 2))).level == "warn"


def test_files_that_make_no_sense_are_told(tmp_path: Path) -> None:
    assert machine.files(subject(tmp_path)).level == "ok"
    wrong = tmp_path / "topics.yaml"
    wrong.write_text("topics: 5")
    checks = (Check("files", machine.files),)
    (found,) = examine(subject(tmp_path, topics_file=wrong), checks)
    assert (found.level, found.advice) == ("fail", "mend it")
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        (ROOT / "policy.yaml").read_text().replace("cycle_days: 108", "cycle_days: 7")
    )
    (found,) = examine(subject(tmp_path, policy_file=policy), checks)
    assert (found.level, found.advice) == ("fail", f"correct {policy}")
    (found,) = examine(subject(tmp_path, schemas_dir=tmp_path), checks)
    assert found.level == "fail"
    assert "AWAWAY_SCHEMAS_DIR" in found.advice


def test_figures_that_are_not_published_are_told(tmp_path: Path) -> None:
    (found,) = examine(
        subject(tmp_path, assets_url=str(tmp_path)), (Check("assets", machine.assets),)
    )
    assert (found.level, "awaway assets publish" in found.advice) == ("fail", True)


def test_clocks_that_differ_are_judged_by_bounds(tmp_path: Path) -> None:
    one = subject(tmp_path)
    found = [one.clock_level(ms) for ms in (0, 5_000, -5_001, 60_000, 60_001, -90_000)]
    assert found == ["ok", "ok", "warn", "warn", "fail", "fail"]
