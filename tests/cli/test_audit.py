"""`awaway audit` over chains in memory; what it exports is verified by others, too."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import audit, main
from pipeline.codec.published import PublishedReader
from pipeline.core.audit import ChainHead
from pipeline.core.records import AuditEntry
from pipeline.ops.audit.sightings import Judged
from pipeline.ops.audit.verify import Expected
from tests.codec.samples import SCHEMAS
from tests.ops.audit_chains import (
    SCHEMA_ID,
    MemoryTopics,
    chain,
    is_ours,
    placed,
)

PAGE = Path(__file__).parents[2] / "docs" / "AUDIT.md"
Captured = pytest.CaptureFixture[str]


class MemoryLedger:
    """As the ledger that settings name."""

    def __init__(self, topics: MemoryTopics) -> None:
        self.topics = topics
        self.has_links = is_ours

    def reader(self) -> PublishedReader[AuditEntry]:
        ours = SCHEMAS["AuditEntry"]
        return PublishedReader(AuditEntry, ours, lambda _: ours.tree)

    def schema_of(self, schema_id: int) -> Any:
        return SCHEMAS["AuditEntry"].tree if schema_id == SCHEMA_ID else None

    def expected(self, judged: Judged) -> Expected:
        return Expected(judged, {"blue"})


class Desk:
    """The command line over a ledger in memory, in a folder with keys and a store."""

    def __init__(self, folder: Path, captured: Captured) -> None:
        self.folder = folder
        self.topics = MemoryTopics(
            {
                0: placed(chain(5)),
                1: placed(chain(3, partition=1, user_id="ada")),
            }
        )
        self._captured = captured
        self.key, self.keys = str(folder / "audit.pem"), str(folder / "keys.txt")
        self.store, self.witness = str(folder / "store"), str(folder / "witness.txt")

    def __call__(self, *words: str) -> tuple[int, str]:
        self._captured.readouterr()
        code = main.run(["audit", *words])
        said = self._captured.readouterr()
        return code, said.out + said.err

    def json(self, *words: str) -> tuple[int, dict[str, Any]]:
        self._captured.readouterr()
        code = main.run(["audit", *words, "-o", "json"])
        return code, json.loads(self._captured.readouterr().out)

    def sign(self) -> tuple[int, dict[str, Any]]:
        return self.json(
            "checkpoint", "--key", self.key, "--keys", self.keys, "--store", self.store
        )

    def verify(self, *words: str) -> tuple[int, dict[str, Any]]:
        return self.json("verify", "--store", self.store, "--keys", self.keys, *words)

    def exported(self, name: str = "export") -> Path:
        """A whole export."""
        path = self.folder / name
        words = ("export", str(path), "--store", self.store, "--keys", self.keys)
        assert self.json(*words)[0] == 0
        return path


@pytest.fixture
def desk(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """With a key and one checkpoint for each chain."""
    made = Desk(tmp_path, capsys)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(audit, "Ledger", lambda *_: MemoryLedger(made.topics))
    assert made("keygen", made.key, "--keys", made.keys)[0] == 0
    assert made.sign()[0] == 0
    return made


def kinds(found: dict[str, Any]) -> list[str]:
    return [one["kind"] for one in found["findings"]]


def test_from_signing_to_a_witness_all_is_well(desk: Desk) -> None:
    assert len(desk.topics.lines) == 2
    code, found = desk.verify()
    assert (code, found["findings"], found["entries_read"]) == (0, [], 8)
    assert [one["entries"] for one in found["checkpoints"]] == [5, 3]
    words = ("witness", desk.witness, "--keys", desk.keys)
    assert desk.json(*words) == (0, {"added": 2, "findings": []})
    assert desk.json(*words) == (0, {"added": 0, "findings": []})
    assert desk.verify("--witness", desk.witness, "--partition", "1")[0] == 0
    code, said = desk("verify")
    assert code == 0 and "nothing is wrong" in said


def test_what_is_wrong_is_told_in_eighty_columns(desk: Desk) -> None:
    at, value = desk.topics.logs[1][1]
    desk.topics.logs[1][1] = (at, (value or b"").replace(b"ada", b"eve"))
    code, said = desk("verify")
    assert code == 1
    assert "ALTERED  t.audit[1] offset 2 (blue, sequence 1)" in said
    assert "an entry was changed after it was sealed" in said
    assert "docs/AUDIT.md" in said
    longest = max((line for line in said.splitlines()), key=len)
    assert len(longest) <= 80 or " " not in longest.strip()


def test_a_witness_adds_nothing_where_history_is_another(desk: Desk) -> None:
    desk("witness", desk.witness, "--keys", desk.keys)
    kept = Path(desk.witness).read_bytes()
    desk.topics.lines.pop()
    code, found = desk.json("witness", desk.witness, "--keys", desk.keys)
    assert code == 1 and kinds(found) == ["missing_checkpoint"]
    assert Path(desk.witness).read_bytes() == kept


def test_without_keys_no_checkpoint_is_believed(desk: Desk) -> None:
    code, said = desk("verify", "--checkpoints")
    assert code == 2 and "--keys" in said
    code, said = desk("verify", "--keys", desk.keys, "--trust", "0" * 16)
    assert code == 1 and "not trusted" in said


def test_entries_are_shown_with_their_seals(desk: Desk) -> None:
    code, said = desk("show", "--partition", "0", "--from", "3")
    assert code == 0
    assert "3  ACCEPTED completion  user-0001" in said and "4  ACCEPTED" in said
    assert "2  ACCEPTED" not in said
    assert "is that of its bytes" in said and "awaway.completions[3] 123456789 c-0001" in said
    assert max(map(len, said.splitlines())) <= 80
    code, said = desk("show", "--partition", "0", "--limit", "2", "-o", "json")
    lines = [json.loads(line) for line in said.splitlines() if line[0] == "{"]
    assert [one["sequence"] for one in lines] == [3, 4]
    one = lines[0]
    assert one["is_sealed"] and re.fullmatch("[0-9a-f]{64}", one["hash"])
    assert one["local_date"] == "2026-03-01" and one["append_time"].endswith("Z")
    for words in (("show",), ("show", "ada", "--partition", "1"), ("show", "--partition", "9")):
        assert desk(*words)[0] == 2


def test_a_users_entries_are_told_by_their_bytes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "wanted_of", lambda *_: [1])
    code, said = desk("show", "ada", "-o", "json")
    lines = [json.loads(line) for line in said.splitlines() if line[0] == "{"]
    assert code == 0 and [one["user_id"] for one in lines] == ["ada"] * 3
    code, said = desk("show", "ad")
    assert code == 1 and "there is no entry of ad in partition 1" in said
    at, value = desk.topics.logs[1][1]
    desk.topics.logs[1][1] = (at, (value or b"").replace(b"2026-01", b"2026-02"))
    code, said = desk("show", "ada")
    assert code == 1 and said.count("ALTERED") == 1


# --- exports -------------------------------------------------------------------------------------


def test_an_export_is_verified_without_the_topic(desk: Desk) -> None:
    path = desk.exported()
    first = Path(desk.keys).read_text().split(" ")[1]
    code, found = desk.json("verify", "--export", str(path), "--trust", first)
    assert (code, found["findings"], found["entries_read"]) == (0, [], 8)
    assert found["first_key"] == first
    assert desk("verify", "--export", str(path), "--trust", "0" * 16)[0] == 1
    assert desk("export", str(path))[0] == 2, "a whole export is not written over"
    assert desk("verify", "--export", str(desk.folder))[0] == 1


def test_an_export_that_was_killed_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = desk.exported()
    path = desk.folder / "killed"
    path.mkdir()
    content = (whole / "entries-0.bin").read_bytes()
    (path / "entries-0.bin").write_bytes(content[: len(content) // 2])
    desk.topics.reads.clear()
    desk.exported("killed")
    assert (path / "entries-0.bin").read_bytes() == content
    assert desk.topics.reads[0] == (3, 3), "what is there is not read again"
    assert desk.json("verify", "--export", str(path))[0] == 0


def test_a_broken_audit_is_exported_as_it_is(desk: Desk) -> None:
    del desk.topics.logs[0][2]
    words = ("export", str(desk.folder / "evidence"), "--store", desk.store, "--keys", desk.keys)
    code, found = desk.json(*words)
    assert code == 1 and kinds(found) == ["missing"] and found["manifest"]["findings"] == 1
    code, found = desk.json("verify", "--export", str(desk.folder / "evidence"))
    assert code == 1 and kinds(found) == ["missing"]


@pytest.mark.parametrize("name", ["entries-0.bin", "checkpoints.txt", "keys.txt"])
def test_a_file_of_an_export_that_was_changed_or_is_gone(desk: Desk, name: str) -> None:
    path = desk.exported()
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[:-80] + b"x" + content[-79:])
    code, said = desk("verify", "--export", str(path), "-o", "json")
    assert code == 1 and ("damaged_export" in said or "cannot be trusted" in said)
    (path / name).unlink()
    code, said = desk("verify", "--export", str(path), "-o", "json")
    assert code == 1 and "no such file" in said


def check(*words: str | Path) -> tuple[int, str]:
    """The script of docs/AUDIT.md, run by a bare Python."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r"<!-- snippet: check -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    ast.parse(found[1], feature_version=(3, 8))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", found[1], *map(str, words)],
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def grow(desk: Desk) -> None:
    values = [value or b"" for _, value in desk.topics.logs[0]]
    desk.topics.logs[0] = placed(values + chain(2, head=ChainHead(len(values), values[-1][-32:])))
    assert desk.sign()[0] == 0


def test_a_bare_python_verifies_an_export(desk: Desk) -> None:
    desk("witness", desk.witness, "--keys", desk.keys)
    desk("keygen", f"{desk.key}2", "--keys", desk.keys, "--after", desk.key)
    desk.key += "2"
    grow(desk)
    path = desk.exported()
    first = Path(desk.keys).read_text().split(" ")[1]
    code, said = check(path, desk.witness)
    assert (code, said.splitlines()[-1]) == (0, f"nothing is wrong; the first key is {first}")
    last = desk.topics.logs[0][-1][1] or b""
    assert f"{{'blue': (7, '{last[-32:].hex()}')}}" in said


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("entries-0.bin", b"user-0001", b"user-0002", "entries-0.bin, entry 0 of blue"),
        ("checkpoints.txt", b" blue 0 0 5 ", b" blue 0 0 6 ", "awaway-checkpoint/1"),
        ("keys.txt", b" - -", b" x -", "awaway-audit-key/1"),
    ],
)
def test_a_bare_python_finds_what_was_changed(
    desk: Desk, name: str, old: bytes, new: bytes, said: str
) -> None:
    path = desk.exported() / name
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    code, found = check(path.parent)
    assert (code, found[:7]) == (1, "WRONG: "), found
    assert said in found, found


def test_a_bare_python_finds_a_cut_end_and_another_history(desk: Desk) -> None:
    grow(desk)
    path = desk.exported() / "entries-0.bin"
    last = 12 + len(desk.topics.logs[0][-1][1] or b"")
    path.write_bytes(path.read_bytes()[:-last])
    code, found = check(path.parent)
    assert code == 1 and "the chains end before what was signed" in found

    desk("witness", desk.witness, "--keys", desk.keys)
    anew = Desk(desk.folder / "anew", desk._captured)
    anew.folder.mkdir()
    desk.topics.logs[0] = placed(chain(7, actor="somebody else"))
    desk.topics.lines.clear()
    anew("keygen", anew.key, "--keys", anew.keys)
    assert anew.sign()[0] == 0
    forged = anew.exported()
    assert check(forged)[0] == 0, "it agrees with itself"
    code, found = check(forged, desk.witness)
    assert code == 1 and "WRONG: awaway-checkpoint/1 t.audit blue 0 0 5" in found
