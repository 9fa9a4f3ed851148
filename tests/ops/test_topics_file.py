"""`topics.yaml`: the one that is shipped, and what it may not say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.codec.dead_letters import EXTRA_BYTES
from pipeline.core.policy import load_policy
from pipeline.ops.topics.acls import Rule, rules
from pipeline.ops.topics.file import (
    Target,
    TopicsFileError,
    compatibility_of,
    load_topics,
    parse_topics,
)
from pipeline.settings.worker import Settings

ROOT = Path(__file__).parents[2]
FILE = load_topics(ROOT / "topics.yaml")
TEXT = (ROOT / "topics.yaml").read_text()


def with_topic(name: str, /, **changes: object) -> str:
    """The shipped file with one topic changed."""
    tree: dict[str, Any] = yaml.safe_load(TEXT)
    next(topic for topic in tree["topics"] if topic["name"] == name).update(changes)
    return yaml.safe_dump(tree)


def refusal(text: str) -> str:
    with pytest.raises(TopicsFileError) as caught:
        parse_topics(text)
    return str(caught.value)


def test_the_topics_that_are_promised() -> None:
    assert [wanted.name for wanted in FILE.wanted(Target())] == [
        *("awaway.completions", "awaway.commands", "awaway.portals", "awaway.progress"),
        *("awaway.geometry", "awaway.reconciliation", "awaway.deadletters", "awaway.audit"),
        *("awaway.audit-checkpoints", "awaway.skips"),
        *("awaway.blue.streaks-changelog", "awaway.blue.seen-changelog"),
    ]
    assert {wanted.partitions for wanted in FILE.wanted(Target())} == {4}


def test_inputs_take_the_brokers_time_and_keep_everything() -> None:
    for name in ("completions", "commands"):
        wanted = next(w for w in FILE.wanted(Target()) if w.topic.name == name)
        assert wanted.config["message.timestamp.type"] == "LogAppendTime"
        assert wanted.config["retention.ms"] == "-1"
        assert wanted.config["cleanup.policy"] == "delete"
        assert wanted.config["compression.type"] == "uncompressed"


def test_any_input_fits_into_a_dead_letter() -> None:
    inputs = [topic.message_bytes_max for topic in FILE.topics if topic.kind == "input"]
    assert FILE.topic("deadletters").message_bytes_max >= 2 * max(inputs) + EXTRA_BYTES


def test_the_seen_changelog_outlives_the_policys_window() -> None:
    book = load_policy((ROOT / "policy.yaml").read_text())
    seen = FILE.topic("{generation}.seen-changelog")
    assert seen.cleanup == ["compact", "delete"]
    # A worker may be behind for a month, and still be restored to what it knew then.
    assert seen.retention_ms >= book.window_ms + 30 * 86_400_000


def test_a_target_overrides_the_file() -> None:
    target = Target("x.", 6, 3, "green", simulated_time=True)
    wanted = {one.topic.name: one for one in FILE.wanted(target)}
    assert wanted["audit"].name == "x.audit"
    assert wanted["{generation}.seen-changelog"].name == "x.green.seen-changelog"
    assert {(one.partitions, one.replication) for one in wanted.values()} == {(6, 3)}
    assert wanted["completions"].config["message.timestamp.type"] == "CreateTime"
    assert wanted["completions"].config["retention.ms"] == "-1"
    assert wanted["geometry"].config["retention.ms"] == str(90 * 86_400_000)


def test_subjects_have_the_level_of_their_side() -> None:
    levels = {s: compatibility_of(t) for s, t in FILE.subjects(Target("p.")).items()}
    assert levels == {
        "p.completions-value": "BACKWARD_TRANSITIVE",
        "p.commands-value": "BACKWARD_TRANSITIVE",
        **{f"p.{name}-value": "FULL_TRANSITIVE" for name in FILE.outputs},
    }
    assert {"portals", "progress", "audit"} < FILE.outputs.keys()


def test_a_topic_that_is_not_there() -> None:
    with pytest.raises(TopicsFileError, match="no topic 'nope'"):
        FILE.topic("nope")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "Upper"}, "a name has lower-case"),
        ({"kind": "sideways"}, "$.topics[2].kind"),
        ({"kind": "input"}, "an input has timestamps"),
        ({"kind": "changelog"}, "the other kinds have null"),
        ({"kind": "input"}, "an input has settings: {compression.type: uncompressed}"),
        ({"schema": {"key": "k", "value": None}}, "inputs and outputs have a record"),
        ({"schema": {"key": "k", "value": "Nope"}}, "'Nope' is none of"),
        ({"schema": {"key": "k"}}, "missing required field `value`"),
        ({"cleanup": []}, "cleanup is one or both"),
        ({"cleanup": ["delete", "delete"]}, "cleanup is one or both"),
        ({"cleanup": ["shred"]}, "$.topics[2].cleanup"),
        ({"retention": "90"}, "'90' is not like 90d"),
        ({"retention": "0d"}, "'0d' is not like 90d"),
        ({"retention": 90}, "Expected `str`, got `int`"),
        ({"message_bytes_max": 10}, "message_bytes_max is 1024"),
        ({"message_bytes_max": "1MB"}, "Expected `int`"),
        ({"settings": {"retention.ms": "1"}}, "settings has retention.ms"),
        ({"settings": {"segment.ms": 5}}, "Expected `str`, got `int`"),
        ({"downstream": {"mail": "soon"}}, "portals: downstream mail 'soon' is not like 30s"),
        ({"downstream": ["mail"]}, "Expected `object`, got `array`"),
        ({"colour": "blue"}, "unknown field `colour`"),
        ({"name": "progress"}, "progress occurs twice"),
    ],
)
def test_entries_that_are_refused(changes: dict[str, object], complaint: str) -> None:
    message = refusal(with_topic("portals", **changes))
    assert complaint in message


def test_a_refusal_names_the_topic_and_not_only_its_place() -> None:
    assert "(topic 'portals')" in refusal(with_topic("portals", kind="sideways"))
    assert "topics[0]" in refusal(TEXT.replace("topics:", "topics:\n  - 5"))


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("partitions: 4", "partitions: 0", "partitions is 1 and up"),
        ("replication: null", "replication: 0", "replication is 1 and up"),
        ("8388608", "4194304", "deadletters: message_bytes_max is at least 4259840"),
        ("partitions: 4", "partitions: four", "Expected `int`, got `str` - at `$.partitions`"),
        ("partitions: 4", "partitions: 4\npartitions: 5", "'partitions' occurs twice"),
        ("owner: ingest", "owner: ingest\n    owner: me", "'owner' occurs twice"),
        ("topics:", "topics: [", "is not YAML"),
        ("topics:", "topics: !!python/object/apply:os.system [ls]\nmore:", "is not YAML"),
        ("partitions: 4", "partitions: 4\n? [a, b]\n: 1", "is not YAML"),
    ],
)
def test_files_that_are_refused(before: str, after: str, complaint: str) -> None:
    assert before in TEXT
    assert complaint in refusal(TEXT.replace(before, after, 1))


def test_every_mistake_is_told_at_once() -> None:
    message = refusal(with_topic("portals", retention="x", cleanup=[], message_bytes_max=1))
    assert message.count("portals: ") == 3


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TopicsFileError, match="cannot be read"):
        load_topics(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(TopicsFileError, match="cannot be read"):
        load_topics(tmp_path / "binary.yaml")
    assert refusal("") != ""


def test_access_rules_follow_from_the_file() -> None:
    found = rules(FILE, Target())
    assert len(found) == len(set(found))
    assert Rule("awaway-worker", "topic", "awaway.portals", ("Write", "Describe")) in found
    assert Rule("rewards", "topic", "awaway.portals", ("Read", "Describe")) in found
    assert Rule("rewards", "group", "rewards", ("Read",)) in found
    on_changelogs = [rule for rule in found if rule.name.endswith("changelog")]
    assert {rule.principal for rule in on_changelogs if "Write" in rule.operations} == {
        "awaway-worker"
    }
    assert {rule.principal for rule in on_changelogs if "Read" in rule.operations} == {
        *("awaway-worker", "awaway-rebuild", "awaway-audit")
    }
    assert not [rule for rule in found if rule.name == "awaway-worker"]


def test_a_worker_may_what_its_settings_lead_to() -> None:
    settings = Settings(topic_prefix="x.", generation="green", slot=7)
    found = rules(FILE, Target(prefix="x.", generation="green"))
    of_worker = [rule for rule in found if rule.principal == "awaway-worker"]
    by_kind = {rule.resource: rule for rule in of_worker if rule.pattern == "prefixed"}
    assert settings.group_id.startswith(by_kind["group"].name)
    assert f"{settings.group_id}-restore".startswith(by_kind["group"].name)
    assert by_kind["group"].operations == ("Read", "Describe")
    assert settings.transactional_id.startswith(by_kind["transactional-id"].name)
    assert by_kind["transactional-id"].operations == ("Write", "Describe")
    checked = {rule.name for rule in of_worker if "DescribeConfigs" in rule.operations}
    assert checked == {
        "",
        *(wanted.name for wanted in FILE.wanted(Target("x.", generation="green"))),
    }


def test_an_operator_may_what_skipping_an_input_takes() -> None:
    settings = Settings(topic_prefix="x.", generation="green")
    found = rules(FILE, Target(prefix="x.", generation="green"))
    may = {
        (rule.resource, rule.name, operation)
        for rule in found
        if rule.principal == "awaway-operator"
        for operation in rule.operations
    }
    for name in ("completions", "commands", "skips"):
        assert ("topic", f"x.{name}", "Read") in may
    assert ("topic", "x.skips", "Write") in may
    assert ("group", settings.group_id, "Describe") in may


def test_an_observer_sees_every_group_and_setting_and_writes_nothing_by_that() -> None:
    may = [one for one in rules(FILE, Target()) if one.principal == "awaway-operator"]
    seen = {one.name for one in may if one.resource == "group" and "Describe" in one.operations}
    groups = {group for topic in FILE.topics for group in topic.downstream}
    assert groups > {"notifications", "profile"}
    assert seen == {*groups, "awaway.blue"}
    settings = {one.name for one in may if "DescribeConfigs" in one.operations}
    assert settings == {"", *(wanted.name for wanted in FILE.wanted(Target()))}
    read = {one.name for one in may if one.resource == "topic" and "Read" in one.operations}
    assert {f"awaway.{topic.name}" for topic in FILE.topics if topic.downstream} < read
    assert {one.name for one in may if "Write" in one.operations} == {"awaway.skips"}


def test_how_old_a_record_may_become_for_a_group() -> None:
    assert FILE.topic("portals").downstream_ms["onboarding"] == 600_000
    assert FILE.topic("audit").downstream_ms == {}


def test_a_rebuild_may_read_what_it_replays_and_ask_for_repairs() -> None:
    may = {
        (rule.name.removeprefix("awaway."), operation)
        for rule in rules(FILE, Target())
        if rule.principal == "awaway-rebuild" and rule.resource == "topic"
        for operation in rule.operations
    }
    read = {name for name, operation in may if operation == "Read"}
    assert read == {
        *("completions", "commands", "audit", "portals", "progress", "skips"),
        *("blue.streaks-changelog", "blue.seen-changelog"),
    }
    assert {name for name, operation in may if operation == "Write"} == {"commands"}


def test_who_signs_the_audit_writes_checkpoints_alone_and_an_auditor_nothing() -> None:
    def may(principal: str, wanted: str) -> set[str]:
        return {
            rule.name.removeprefix("awaway.")
            for rule in rules(FILE, Target())
            if (rule.principal, rule.resource) == (principal, "topic")
            if wanted in rule.operations
        }

    assert may("awaway-audit", "Write") == {"audit-checkpoints"}
    assert may("awaway-audit", "Read") == {"audit", "audit-checkpoints", "blue.streaks-changelog"}
    assert may("auditor", "Write") == set()
    assert may("auditor", "Read") == {"audit", "audit-checkpoints"}
    assert "audit-checkpoints" not in may("awaway-worker", "Write")


def test_a_rule_is_written_as_kafka_acls_wants_it() -> None:
    allow = "--add --allow-principal User:w --operation Read"
    assert Rule("w", "topic", "a", ("Read",)).arguments() == f"{allow} --topic a"
    assert Rule("w", "cluster", "", ("Read",)).arguments() == f"{allow} --cluster"
    assert Rule("w", "group", "a", ("Read",), "prefixed").arguments() == (
        f"{allow} --group a --resource-pattern-type prefixed"
    )
