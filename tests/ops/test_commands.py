"""`awaway topics` and `awaway schemas`: output, exit codes, and that only the right ones change."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema

from pipeline.cli.main import run
from pipeline.codec.registry import connect
from pipeline.dev.local.stack import LocalStack

ROOT = Path(__file__).parents[2]


@pytest.fixture
def awaway(
    topic_prefix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run a command in the checkout under this test's prefix; gives exit code and stdout."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("AWAWAY_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("NO_COLOR", "1")

    def _run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(words)
        out, err = capsys.readouterr()
        print("$ awaway", *words)  # what a failed assertion shows
        print(f"{out}{err}exit code {code}")
        return code, out

    return _run


@pytest.fixture
def on_stack(
    stack: LocalStack, monkeypatch: pytest.MonkeyPatch, awaway: Callable[..., tuple[int, str]]
) -> Callable[..., tuple[int, str]]:
    """The same with the run's servers."""
    monkeypatch.setenv("AWAWAY_BOOTSTRAP_SERVERS", stack.bootstrap_servers)
    monkeypatch.setenv("AWAWAY_REGISTRY_URL", stack.registry_url)
    return awaway


def one_object(text: str) -> dict[str, Any]:
    assert text.count("\n") == 1
    found: dict[str, Any] = json.loads(text)
    return found


def test_topics_from_plan_to_plan(
    on_stack: Callable[..., tuple[int, str]], topic_prefix: str
) -> None:
    code, text = on_stack("topics", "plan")
    assert code == 3
    assert f"+ {topic_prefix}completions" in text
    assert "message.timestamp.type: LogAppendTime" in text
    assert "12 changes; `awaway topics apply` makes them" in text
    code, text = on_stack("topics", "plan", "-o", "json")
    assert code == 3
    assert len(one_object(text)["changes"]) == 12
    code, text = on_stack("topics", "apply", "-o", "json")
    assert code == 0
    assert len(one_object(text)["applied"]) == 12
    code, text = on_stack("topics", "plan")
    assert (code, text) == (0, "the cluster is as the file says\n")
    code, text = on_stack("topics", "dump", "-o", "json")
    assert code == 0
    assert {t["name"] for t in one_object(text)["topics"]} >= {f"{topic_prefix}audit"}
    code, text = on_stack("topics", "dump")
    assert text.startswith("topics:\n")


def test_topics_that_are_refused_and_topics_that_are_asked_for(
    on_stack: Callable[..., tuple[int, str]], topic_prefix: str
) -> None:
    assert on_stack("topics", "apply")[0] == 0
    code, text = on_stack("topics", "plan", "--partitions", "5")
    assert code == 3
    assert "12 changes, 12 refused" in text
    assert "refused: adding partitions (4 to 5)" in text
    code, text = on_stack("topics", "apply", "--partitions", "5", "-o", "json")
    assert code == 1
    assert one_object(text)["error"] == "PlanRefusedError"
    old = f"{topic_prefix}blue.seen-changelog"
    assert on_stack("topics", "apply", "--generation", "green")[0] == 0
    code, text = on_stack("topics", "plan", "--generation", "green")
    assert code == 0
    assert f"{old} is not in the file and is left alone" in text
    code, text = on_stack("topics", "apply", "--generation", "green", "--delete", old)
    assert code == 2
    code, text = on_stack("topics", "plan", "--generation", "green", "--delete", old)
    assert code == 3
    assert f"- {old}" in text
    code, text = on_stack("topics", "apply", "--generation", "green", "--delete", old, "--yes")
    assert code == 0
    assert "1 changes made" in text
    code, text = on_stack("topics", "plan", "--generation", "green", "--simulated-time")
    assert "message.timestamp.type: LogAppendTime → CreateTime" in text


def test_schemas_from_plan_to_plan(
    on_stack: Callable[..., tuple[int, str]], topic_prefix: str, tmp_path: Path
) -> None:
    code, text = on_stack("schemas", "plan")
    assert code == 3
    assert f"+ {topic_prefix}audit-value (AuditEntry)" in text
    assert "compatibility: FULL_TRANSITIVE" in text
    code, text = on_stack("schemas", "register", "-o", "json")
    assert code == 0
    assert len(one_object(text)["registered"]) == 8
    code, text = on_stack("schemas", "plan", "-o", "json")
    assert code == 0
    assert one_object(text) == {"changes": [], "subjects": 8, "refused": [], "newer": []}
    assert "has all 8 schemas" in on_stack("schemas", "plan")[1]
    code, text = on_stack("schemas", "check")
    assert (code, text) == (0, "every schema may be registered\n")
    folder = _schemas_with(tmp_path, '"name": "audit_id"', '"name": "entry_id"')
    code, text = on_stack("schemas", "plan", "--schemas", str(folder))
    assert code == 1
    assert "1 changes, 1 refused" in text
    assert '-      "name": "audit_id",' in text
    assert '+      "name": "entry_id",' in text
    code, text = on_stack("schemas", "check", "--schemas", str(folder), "-o", "json")
    assert code == 1
    assert one_object(text)["compatible"] is False
    code, text = on_stack("schemas", "register", "--schemas", str(folder), "-o", "json")
    assert code == 1
    assert one_object(text)["error"] == "SchemasRefusedError"
    subject = f"{topic_prefix}audit-value"
    code, text = on_stack(
        "schemas", "register", "--schemas", str(folder), "--allow-incompatible", subject
    )
    assert code == 0
    assert "1 subjects changed" in text


def test_a_producers_newer_schema_needs_nothing(
    on_stack: Callable[..., tuple[int, str]], topic_prefix: str, stack: LocalStack
) -> None:
    """From the first start to a restart after a serialiser registered a field more by itself."""
    assert on_stack("schemas", "register")[0] == 0
    subject = f"{topic_prefix}completions-value"
    tree = json.loads((ROOT / "schemas" / "PracticeCompleted.avsc").read_text())
    tree["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    registry = connect({"url": stack.registry_url})
    registry.register_schema(subject, Schema(json.dumps(tree), "AVRO"))
    code, text = on_stack("schemas", "plan")
    assert code == 0
    assert f"= {subject} (PracticeCompleted)" in text
    assert '+      "name": "mood",' in text
    assert "version 2 came after ours, version 1; this release reads it" in text
    assert text.endswith("1 inputs are newer; there is nothing to do\n")
    code, text = on_stack("schemas", "plan", "-o", "json")
    assert code == 0
    assert [one["subject"] for one in one_object(text)["newer"]] == [subject]
    assert on_stack("schemas", "check")[0] == 0
    code, text = on_stack("schemas", "register", "-o", "json")
    assert code == 0
    assert one_object(text)["registered"] == []
    registry.set_compatibility(subject, "NONE")
    tree["fields"] = [field for field in tree["fields"] if field["name"] != "tz"]
    registry.register_schema(subject, Schema(json.dumps(tree), "AVRO"))
    code, text = on_stack("schemas", "plan")
    assert code == 1
    assert "this release cannot read version 3" in text
    code, text = on_stack("schemas", "register", "-o", "json")
    assert code == 1
    assert f"DELETE /subjects/{subject}/versions/3" in one_object(text)["fix"]
    assert registry.get_compatibility(subject) == "NONE"
    registry.delete_version(subject, 3)
    code, text = on_stack("schemas", "register", "-o", "json")
    assert code == 0
    (change,) = one_object(text)["registered"]
    assert (change["standing"], change["level_now"]) == ("newer", "NONE")


def _schemas_with(tmp_path: Path, before: str, after: str) -> Path:
    """A copy of the schemas in which the audit record is changed."""
    import shutil  # noqa: PLC0415 - only here

    folder = tmp_path / "schemas"
    shutil.copytree(ROOT / "schemas", folder)
    path = folder / "AuditEntry.avsc"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    return folder


def test_what_needs_no_server(awaway: Callable[..., tuple[int, str]], topic_prefix: str) -> None:
    assert awaway("topics", "validate") == (0, "12 topics, valid\n")
    code, text = awaway("topics", "validate", "-o", "json")
    assert one_object(text)["topics"][0] == f"{topic_prefix}completions"
    assert code == 0
    code, text = awaway("topics", "acls")
    assert code == 0
    assert (
        "--add --allow-principal User:awaway-worker --operation Write --operation Describe"
        f" --topic {topic_prefix}portals\n" in text
    )
    assert awaway("schemas", "check", "--offline") == (0, "every schema may be registered\n")


def test_a_broken_file(awaway: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    path = tmp_path / "topics.yaml"
    path.write_text("prefix: a.\nprefix: b.\n")
    code, text = awaway("topics", "validate", "--file", str(path), "-o", "json")
    assert code == 1
    assert "'prefix' occurs twice" in one_object(text)["why"]


def test_findings_are_printed(awaway: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    folder = _schemas_with(tmp_path, '"name": "audit_id"', '"name": "entry_id"')
    code, text = awaway("schemas", "check", "--offline", "--schemas", str(folder))
    assert code == 1
    assert "AuditEntry: v1 data is not readable: entry_id at /fields/0" in text


def test_servers_that_do_not_answer(
    awaway: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.ops.topics.admin._REQUEST_TIMEOUT_S", 0.5)
    monkeypatch.setenv("AWAWAY_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("AWAWAY_REGISTRY_URL", "http://127.0.0.1:1")
    code, text = awaway("topics", "plan", "-o", "json")
    assert code == 1
    assert one_object(text)["error"] == "TopicsError"
    code, text = awaway("schemas", "plan", "-o", "json")
    assert code == 1
    assert one_object(text)["error"] == "RegistryUnavailableError"


@pytest.mark.parametrize(
    "words",
    [
        ("topics", "plan", "--partitions", "0"),
        ("topics", "apply", "--delete"),
        ("topics", "nonsense"),
        ("schemas", "register", "--nonsense"),
    ],
)
def test_command_lines_that_make_no_sense(
    awaway: Callable[..., tuple[int, str]], words: tuple[str, ...]
) -> None:
    code, text = awaway(*words, "-o", "json")
    assert code == 2
    assert one_object(text)["error"] == "UsageError"
