"""`awaway validate`: what is printed, options, where users stand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import main as cli
from tests.cli.validating import AT, ROOT, Captured, completion, said, written


def test_an_input_cannot_steer_the_terminal(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "one.json", completion(1, user_id="a\x1b[2Jda"))
    assert cli.run(["validate", file, *AT]) == 1
    assert "\x1b[2J" not in capsys.readouterr().out
    _, (line,) = said(capsys, file, *AT)
    assert (line["reason"], line["user_id"], line["streak_days"]) == ("bad_user_id", None, None)


def test_where_the_users_stand(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "one.json", completion(1))
    when = ("--read-at", "2026-07-10T00:30:00Z")
    _, (one,) = said(capsys, file, *AT, *when)
    (read,) = one["reads"]
    assert (read["streak_days"], read["today"], read["tz"]) == (1, "2026-07-09", "Europe/Berlin")
    _, (one,) = said(capsys, file, *AT, *when, "--tz", "asia/tokyo")
    assert (one["reads"][0]["streak_days"], one["reads"][0]["tz"]) == (0, "Asia/Tokyo")


def test_text_for_people_fits_eighty_columns(tmp_path: Path, capsys: Captured) -> None:
    items = [
        completion(1, mood="calm"),
        completion(2, session_id="s1", day=7),
        completion(3, tz="Mars"),
    ]
    file = written(tmp_path / "some.json", items)
    assert cli.run(["validate", file, *AT, "--read-at", "2026-07-08T20:00:00Z"]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 80
    for wanted in (
        *("some[1]  duplicate (twin)", "a date is at stake", "ignored: 1"),
        *("ada at 2026-07-08T20", "1 day in a row"),
    ):
        assert wanted in out


def test_a_streak_that_is_over_is_told_with_its_date(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "late.json", completion(1, day=5))
    assert cli.run(["validate", file, *AT]) == 0
    assert "0 days in a row on 2026-07-08, when it was appended" in capsys.readouterr().out


def test_many_inputs_are_counted_beside_the_result(tmp_path: Path, capsys: Captured) -> None:
    lines = [json.dumps(completion(n, user_id=f"u{n}")) for n in range(1_100)]
    file = written(tmp_path / "many.jsonl", "\n".join([*lines, lines[0], "{"]).encode())
    assert cli.run(["validate", file, *AT]) == 1
    captured = capsys.readouterr()
    assert captured.err == "1,102 inputs: 1,100 accepted, 1 duplicate (exact), 1 dead letter\n"
    assert len(captured.out.splitlines()) == 1_101 * 4 + 3
    cli.run(["validate", written(tmp_path / "one.json", completion(1)), *AT])
    assert capsys.readouterr().err == ""


def test_a_zone_is_told_as_it_was_given(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "one.json", completion(1))
    when = ("--read-at", "2026-07-08T20:00:00Z", "--tz", "+14:00")
    assert cli.run(["validate", file, *AT, *when]) == 0
    assert "in +14:00." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--at", "noon"), "is no instant"),
        (("--topic", "portals"), "no topic of inputs"),
        (("--tz", "Mars"), "nobody knows the zone"),
        (("--tz", "Asia/Tokyo"), "nothing is read"),
        (("--state", ""), "names no file"),
        (("--schema", ""), "names no file"),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, capsys: Captured, words: tuple[str, str], complaint: str
) -> None:
    code, (error,) = said(capsys, written(tmp_path / "one.json", completion(1)), *words)
    assert code == 2
    assert complaint in error["what"]


def test_an_error_cannot_steer_the_terminal(capsys: Captured) -> None:
    assert cli.run(["validate", "e\x1b[31mvil\u202e\udcff"]) == 1
    assert "e\\x1b[31mvil\\u202e\\udcff cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["text", "json"])
def test_an_output_that_is_full_is_told(tmp_path: Path, output: str) -> None:
    file = written(tmp_path / "one.json", completion(1))
    program = [sys.executable, "-m", "pipeline.cli.main", "validate", file, "-o", output]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            program, check=False, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: the output cannot be written\n")
    assert "Traceback" not in ran.stderr and "ignored" not in ran.stderr


def test_an_output_that_is_closed_is_told(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "one.json", completion(1))
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", None)
        assert cli.run(["validate", file, *AT]) == 1
    assert "stdout is closed" in capsys.readouterr().err


def test_who_has_read_enough_is_told_nothing(tmp_path: Path) -> None:
    file = written(tmp_path / "one.json", completion(1))
    program = [sys.executable, "-m", "pipeline.cli.main", "validate", file]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 1
