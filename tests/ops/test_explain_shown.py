"""How an explanation is printed for a person."""

import io
from datetime import date

import msgspec
import pytest
from rich.console import Console

from pipeline.cli.explain import render
from pipeline.core.enumerations import SENDABLE
from pipeline.core.records import RecordCoordinates
from pipeline.ops.explain.records import DayAnswer, Explanation, Standing, Story
from pipeline.ops.explain.words import COMMAND_TEXTS

DAY = date(2026, 11, 20)
POLICY = "the day starts at 04:00"


def _story(version: str) -> Story:
    return Story(
        place=RecordCoordinates("completions", 0, 7),
        id="c-1",
        role="about",
        append_time=0,
        form="json",
        sent={},
        action="complete",
        verdict="accepted",
        reason="It counts.",
        counts_for=DAY,
        policy_version=version,
        policy=f"{POLICY} by {version}",
        revision=1,
        repeats=None,
        told=(),
    )


def _standing(streak_days: int) -> Standing:
    return Standing(
        place=RecordCoordinates("progress", 0, 1),
        revision=1,
        generation="g1",
        updated_at=0,
        today=DAY,
        tz="UTC",
        tz_known=True,
        streak_days=streak_days,
        longest_days=3,
        lifetime_days=9,
        safe_until=None,
        last_date=None,
        policy_version="1",
    )


FOUND = Explanation(
    user_id="ada",
    date=DAY,
    partition=0,
    partitions=1,
    standing=None,
    day=None,
    stories=(),
    left_out=0,
    looked=(),
    hints=(),
)


def _shown(found: Explanation) -> str:
    file = io.StringIO()
    render(found, Console(file=file, width=80))
    return file.getvalue()


def test_a_policy_is_printed_once_for_all_the_stories_that_it_is_the_same_for() -> None:
    one = _shown(msgspec.structs.replace(FOUND, stories=(_story("1"),) * 10))
    assert one.count(POLICY) == one.count("policy ") == 1
    two = _shown(msgspec.structs.replace(FOUND, stories=(_story("1"), _story("2"), _story("2"))))
    assert two.count("  policy    2\n") == 2
    assert two.count(f"{POLICY} by 1") == two.count(f"{POLICY} by 2") == 1
    assert POLICY not in _shown(FOUND)


@pytest.mark.parametrize(("days", "said"), [(0, "0 days"), (1, "1 day"), (2, "2 days")])
def test_days_in_a_row_have_the_right_number(days: int, said: str) -> None:
    assert f"Now: {said} in a row;" in _shown(
        msgspec.structs.replace(FOUND, standing=_standing(days))
    )


def test_a_date_without_anything_is_said_in_words() -> None:
    day = DayAnswer(DAY, "nothing", False, "No input is for it.", None, 0)
    shown = _shown(msgspec.structs.replace(FOUND, day=day))
    assert "2026-11-20 does not count: there is nothing for it\n" in shown


def test_every_kind_of_command_that_is_carried_out_is_explained() -> None:
    assert set(COMMAND_TEXTS) == set(SENDABLE)
