"""What `awaway rebuild` says of rebuilds that are there: who did what when, and what to do next."""

import json
from pathlib import Path

import pytest

from pipeline.cli import main as cli
from tests.api.scene import NOON
from tests.rebuild.written import APPROVED, DIGEST, NAME, STARTED, differing, write

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AWAWAY_DATA_DIR", str(tmp_path))
    return tmp_path


def told(capsys: Captured, *words: str, code: int = 0) -> str:
    assert cli.run(["rebuild", *words]) == code
    said = capsys.readouterr()
    return said.out + said.err


def test_the_list_says_who_did_what_when(data_dir: Path, capsys: Captured) -> None:
    assert "there is none" in told(capsys, "list")
    write(data_dir, differing("ann"), steps=[STARTED, APPROVED], state="approved")
    write(data_dir, name="rb-later", began=NOON + 1, user_id="ben")
    text = told(capsys, "list")
    assert text.index("rb-later: compared, user ben") < text.index(f"{NAME}: approved")
    assert "2026-11-23T12:00:00Z  start by ada@example: found 1 user" in text
    assert "approve by bea: changed 1 user\n    OPS-7: the disk lied" in text
    assert max(map(len, text.splitlines())) <= 80
    listed = json.loads(told(capsys, "list", "-o", "json"))["rebuilds"]
    assert [one["id"] for one in listed] == ["rb-later", NAME]
    assert listed[1]["steps"][1]["places"] == {"0": 9}


def test_one_that_cannot_be_read_is_named_and_hides_no_other(
    data_dir: Path, capsys: Captured
) -> None:
    write(data_dir)
    (write(data_dir, name="rb-broken") / "rebuild.json").write_bytes(b"{")
    text = told(capsys, "list")
    assert NAME in text and "rb-broken/rebuild.json cannot be read" in text
    assert "cannot be read" in told(capsys, "status", "rb-broken", code=1)


def test_the_digest_is_named_only_beside_what_it_is_of(data_dir: Path, capsys: Captured) -> None:
    write(data_dir, differing("ann"), differing("ben", "stored"))
    shown = told(capsys, "diff", NAME)
    assert f"approve {NAME} --digest {DIGEST} --reason WHY --ticket TICKET" in shown
    assert "1  the stored state is not what the last entry left" in shown
    status = told(capsys, "status")
    assert "--digest DIGEST" in status and DIGEST not in status
    assert "is no id of a rebuild" in told(capsys, "status", "../x", code=2)
    assert "there is no rebuild nobody here" in told(capsys, "status", "nobody", code=2)


def test_what_only_tries_a_policy_or_differs_in_nothing_is_not_approved(
    data_dir: Path, capsys: Captured
) -> None:
    write(data_dir, differing("ann"), tries_policy=True)
    write(data_dir, name="rb-sound")
    for name in (NAME, "rb-sound"):
        assert "nothing to approve" in told(capsys, "status", name)
    words = ("--digest", DIGEST, "--reason", "r", "--ticket", "t", "--yes")
    assert "only tries a policy" in told(capsys, "approve", NAME, *words, code=2)
    assert "has repaired nobody" in told(capsys, "rollback", NAME, *words[2:], code=2)
