"""What is shown during a run and after it, in eighty columns."""

import io
from collections import Counter

import pytest
from rich.console import Console

from pipeline.config import Settings
from pipeline.demo.comparing import Differences
from pipeline.demo.live import LiveView, line, panel
from pipeline.demo.planted import Planted
from pipeline.demo.summary import Result, render
from pipeline.demo.watching import Killing, View

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
    view = View(total=1_500_000, done=1_343_065, verdicts=VERDICTS, portals=123_456)
    view.lag, view.rate, view.kills = 156_935, 18_240.4, 3
    return view


def _result(differences: Differences) -> Result:
    planted = Planted(1_300_000, 40_000, VERDICTS, Counter({"noise": 3, "nested": 6}))
    return Result(
        users=50_000,
        days=30,
        seed=1,
        verdicts=VERDICTS,
        judged=VERDICTS,
        planted=planted,
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
        console="http://127.0.0.1:8090/console",
    )


@pytest.mark.parametrize("width", [80, 100])
def test_the_panel_fits_and_tells_everything(width: int) -> None:
    console = _console(width)
    console.print(panel(_view(), width))
    lines = _shown(console).splitlines()
    assert max(len(one) for one in lines) <= width
    text = " ".join(" ".join(lines).replace("│", " ").split())
    for told in ("1,343,065", "156,935", "18,240", "45,678", "543", "123,456", "18,800", "kills"):
        assert told in text


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
    assert "a month of practice" in _shown(console)


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
    told = result.as_dict()
    assert told["oracle"] == {"portals_missing": 1, "portals_extra": 0, "users_wrong": 0}
    assert told["differences"] == {"portals_missing": 1}
    assert told["duplicates"]["twin"] == 9_876


def test_the_moments_of_kills_are_seeded_and_before_the_end() -> None:
    first, again = Killing.planned(5, 1000, 3), Killing.planned(5, 1000, 3)
    assert first.after == again.after == sorted(first.after)
    assert Killing.planned(5, 1000, 4).after != first.after
    assert all(0 <= at < 1000 for at in first.after)
    assert Killing.planned(0, 1000, 3).after == []
