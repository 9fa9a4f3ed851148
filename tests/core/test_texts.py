"""What may be an id, a practice or a note: by code points, and the same on every Python."""

import unicodedata
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.texts import (
    ID_CHARS_MAX,
    NOTE_CHARS_MAX,
    PRACTICE_CHARS_MAX,
    WHITE_SPACE,
    is_blank,
    is_id,
    is_note,
    is_practice,
)
from tests.core.scenes import NOW, Log, completion, reason_of


def spread(*ranges: tuple[int, int]) -> set[int]:
    return {code for first, last in ranges for code in range(first, last + 1)}


CONTROLS: Final = spread((0x00, 0x1F), (0x7F, 0x9F))
SURROGATES: Final = spread((0xD800, 0xDFFF))
BIDI: Final = spread((0x202A, 0x202E), (0x2066, 0x2069))
LINES: Final = {0x2028, 0x2029}
SPACES: Final = spread((0x09, 0x0D), (0x2000, 0x200A), (0x2028, 0x2029)) | {
    *(0x20, 0x85, 0xA0, 0x1680, 0x202F, 0x205F, 0x3000)
}
INVISIBLE: Final = spread(
    *((0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E)),
    *((0x2060, 0x206F), (0xFE00, 0xFE0F), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3)),
    *((0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
) | {0xAD, 0x34F, 0x61C, 0x2800, 0x3164, 0xFEFF, 0xFFA0}


BLANK: Final = SPACES | INVISIBLE
NOT_IN_ID: Final = CONTROLS | SURROGATES | BIDI | LINES
NOT_IN_PRACTICE: Final = CONTROLS | SURROGATES


CODES: Final = sorted(
    {*range(0x20000), *range(0xDFF00, 0xE1100), *range(0x20000, 0x110000, 97), 0x10FFFF}
)
"""Where anything is listed, every code point; elsewhere one in 97."""


def codes_of(holds: Callable[[str], bool], before: str = "", after: str = "") -> set[int]:
    """Return the code points with which a text is refused."""
    return {code for code in CODES if not holds(f"{before}{chr(code)}{after}")}


def test_every_code_point_by_itself() -> None:
    assert codes_of(lambda text: not is_blank(text)) == BLANK
    assert codes_of(is_id) == BLANK | NOT_IN_ID
    assert codes_of(is_practice) == BLANK | NOT_IN_PRACTICE
    assert codes_of(is_note) == SURROGATES


def test_every_code_point_inside_a_word() -> None:
    """What is blank by itself is part of a word."""
    assert codes_of(is_id, "a", "b") == NOT_IN_ID
    assert codes_of(is_practice, "a", "b") == NOT_IN_PRACTICE


def test_white_space_is_unicodes() -> None:
    assert {ord(char) for char in WHITE_SPACE} == SPACES
    assert len(WHITE_SPACE) == len(SPACES) == 25
    # Python counts the four information separators in; they are controls.
    assert {char for char in map(chr, range(0x110000)) if char.isspace()} - set(WHITE_SPACE) == {
        *"\x1c\x1d\x1e\x1f"
    }


@pytest.mark.parametrize(
    "practice",
    [
        "breath",
        "Atem holen, 20 Minuten",
        "\u062a\u0645\u0631\u06a9\u0632 \u0646\u06cc\u0645\u200c\u0631\u0648\u0632",  # Persian
        "\u0915\u094d\u200d\u0937 \u0927\u094d\u092f\u093e\u0928",  # Hindi, with a joiner
        "\u05e0\u05e9\u05d9\u05de\u05d4",
        "\u5750\u7985\u3000\u671d",  # an ideographic space
        "20\xa0min",
        "marche\u202f: lente",
        "\U0001f469\u200d\U0001f9b2 alone",  # joined emoji
        "\U0001fae8 shake",  # Unicode 15.0
        "\U0001f642\u200d\u2194\ufe0f no",  # Unicode 15.1
        "\U00031350 kanji",  # extension H, Unicode 15.0
        "\U0001fadf splatter",  # Unicode 16.0
        "\U000323af later",  # unassigned in all of them
        "\u202eback\u202c",  # a direction is no danger in a name that nothing is decided by
        "two\u2028lines",
        "\ufeffmarked",
        "p" * PRACTICE_CHARS_MAX,
        "\U0001fae8" * PRACTICE_CHARS_MAX,
    ],
)
def test_a_practice_in_anybodys_language_counts(practice: str) -> None:
    assert is_practice(practice)
    log = Log()
    outcome = log.take(completion(1, NOW, practice=practice), NOW)
    assert outcome.verdict == "accepted"
    assert outcome.unlocks[0].practice == practice


@pytest.mark.parametrize(
    "practice",
    [
        "",
        " ",
        " \t ",
        "\xa0",
        "\u3000\u2003",
        "\u200b",
        "\u200c\u200d\ufeff",
        "\u2800",
        "\u3164",
        "\ufe0f",
        "\U000e0041",
        "a\x00",
        "a\nb",
        "a\x7f",
        "a\x85b",
        "breath \ud83e",
        "\udfff",
        "p" * (PRACTICE_CHARS_MAX + 1),
        "\u0646" * (PRACTICE_CHARS_MAX + 1),
    ],
)
def test_what_is_no_practice(practice: str) -> None:
    assert not is_practice(practice)
    outcome = Log().take(completion(1, NOW, practice=practice), NOW)
    assert reason_of(outcome) == "bad_practice"
    assert outcome.reason == "bad_practice"
    assert outcome.rejection is not None
    assert "1 to 64 characters" in outcome.rejection.detail
    outcome.rejection.detail.encode()


@pytest.mark.parametrize("letter", ["a", "\xe9", "\u0646", "\U0001fae8", "\U000323af"])
def test_lengths_are_counted_in_code_points(letter: str) -> None:
    assert is_id(letter * ID_CHARS_MAX) and not is_id(letter * (ID_CHARS_MAX + 1))
    assert is_practice(letter * 64) and not is_practice(letter * 65)
    assert is_note(letter * NOTE_CHARS_MAX) and not is_note(letter * (NOTE_CHARS_MAX + 1))
    assert (ID_CHARS_MAX, PRACTICE_CHARS_MAX, NOTE_CHARS_MAX) == (255, 64, 2_000)


@pytest.mark.parametrize("field", ["user_id", "completion_id", "session_id"])
@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "\xa0\u2003", "\u200b", "a\x1fb", "a\x9fb", "x\u202ey", "\u2066x\u2069"),
        *("a\u2028b", "a\u2029b", "a\ud800", "\ud83e\udee8", "a" * 256, "\u0646" * 256),
    ],
)
def test_what_is_no_id(field: str, text: str) -> None:
    assert not is_id(text)
    outcome = Log().take(completion(1, NOW, **{field: text}), NOW)
    assert reason_of(outcome) == f"bad_{field}"
    assert (outcome.user_id is None) == (field == "user_id")
    assert outcome.rejection is not None
    outcome.rejection.detail.encode()


@pytest.mark.parametrize(
    "text",
    [
        "auth0|5f7c8ec7c33c6c004bbafe82",
        "a b",
        "jos\xe9",
        "\u0646\u200c\u0631",
        "\U0001f469\u200d\U0001f9b2",
        "\U0001fae8",
        "a" * 255,
        ".",
        "..",
        "a/b#c?d%e+f",
    ],
)
def test_ids(text: str) -> None:
    assert is_id(text)
    fields = {"user_id": text, "completion_id": text, "session_id": text}
    outcome = Log(user_id=text).take(completion(1, NOW, **fields), NOW)
    assert (outcome.verdict, outcome.user_id) == ("accepted", text)


def test_nothing_is_normalised() -> None:
    composed, decomposed = "jos\xe9", "jose\u0301"
    assert unicodedata.normalize("NFC", decomposed) == composed
    log = Log()
    for text in (composed, decomposed, composed):
        log.take(completion(1, NOW, completion_id=text, session_id=text), NOW)
    assert log.verdicts == ["accepted", "overlap", "exact"]


@given(st.text(st.characters(), max_size=300))
def test_a_verdict_is_that_of_the_code_points(text: str) -> None:
    codes = {ord(char) for char in text}
    blank = codes <= BLANK
    assert is_blank(text) == blank
    assert is_id(text) == (len(text) <= 255 and not blank and not codes & NOT_IN_ID)
    assert is_practice(text) == (len(text) <= 64 and not blank and not codes & NOT_IN_PRACTICE)
