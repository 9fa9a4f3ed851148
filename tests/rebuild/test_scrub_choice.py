"""Whom a scrub looks at, and what it leaves for the textfile collector."""

from pathlib import Path

import pytest

from pipeline.cli import main as cli
from pipeline.rebuild.published import Deviation
from pipeline.rebuild.scrub import Finding, Sampled, Scrubbed, write_metrics

USERS = [f"user-{number}".encode() for number in range(4_000)]


def test_a_sample_is_about_its_share_and_another_with_another_salt() -> None:
    first, again, other = (set(filter(Sampled(0.25, salt), USERS)) for salt in (b"a", b"a", b"b"))
    assert first == again
    assert 900 < len(first) < 1_100
    assert 200 < len(first & other) < 300


def test_a_whole_share_leaves_nobody_out() -> None:
    assert all(map(Sampled(1.0, b"a"), USERS))
    assert not any(map(Sampled(0.0, b"a"), USERS))


def test_metrics_are_written_whole_over_those_of_the_run_before(tmp_path: Path) -> None:
    path = tmp_path / "awaway.prom"
    path.write_text("of the run before")
    one = Finding("ada", 0, "progress", "published", (Deviation("dates", "a", "b"),), "fix")
    write_metrics(path, Scrubbed(7, 0, [one]), 1_700_000_000_500)
    values = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert values == [
        "awaway_scrub_users_checked 7",
        "awaway_scrub_users_differing 1",
        "awaway_scrub_last_run_timestamp_seconds 1700000000.5",
    ]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--user", "ada", "--sample", "5"], "--user takes one user alone"),
        (["--user", "ada", "--partition", "0"], "--user takes one user alone"),
        (["--metrics-file", "/nowhere/at/all.prom"], "there is no folder /nowhere/at"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_read(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["scrub", *words]) == 2
    assert said in capsys.readouterr().err
