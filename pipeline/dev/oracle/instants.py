"""Texts that name an instant or a date.

Owns: RFC 3339 with the liberties that are taken: no seconds, short offsets, a leap second.
Does not own: where the texts come from (reading.py).
Invariant: nothing is guessed; a text without an offset names no instant.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from pipeline.dev.oracle.dates import EPOCH

_DATES: Final = (r"(?P<date>\d{4}-\d\d-\d\d)", r"(?P<date>\d{8})")
_TIMES: Final = (
    r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?",
    r"(?P<hour>\d\d)(?P<minute>\d\d)(?:(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?",
)
_FORMS: Final = [re.compile(f"{day}[Tt ]{time}", re.ASCII) for day in _DATES for time in _TIMES]
_OFFSET: Final = re.compile(
    r" ?(?:[Zz]|UTC|GMT|(?P<sign>[+-])(?P<hours>\d(?=:)|\d\d)(?::?(?P<minutes>\d\d))?)", re.ASCII
)
_IN_BRACKETS: Final = re.compile(r"(\[[^\[\]]*\])*$")
FIRST_MS: Final = (datetime(2, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
LAST_MS: Final = (datetime(9999, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1) - 1
"""The instants that are taken: of the years 2 to 9998."""

_FULL_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LEAP_SECOND: Final = 60


def instant_of(text: str) -> tuple[int, int]:
    """Return the instant that `text` names, in milliseconds, and its offset in minutes.

    Raises:
        ValueError: it names none.
    """
    found, offset = _parts(_IN_BRACKETS.sub("", text.strip(" \t\n\r"), count=1))
    hours, minutes = int(offset["hours"] or 0), int(offset["minutes"] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("there is no such offset")
    east = (hours * 60 + minutes) * (-1 if offset["sign"] == "-" else 1)
    second = int(found["second"] or 0)
    is_leap = second == _LEAP_SECOND
    on_the_wall = datetime.combine(
        date.fromisoformat(found["date"]),
        datetime.min.time().replace(
            int(found["hour"]), int(found["minute"]), 59 if is_leap else second
        ),
        UTC,
    )
    seconds = (on_the_wall - EPOCH - timedelta(minutes=east)) // timedelta(seconds=1)
    if not is_leap:
        return _within(seconds * 1_000 + int(f"{found['fraction'] or ''}000"[:3])), east
    if seconds % 86_400 != 86_399:
        raise ValueError("no leap second can be then")
    return _within(seconds * 1_000 + 999), east


def _parts(text: str) -> tuple[re.Match[str], re.Match[str]]:
    """Return the date and time of a text, and its offset."""
    for form in _FORMS:
        found = form.match(text)
        offset = found and _OFFSET.fullmatch(text, found.end())
        if found and offset:
            return found, offset
    raise ValueError("not in the form of RFC 3339")


def _within(instant_ms: int) -> int:
    if not FIRST_MS <= instant_ms <= LAST_MS:
        raise ValueError("no calendar of ours reaches so far")
    return instant_ms


def date_of(text: str) -> date:
    """Return the date that `text` names.

    Raises:
        ValueError: it names none.
    """
    if not _FULL_DATE.fullmatch(text):
        raise ValueError("not YYYY-MM-DD")
    return date.fromisoformat(text)
