"""What is shown during a run and after it, in eighty columns."""

import io
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from pipeline.cli.demo import called_as
from pipeline.dev.demo.comparing import Differences
from pipeline.dev.demo.live import LiveView, line, panel
from pipeline.dev.demo.summary import Result, kept_lines, render
from pipeline.dev.demo.watching import Killing, View
from pipeline.dev.workload.ground_truth import GroundTruth
from pipeline.settings.worker import Settings

VERDICTS = Counter(
    {"accepted": 1_234_567, "exact": 45_678, "twin": 9_876, "collision": 543, "overlap": 2_101}
    | {"dead_letter": 18_800, "applied": 31_000, "repeated": 1_500}
)


def _console(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)


def _shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _view() -> View:
    view = View(total=1_500_000, done=1_343_065, verdicts=VERDICTS, portals=123_456, days=20)
    view.lag, view.rate, view.kills = 156_935, 18_240.4, 3
    return view


def _result(differences: Differences) -> Result:
    truth = GroundTruth(1_300_000, 40_000, VERDICTS, Counter({"noise": 3, "nested": 6}))
    return Result(
        users=50_000,
        days=30,
        seed=1,
        verdicts=VERDICTS,
        judged=VERDICTS,
        ground_truth=truth,
        alerts=58_198,
        dead_letters=18_800,
        portals=123_456,
        assets=1_296,
        kills=3,
        differences=differences,
        page="/somewhere/figures.html",
        pipeline_s=71.3,
        seconds=102.9,
        settings=Settings(),
        console="http://127.0.0.1:39999/console",
    )


@pytest.mark.parametrize("width", [80, 100])
def test_the_panel_fits_and_tells_everything(width: int) -> None:
    console = _console(width)
    console.print(panel(_view(), width))
    lines = _shown(console).splitlines()
    assert max(len(one) for one in lines) <= width
    text = " ".join(" ".join(lines).replace("│", " ").split())
    for part in ("1,343,065", "156,935", "18,240", "45,678", "543", "123,456", "18,800", "kills"):
        assert part in text


def test_without_a_terminal_there_are_only_lines() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    live = LiveView(console)
    with live.open():
        live.show(_view())
        live.show(_view())
    assert _shown(console).splitlines() == [line(_view())]


def test_a_terminal_is_left_as_it_was() -> None:
    console = _console()
    with LiveView(console).open() as live:
        live.show(_view())
    assert "20 days of practice" in _shown(console)


def test_the_summary_fits_eighty_columns_and_says_when_it_is_exact() -> None:
    console = _console(100)
    render(_result(Differences()), console)
    lines = _shown(console).splitlines()
    assert max(len(one) for one in lines) <= 84
    assert "exact: every portal" in _shown(console)
    assert "✗" not in _shown(console)
    assert "killed 3 times" in _shown(console)


def test_the_summary_names_what_differs() -> None:
    differences = Differences()
    differences.note("portals_missing", "('ana', 0, 'bindu') was not told")
    result = _result(differences)
    console = _console()
    render(result, console)
    assert "not exact: 1 portals_missing" in _shown(console)
    assert "('ana', 0, 'bindu') was not told" in _shown(console)
    assert not result.right
    summary = result.as_dict()
    assert summary["oracle"] == {"portals_missing": 1, "portals_extra": 0, "users_wrong": 0}
    assert summary["differences"] == {"portals_missing": 1}
    assert summary["duplicates"]["twin"] == 9_876


def test_no_row_of_the_summary_looks_like_a_part_of_another() -> None:
    console = _console()
    render(_result(Differences()), console)
    rows = [one for one in _shown(console).splitlines() if one.startswith("│")]
    assert len(rows) == 9
    assert all(one[1] == " " and one[2] != " " for one in rows)


@pytest.mark.parametrize("address", ["http://127.0.0.1:39999/console", None])
def test_what_is_kept_can_be_pasted_into_a_shell(address: str | None) -> None:
    settings = Settings(
        bootstrap_servers="127.0.0.1:1",
        registry_url="http://127.0.0.1:2/apis/ccompat/v7",
        topic_prefix="demo-1-1795422222222.",
    )
    run = msgspec.structs.replace(
        _result(Differences()), settings=settings, console=address, telling="seeker-00142"
    )
    lines = kept_lines(run, ".venv/bin/awaway", ".local/demo/stack")
    for wanted in (
        "export AWAWAY_BOOTSTRAP_SERVERS=127.0.0.1:1",
        "export AWAWAY_REGISTRY_URL=http://127.0.0.1:2/apis/ccompat/v7",
        "export AWAWAY_TOPIC_PREFIX=demo-1-1795422222222.",
        ".venv/bin/awaway explain seeker-00142",
        ".venv/bin/awaway local down --root .local/demo/stack",
    ):
        assert f"  {wanted}" in lines
    assert max(map(len, lines)) <= 80
    assert ("  .venv/bin/awaway api" in lines) == (address is None)


@pytest.mark.parametrize(
    ("started", "called"),
    [
        (".venv/bin/awaway", ".venv/bin/awaway"),
        ("/opt/a b/awaway", "'/opt/a b/awaway'"),
        ("pipeline/cli/main.py", f"{sys.executable} -m pipeline.cli.main"),
    ],
)
def test_commands_are_printed_as_they_can_be_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, started: str, called: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [started, "demo"])
    assert called_as() == called
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "awaway"), "demo"])
    assert called_as() == "bin/awaway"


def test_the_moments_of_kills_are_seeded_and_before_the_end() -> None:
    first, again = Killing.planned(5, 1000, 3), Killing.planned(5, 1000, 3)
    assert first.after == again.after == sorted(first.after)
    assert Killing.planned(5, 1000, 4).after != first.after
    assert all(0 <= at < 1000 for at in first.after)
    assert Killing.planned(0, 1000, 3).after == []
