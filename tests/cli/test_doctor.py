"""What `awaway doctor` prints, and how it ends."""

import pytest

from pipeline.cli import main as cli
from pipeline.ops.doctor import run
from pipeline.ops.doctor.finding import Finding

FINE = Finding("brokers", "ok", "3 in cluster x")
HM = Finding("schemas", "warn", "a newer version " * 12, "nothing, or start the other release")
WRONG = Finding("topics", "fail", "awaway.portals is not there", "awaway topics apply")
UNSEEN = Finding("acls", "skipped", "no authorizer")


@pytest.mark.parametrize(
    ("found", "words", "code", "summary"),
    [
        ([FINE], [], 0, "1 ok"),
        ([FINE, UNSEEN], ["--strict"], 0, "1 ok, 1 skipped"),
        ([FINE, HM], [], 0, "1 ok, 1 warn"),
        ([FINE, HM], ["--strict"], 1, "1 ok, 1 warn"),
        ([FINE, HM, WRONG], [], 1, "1 ok, 1 warn, 1 fail"),
    ],
)
def test_the_exit_code_and_the_summary_follow_from_the_findings(
    found: list[Finding],
    words: list[str],
    code: int,
    summary: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run, "examine", lambda *_: found)
    assert cli.run(["doctor", *words]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == summary
    assert lines[0] == "ok      brokers       3 in cluster x"
    assert max(len(line) for line in lines) <= 80
    for one in found:
        assert not one.advice or any(f"-> {one.advice}" in line for line in lines)


def test_a_bound_that_makes_no_sense_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "--disk-free-mib", "-1"]) == 2
    assert "awaway doctor --help" in capsys.readouterr().err
