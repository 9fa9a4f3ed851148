"""What the oracle takes for a zone, and for a name."""

import pytest

from pipeline.dev.oracle.texts import is_blank, is_id, is_practice, without_surrogates
from pipeline.dev.oracle.zones import (
    FORMER_NAMES,
    Named,
    clock_of,
    name_of_offset,
    resolve,
    zone_names,
)


@pytest.mark.parametrize(
    ("tz", "known"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("Europe/Kiev", "Europe/Kiev"),
        ("europe/kiev", "Europe/Kiev"),
        ("\tEUROPE/berlin\u3000", "Europe/Berlin"),
        ("America/Port-au-prince", "America/Port-au-Prince"),
        ("america/new york", "America/New_York"),
        ("US/Pacific-New", "America/Los_Angeles"),
        ("systemv/ast4adt", "America/Halifax"),
        ("Mideast/Riyadh88", "Asia/Riyadh"),
        ("GMT+0", "GMT+0"),
        ("Etc/GMT+2", "Etc/GMT+2"),
        ("+02:00", "Etc/GMT-2"),
        ("+0200", "Etc/GMT-2"),
        ("+2", "Etc/GMT-2"),
        ("GMT+2", "Etc/GMT-2"),
        ("utc +02:00", "Etc/GMT-2"),
        ("UT\u22122", "Etc/GMT+2"),
        ("UTC-3:30", "-03:30"),
        ("+05:45", "+05:45"),
        ("-0030", "-00:30"),
        ("+00:00", "UTC"),
        ("Z", "UTC"),
        ("-12:00", "Etc/GMT+12"),
        ("+14", "Etc/GMT-14"),
    ],
)
def test_what_is_known(tz: str, known: str) -> None:
    assert resolve(tz, 60) == Named(known)
    assert clock_of(known) is not None


@pytest.mark.parametrize(
    "tz",
    [
        *("Etc/Unknown", "Factory", "factory", "Mars/Base", "", " ", "\u200b", "localtime"),
        *("+14:01", "-12:01", "+15", "+02:60", "+2:0", "UTC2", "UTC+ 2", "+020000"),
        *("../etc/passwd", "Europe/Berlin/", "\u212airov", "\u0664"),
    ],
)
def test_what_nobody_knows_falls_back_to_the_offset(tz: str) -> None:
    assert resolve(tz, None) is None
    assert resolve(tz, 345) == Named("+05:45", assumed=True)
    assert resolve(tz, 841) is resolve(tz, -721) is None


def test_the_names_of_offsets() -> None:
    assert [name_of_offset(minutes) for minutes in (0, 120, -120, 840, -90)] == [
        "UTC", "Etc/GMT-2", "Etc/GMT+2", "Etc/GMT-14", "-01:30",
    ]  # fmt: skip


def test_former_names_are_none_of_today_and_became_one_of_them() -> None:
    assert not FORMER_NAMES.keys() & zone_names()
    assert set(FORMER_NAMES.values()) <= zone_names()


@pytest.mark.parametrize(
    "text", ["a", "i" * 255, "josé", "jose\u0301", "\U0001fae8", "a\u200cb", " a", "\u0378", "."]
)
def test_what_can_be_an_id(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "\u2800",
        "\ufeff\u3164",
        "a\n",
        "a\x9f",
        "\ud83d",
        "a\u202eb",
        "a\u2028",
        "i" * 256,
    ],
)
def test_what_cannot(text: str | None) -> None:
    assert not is_id(text)


@pytest.mark.parametrize(
    ("text", "can_be"),
    [
        ("نفس\u200cگیری", True),
        ("\U0001f9d8\U0001f3fd\u200d\u2640\ufe0f", True),
        ("瞑想\u3000朝", True),
        ("a\u202eb\u2028", True),
        ("p" * 64, True),
        ("p" * 65, False),
        ("\u3000\u200d", False),
        ("", False),
        ("a\tb", False),
        ("a\ud83d", False),
    ],
)
def test_what_can_be_a_practice(text: str, *, can_be: bool) -> None:
    assert is_practice(text) is can_be


def test_half_a_character_is_replaced() -> None:
    assert without_surrogates("a\ud83d \ude00\U0001f600") == "a\ufffd \ufffd\U0001f600"
    assert is_blank("\u00ad \u2060\U000e0041") and not is_blank("\ufffd")
