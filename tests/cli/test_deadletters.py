"""What `awaway deadletters` prints, and what it refuses before it asks a server."""

import json
from typing import Any

import pytest
from rich.console import Console

from pipeline.cli import main as cli
from pipeline.cli.deadletters_options import wanted_of
from pipeline.cli.deadletters_shown import (
    COLUMNS,
    Counts,
    render_letter,
    render_list,
    render_plan,
    render_results,
    row_of,
    shown_letter,
)
from pipeline.codec.inputs import InputDecoder
from pipeline.core.calendar import DAY_MS
from pipeline.core.records import Header
from pipeline.ops.deadletters.handled import OPEN, Handled, Told
from pipeline.ops.deadletters.letters import Wanted
from pipeline.ops.deadletters.plan import numbers_of, plan_redrive
from pipeline.ops.deadletters.send import Result
from tests.codec.samples import SCHEMAS
from tests.ops.test_deadletters import NOW, chosen, entry_about, letter, said, sent_about

DECODER = InputDecoder(SCHEMAS, lambda _: SCHEMAS["PracticeCompleted"].tree)


def printed(render: Any, *shown: Any) -> str:
    """What a person reads on a terminal of 80 columns."""
    console = Console(width=COLUMNS, no_color=True, soft_wrap=True)
    with console.capture() as captured:
        render(*shown, console)
    return captured.get()


def test_a_list_has_counts_by_reason_first_and_then_the_letters() -> None:
    letters = [letter(n) for n in range(3)] + [letter(9, stage="decode", reason="wrong_type")]
    states = [OPEN, Handled("redriven", "accepted"), Handled("discarded"), OPEN]
    counts = Counts()
    for one, its in zip(letters, states, strict=True):
        counts.add(one.record, its)
    rows = [row_of(one, its) for one, its in zip(letters, states, strict=True)]
    text = printed(render_list, counts, rows, 2)
    assert [line.split() for line in text.split("\n")[:3]] == [
        ["rejected", "for", "all", "open", "redriven", "discarded"],
        ["validate.too_late", "3", "1", "1", "1"],
        ["decode.wrong_type", "1", "1", "0", "0"],
    ]
    for line in (
        "3:0  validate.too_late",
        "  2026-03-01 06:30:00 UTC, ada: open",
        "  2026-03-01 06:30:00 UTC, ada: redriven: accepted",
        "2 records of the topic are no dead letters",
    ):
        assert line in text
    assert max(map(len, text.split("\n"))) <= COLUMNS
    assert printed(render_list, Counts(), [], 0) == "no dead letters\n"


def test_a_filter_that_nothing_fits_is_no_all_clear() -> None:
    def render(console: Console) -> None:
        render_list(Counts(), [], 0, console, is_filtered=True)

    assert "no dead letters fit the filters; a reason has to be spelled" in printed(render)


def test_a_traceback_is_shown_by_its_lines() -> None:
    one = letter(stage="fold", reason="KeyError", detail='KeyError: 3\n  File "fold.py", line 7')
    text = printed(render_letter, shown_letter(one, [], said(), DECODER))
    indent = " " * 13
    assert f'  why        KeyError: 3\n{indent}  File "fold.py", line 7\n' in text


def test_nothing_in_a_letter_steers_the_terminal() -> None:
    evil = "\x1b[2J\x07\u202e"
    one = letter(
        reason=evil,
        detail=evil,
        key=evil.encode(),
        value=evil.encode(),
        headers=(Header(evil, evil.encode()),),
    )
    counts = Counts()
    counts.add(one.record, OPEN)
    found = shown_letter(one, [], said(), DECODER)
    text = printed(render_list, counts, [row_of(one, OPEN)], 0) + printed(render_letter, found)
    assert not set(evil) & {"\x1b", "\x07", "\u202e"} & set(text)
    assert "\\x1b[2J" in text


def test_a_letter_is_shown_whole() -> None:
    one = letter(headers=(Header("traceparent", b"00-01"), Header("empty", None)))
    sent = sent_about(one, "redrive", 5)
    entry = entry_about(one.request_id("redrive"), 5, verdict="dead_letter", rejection="too_late")
    found = shown_letter(one, [Told(sent, entry), Told(sent)], said("exact"), DECODER)
    text = printed(render_letter, found)
    for line in (
        "3:17  validate.too_late",
        "  why        it came too late",
        "  input      awaway.completions[3]@7 c1",
        "  appended   2026-03-01T06:30:00.000Z",
        "  user       ada",
        "  header     traceparent: 00-01",
        "  header     empty: null",
        "  value      22 bytes, JSON",
        '      "completion_id": "c1"',
        "by local:eva: a schema was missing (O-17)",
        "dead_letter, too_late, awaway.commands[3]@5",
        "not processed yet, awaway.commands[3]@5",
        "  if it were redriven now:",
        "  verdict    exact",
    ):
        assert line in text
    assert max(map(len, text.split("\n"))) <= COLUMNS


def test_plans_and_results_are_told_in_numbers() -> None:
    letters = [letter(n) for n in range(3)]
    verdicts = [said(), said("exact"), said("dead_letter", "too_late")]
    numbers = numbers_of(plan_redrive(chosen(*letters), verdicts), 7)
    plan = printed(render_plan, "redrive", numbers, False)
    for words in (
        ["redrive:", "3", "dead", "letters"],
        ["to", "send", "2"],
        ["now", "accepted", "1"],
        ["would", "be", "rejected", "again:", "validate.too_late", "1"],
        ["not", "looked", "at", "7"],
        ["nothing", "was", "sent:", "add", "--yes,", "--reason", "and", "--ticket"],
    ):
        assert words in [line.split() for line in plan.split("\n")]
    results = {
        "a": Result("accepted"),
        "b": Result("dead_letter", "too_late"),
        "c": Result("not_read_back", why="no worker has processed it yet"),
        "d": Result("not_sent"),
    }
    done = printed(render_results, "redrive", numbers, results)
    for text in ("rejected again: too_late", "not read back", "not sent", "type the same again"):
        assert text in done
    empty = printed(render_plan, "redrive", numbers_of([], 0), True)
    assert "there is nothing to send" in empty


def test_instants_are_ages_dates_or_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.clock.now_ms", lambda: NOW)

    def since(text: str) -> int | None:
        return wanted_of(None, None, (text, None), None, None, (None, None)).since_ms

    assert since("2d") == NOW - 2 * DAY_MS
    assert since("12h") == NOW - DAY_MS // 2
    assert since("2026-03-01") == NOW // DAY_MS * DAY_MS
    assert since("2026-03-01T06:30:00Z") == NOW
    assert wanted_of(None, None, (None, None), None, None, (None, None)) == Wanted()


BECAUSE = ("--reason", "x", "--ticket", "T-1")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("show", "17"), "'17' is no place of a dead letter"),
        (("list", "--stage", "late"), "--stage: 'late' is none"),
        (("list", "--state", "lost"), "--state: 'lost' is none"),
        (("list", "--topic", "audit"), "'audit' is no topic of inputs"),
        (("list", "--since", "yesterday"), "--since: 'yesterday' is no instant"),
        (("list", "--until", "2026-13-01"), "--until: '2026-13-01' is no instant"),
        (("redrive", "3:17", "--stage", "decode"), "places and filters do not go together"),
        (("redrive", "--yes", *BECAUSE), "nothing says which letters"),
        (("discard", "--yes", *BECAUSE), "nothing says which letters"),
        (("redrive", "3:17", "--yes"), "there is no reason that can be kept"),
        (("discard", "--all", "--yes", "--reason", "x"), "there is no ticket that can be kept"),
        (("discard", "--all", "--yes", "--reason", "x", "--ticket", "T" * 400), "ticket"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    words: tuple[str, ...], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["deadletters", *words, "-o", "json"]) == 2
    assert what in json.loads(capsys.readouterr().out)["what"]
