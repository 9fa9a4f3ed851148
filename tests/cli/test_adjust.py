"""What `awaway adjust` prints, and what it refuses before it asks a server."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli import main as cli
from pipeline.cli.adjust_shown import effect_of, render
from pipeline.core.records import Command, RecordCoordinates
from pipeline.ops.adjust.preview import preview
from pipeline.ops.adjust.send import Effect
from tests.core.scenes import DAY, NOW, TODAY, Event, Log, claim, completion, credit, withdraw

BECAUSE = ("--reason", "the app was down", "--ticket", "T-7", "--yes", "-o", "json")


def shown(one: Command, *events: Event) -> str:
    """The preview of a command over what came before, as a person reads it."""
    log = Log().take_all((event, NOW) for event in events)
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        render(preview(log.state, one, log.world, NOW), console)
    return captured.get()


def test_a_person_reads_what_will_change() -> None:
    practised = [completion(n, NOW - n * DAY) for n in (3, 1)]
    text = shown(credit("r1", TODAY - 2), *practised)
    for line in (
        "credit for ana: will be applied",
        "  request   r1",
        "  by        lea",
        "  adds      2026-06-13",
        "  streak    1 day -> 3 days",
        "  lifetime  2 days -> 3 days",
        "  frame     1 (figure-1, lap 1) -> 3 (figure-3, lap 1)",
        "  keys      1 granted, 1 not claimed -> 2 granted, 2 not claimed",
        "  portal    Vesica Piscis, lap 1, reached on 2026-06-14",
        "            Field Key ",
    ):
        assert line in text


def test_a_person_reads_of_keys_notes_and_rejections() -> None:
    log = Log().take_all([(completion(0, NOW), NOW)])
    (key,) = log.state.granted
    there = completion(0, NOW)
    assert f"  claims    {key}\n" in shown(claim("r1", key), there)
    assert f"  returns   {key}\n" in shown(withdraw("r2", "r1"), there, claim("r1", key))
    assert "  note      no request r9 of this user" in shown(withdraw("r1", "r9"), there)
    refused = shown(credit("r\x1b1", TODAY), there)
    assert "would be rejected, so it is not sent" in refused
    assert "rejected  bad_request_id: " in refused and "\x1b" not in refused


def test_a_person_reads_what_became_of_it() -> None:
    console = Console(width=200, no_color=True)
    place = RecordCoordinates("awaway.commands", 1, 7)
    with console.capture() as captured:
        effect_of(Effect("r1", "ana", place, "applied", None, 4, (), 0.1, 0.126), console)
        effect_of(
            Effect("r2", "ana", place, "dead_letter", "date_too_early", 4, (), 0.1, 0.1), console
        )
    text = captured.get()
    assert "applied: revision 4, read back after 0.13 s" in text
    assert "rejected (date_too_early): revision 4" in text
    assert "awaway.commands[1]@7" in text


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("credit-day", "ana", "1.3.2026"), "'1.3.2026' is no date"),
        (("credit-day", "ana", "2026-03-01", "--actor", "eva"), "--actor"),
        (("withdraw", "an\udcffa", "r1"), "is no text"),
        (("amnesty", "users.csv", "--date", "yesterday"), "'yesterday' is no date"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    words: tuple[str, ...], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["adjust", *words, *BECAUSE]) == 2
    assert what in json.loads(capsys.readouterr().out)["what"]


def test_a_reason_and_a_ticket_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["adjust", "withdraw", "ana", "r1", "--reason", "x", "-o", "json"]) == 2
    assert "--ticket" in json.loads(capsys.readouterr().out)["what"]


def test_a_file_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("amnesty", str(tmp_path / "none.csv"), "--date", "2026-03-01")
    assert cli.run(["adjust", *words, *BECAUSE]) == 1
    assert "cannot be read" in json.loads(capsys.readouterr().out)["what"]
