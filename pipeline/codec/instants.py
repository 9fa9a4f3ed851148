"""RFC 3339 to milliseconds.

Owns: which texts are instants, the millisecond that each one is, and the offset that it carries.
Does not own: what an instant may be in relation to another (core).
Invariant: integer arithmetic only; a fraction finer than a millisecond is rounded down, to the
earlier millisecond. An instant always has an offset: one without it is refused, never guessed at.
Years 2 to 9998 only, so that the instant has a local date in every zone.

Beside RFC 3339 these spellings are taken, because each means one instant: without seconds (Java's
`OffsetDateTime.toString` drops them when they are 0), an offset without colon or of hours alone, a
space for the T or before the offset, UTC or GMT for Z, neither hyphens nor colons (ISO 8601's basic
form), a zone in brackets at the end (RFC 9557; the offset decides), space around it.

A leap second (:60) is taken where there can be one, as the last minute of a day in UTC; it has no
millisecond of its own and becomes the last one of its minute, so that nothing after it comes before
it.

The text is cut into date, hours and minutes, seconds, and the rest; each piece is one look-up in a
bounded table, because three instants come with every event. A text that this does not fit is read
again by one expression, and where that does not fit either, piece by piece to say why.
"""

import re
from datetime import date
from typing import Final

DAY_MS: Final = 86_400_000
_MINUTE_MS: Final = 60_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()

INSTANT_MIN: Final = (date(2, 1, 1).toordinal() - _EPOCH_ORDINAL) * DAY_MS
"""The earliest instant that is taken, in ms since 1970: 0002-01-01T00:00:00Z."""

INSTANT_MAX: Final = (date(9999, 1, 1).toordinal() - _EPOCH_ORDINAL) * DAY_MS - 1
"""The latest instant that is taken, in ms since 1970: the last one of the year 9998."""

LOCAL_DATE_MIN: Final = INSTANT_MIN // DAY_MS
LOCAL_DATE_MAX: Final = INSTANT_MAX // DAY_MS

_DATES_MAX: Final = 8_192
_ENDINGS_MAX: Final = 16_384
_SPACE: Final = " \t\n\r"

_OFFSET: Final = r"(?:[Zz]|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)"
_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ]", re.ASCII)
_ENDING: Final = re.compile(rf"(?:\.(\d++))?{_OFFSET}", re.ASCII)
_SPELLED: Final = re.compile(
    r"(\d{4})(-?)(\d\d)\2(\d\d)[Tt ](\d\d)(:?)(\d\d)(?:\6(\d\d)((?:\.\d++)?))?"
    r" ?(?:UTC|GMT|[Zz]|([+-])(?:(\d)(?=:)|([01]\d|2[0-3]))(?::?([0-5]\d))?)(?:\[[^\[\]]*\])*",
    re.ASCII,
)


class NotAnInstantError(ValueError):
    """The text is not an RFC 3339 instant with an offset, or not one that is taken.

    **Operator action**: none; the record that holds it becomes a dead letter.
    """

    def __init__(self, detail: str, reason: str = "invalid_instant") -> None:
        super().__init__(detail)
        self.reason = reason


class _Dates(dict[str, int]):
    """Maps `2026-03-01T` to the milliseconds of its midnight in UTC. Bounded."""

    def __missing__(self, text: str) -> int:
        found = _DATE.fullmatch(text)
        if found is None:
            raise KeyError  # without the text, which can be long
        midnight = _midnight(*map(int, found.groups()))
        if not INSTANT_MIN + DAY_MS <= midnight <= INSTANT_MAX - 2 * DAY_MS:
            raise KeyError  # of so early or late a date the offset decides
        if len(self) >= _DATES_MAX:
            self.clear()
        self[text] = midnight
        return midnight


class _Endings(dict[str, int]):
    """Maps `.123+02:00` to the milliseconds that it adds. Bounded."""

    def __missing__(self, text: str) -> int:
        found = _ENDING.fullmatch(text)
        if found is None:
            raise KeyError  # without the text, which can be long
        fraction, sign, hours, minutes = found.groups()
        added = int((fraction or "0")[:3].ljust(3, "0"))
        if sign:
            east = (int(hours) * 60 + int(minutes or 0)) * _MINUTE_MS
            added += east if sign == "-" else -east
        if len(self) >= _ENDINGS_MAX:
            self.clear()
        if len(text) <= len(".123456789+00:00"):
            self[text] = added
        return added


_dates: Final = _Dates()
_endings: Final = _Endings()
_MINUTES: Final = {
    f"{hour:02}:{minute:02}:": (hour * 60 + minute) * _MINUTE_MS
    for hour in range(24)
    for minute in range(60)
}
_SECONDS: Final = {f"{second:02}": second * 1000 for second in range(60)}


def instant_ms(text: str) -> int:
    """Return the millisecond that a text names.

    Args:
        text: RFC 3339 with an offset, such as `2026-03-01T06:30:00.123+01:00`, or a spelling that
            the module names.

    Returns:
        Milliseconds since 1970-01-01T00:00:00Z, rounded down; INSTANT_MIN to INSTANT_MAX.

    Raises:
        NotAnInstantError: anything else; its text says what is wrong.
    """
    try:
        return (
            _dates[text[:11]] + _MINUTES[text[11:17]] + _SECONDS[text[17:19]] + _endings[text[19:]]
        )
    except KeyError:
        return _unusual(text)[0]


def instant_and_offset(text: str) -> tuple[int, int]:
    """Return the millisecond that a text names, and the offset that it carries.

    Args:
        text: as for `instant_ms`.

    Returns:
        Milliseconds since 1970-01-01T00:00:00Z, and minutes east of UTC, -1439 to 1439. `Z` and
        `-00:00` are 0, although RFC 3339 lets the latter mean that the offset is not known: it says
        nothing else that could be used.

    Raises:
        NotAnInstantError: as of `instant_ms`.
    """
    try:
        added = _endings[text[19:]]
        # A fraction is less than a minute, so that the rest of the whole minutes is the offset.
        return (
            _dates[text[:11]] + _MINUTES[text[11:17]] + _SECONDS[text[17:19]] + added,
            -(added // _MINUTE_MS),
        )
    except KeyError:
        return _unusual(text)


def _midnight(year: int, month: int, day: int) -> int:
    try:
        return (date(year, month, day).toordinal() - _EPOCH_ORDINAL) * DAY_MS
    except ValueError as error:
        raise NotAnInstantError("there is no such date") from error


def _unusual(text: str) -> tuple[int, int]:
    """Return what `instant_and_offset` does, for a text that is not in the tables."""
    found = _SPELLED.fullmatch(text.strip(_SPACE))
    if found is None:
        raise _why_not(text)
    year, _, month, day, hour, _, minute, second, fraction, sign, *east = found.groups()
    midnight = _midnight(int(year), int(month), int(day))
    if hour >= "24":
        raise NotAnInstantError(f"its hour is {hour}; the last one is 23, and midnight is 00:00")
    if minute >= "60":
        raise NotAnInstantError(f"its minute is {minute}; the last one is 59")
    offset_minutes = int(east[0] or east[1] or 0) * 60 + int(east[2] or 0)
    offset_minutes = -offset_minutes if sign == "-" else offset_minutes
    at_minute = midnight + _MINUTES[f"{hour}:{minute}:"] - offset_minutes * _MINUTE_MS
    fraction_ms = int((fraction or ".0")[1:4].ljust(3, "0"))
    within_minute = _within_minute(second or "00", fraction_ms, at_minute)
    instant = at_minute + within_minute
    if not INSTANT_MIN <= instant <= INSTANT_MAX:
        raise NotAnInstantError("its year in UTC is not one of 2 to 9998", "instant_out_of_range")
    return instant, offset_minutes


def _within_minute(second: str, fraction_ms: int, at_minute: int) -> int:
    """Return milliseconds from the beginning of the minute, which is at `at_minute`."""
    if second < "60":
        return _SECONDS[second] + fraction_ms
    if second > "60":
        raise NotAnInstantError(f"its second is {second}; the last one is 59")
    if (at_minute + _MINUTE_MS) % DAY_MS:
        raise NotAnInstantError("its second is 60, and a leap second is only at 23:59:60 UTC")
    return _MINUTE_MS - 1


def _why_not(text: str) -> NotAnInstantError:
    """Return what is wrong with a text that does not have the form of an instant."""
    if _NO_OFFSET.fullmatch(text):
        return NotAnInstantError("it has no offset from UTC", "instant_without_offset")
    return NotAnInstantError(next(why for form, why in _MISTAKES if form.match(text)))


_TIME: Final = r".{10}[Tt ]\d\d:\d\d"
_NO_OFFSET: Final = re.compile(rf"\d{{4}}-\d\d-\d\d{_TIME[5:]}(:\d\d(\.\d++)?)?", re.ASCII)
_MISTAKES: Final = [
    (re.compile(form, re.ASCII), why)
    for form, why in (
        (r"\d{4}-?W", "it is a week date; a date is year, month and day"),
        (r"(?!\d{4}-\d\d-\d\d)", "it does not begin with a date such as 2026-03-01"),
        (rf"(?!{_TIME})", "after its date comes no time of day such as T06:30:00"),
        (rf"{_TIME}(:\d\d)?,", "its fraction begins with a comma; that is to be a full stop"),
        (rf"{_TIME}\.", "it has a fraction and no seconds"),
        (rf"{_TIME}(:\d\d(\.\d++)?)?\u2212", "its offset has U+2212 for a sign; that is to be -"),
        (
            rf"{_TIME}(:\d\d(\.\d++)?)?[+-]",
            "its offset is not of the form +02:00, +0200 or +02, or beyond 23:59",
        ),
        ("", "after its time of day comes something that is no offset (Z or +02:00)"),
    )
]
"""Forms of mistakes with their reasons; the first form that matches says what is wrong."""
