"""`awaway validate`: states that are saved, that go on, that were edited."""

import json
from pathlib import Path

import pytest

from pipeline.core.dedupe import SeenCompletion, SeenUpdate
from pipeline.ops.validate.state import LeftBehind, decode
from tests.cli.validating import AT, ROOT, Captured, completion, said, written


def test_a_state_goes_on_where_it_was_saved(tmp_path: Path, capsys: Captured) -> None:
    state = str(tmp_path / "state.json")
    days = [completion(n, day=n) for n in (6, 7)]
    said(capsys, written(tmp_path / "first.json", days), *AT, "--save", state)
    again = written(tmp_path / "again.json", [completion(7, day=7), completion(8)])
    _, found = said(capsys, again, *AT, "--state", state)
    assert [one["verdict"] for one in found] == ["exact", "accepted"]
    assert found[1]["streak_days"] == 3


def test_a_state_that_cannot_be_saved(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "one.json", completion(1))
    *_, error = said(capsys, file, *AT, "--save", str(tmp_path / "none" / "state.json"))[1]
    assert "cannot be written" in error["what"] and error["fix"]


@pytest.mark.parametrize("name", ["", "none/state.json", "."])
def test_nothing_is_said_before_it_is_known_that_the_state_can_be_saved(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path / "one.json", completion(1))
    code, (error,) = said(capsys, file, *AT, "--save", name)
    assert code == (1 if name else 2) and error["fix"]


def test_a_disk_that_is_full_is_told(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "one.json", completion(1))
    code, (one, error) = said(capsys, file, *AT, "--save", "/dev/full")
    assert (code, one["verdict"]) == (1, "accepted")
    assert error["why"] == "No space left on device" and "can be written" in error["fix"]


def test_a_state_that_was_edited_is_none(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "one.json", completion(1))
    state = tmp_path / "state.json"
    said(capsys, file, *AT, "--save", str(state))
    text = state.read_text()
    for edited in (
        text.replace("[[20642,1]]", "[[20642,1000000000]]"),
        text.replace("[[20642,1]]", "[[100000000000000000,1]]"),
        text.replace("Europe/Berlin", "Mars/X"),
        text.replace(',20642]]],"covers"', ',900000]]],"covers"'),
    ):
        assert edited != text
        code, (error,) = said(capsys, file, *AT, "--state", written(state, edited.encode()))
        assert code == 1 and "holds no state" in error["what"]


@pytest.mark.parametrize(
    "run",
    [{"start": 20_000, "length": 10**9}, {"start": 10**17, "length": 1}, {"start": 1, "length": 0}],
)
@pytest.mark.parametrize("kind", ["practised", "credited"])
def test_progress_with_dates_that_are_none(
    tmp_path: Path, capsys: Captured, kind: str, run: dict[str, int]
) -> None:
    progress = json.loads((ROOT / "schemas" / "golden" / "ProgressUpdated-v2.json").read_text())
    progress["dates"][kind] = [run]
    state = written(tmp_path / "progress.json", progress)
    code, (error,) = said(capsys, written(tmp_path / "one.json", completion(1)), "--state", state)
    assert code == 1 and "holds no state" in error["what"]


def test_a_saved_window_knows_the_session_that_was_accepted_last() -> None:
    left = LeftBehind(100)
    for name, append_time in (("a", 0), ("b", 200), ("a", 400)):
        entry = SeenCompletion(name, "s", "breath", 1, 2, "completions", 0, 0, append_time)
        left.seen.remember("ada", SeenUpdate(entry, ()))
    again = decode(left.encode(), 100, "state.json")
    again.seen.now = left.seen.now = 450
    assert again.seen.by_session("ada", "s") == left.seen.by_session("ada", "s") is not None


def test_a_state_from_published_progress(tmp_path: Path, capsys: Captured) -> None:
    golden = ROOT / "schemas" / "golden" / "ProgressUpdated-v2.json"
    progress = json.loads(golden.read_text()) | {"user_id": "ada"}
    state = written(tmp_path / "progress.json", progress)
    file = written(tmp_path / "one.json", completion(1))
    _, (one,) = said(capsys, file, *AT, "--state", state)
    assert one["longest_days"] == 9
    code, (error,) = said(capsys, file, "--state", written(tmp_path / "x.json", {"a": 1}))
    assert code == 1 and "holds no state" in error["what"]
    code, (error,) = said(capsys, file, "--state", written(tmp_path / "y.json", {"format": "z"}))
    assert code == 1 and "no state" in error["what"]
