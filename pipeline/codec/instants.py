"""RFC 3339 to milliseconds.

Owns: which texts are instants, and which millisecond each one is.
Does not own: what an instant may be in relation to another (core).
Invariant: integer arithmetic only; a fraction finer than a millisecond is rounded down, to the
earlier millisecond. An instant always has an offset: one without it is refused, never guessed at.
A leap second (:60) is refused: it has no millisecond of its own. Years 2 to 9998 only, so that the
instant has a local date in every zone.

The text is cut into date, hours and minutes, seconds, and the rest; each piece is one look-up in a
bounded table, because three instants come with every event.
"""

import re
from datetime import date
from typing import Final

DAY_MS: Final = 86_400_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()

INSTANT_MIN: Final = (date(2, 1, 1).toordinal() - _EPOCH_ORDINAL) * DAY_MS
"""The earliest instant taken, 0002-01-01T00:00:00Z."""

INSTANT_MAX: Final = (date(9999, 1, 1).toordinal() - _EPOCH_ORDINAL) * DAY_MS - 1
"""The latest instant taken, the last millisecond of the year 9998."""

LOCAL_DATE_MIN: Final = INSTANT_MIN // DAY_MS
LOCAL_DATE_MAX: Final = INSTANT_MAX // DAY_MS

_DATES_MAX: Final = 8_192
_ENDINGS_MAX: Final = 16_384

_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt]", re.ASCII)
_NO_OFFSET: Final = re.compile(r"(\.\d+)?", re.ASCII)
_ENDING: Final = re.compile(r"(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII)


class NotAnInstantError(ValueError):
    """The text is not an RFC 3339 instant with an offset, or not one that is taken.

    **Operator action**: none; the record that holds it becomes a dead letter.
    """

    def __init__(self, detail: str, reason: str = "invalid_instant") -> None:
        super().__init__(detail)
        self.reason = reason


class _Dates(dict[str, int]):
    """`2026-03-01T` to the milliseconds of its midnight in UTC. Bounded."""

    def __missing__(self, text: str) -> int:
        found = _DATE.fullmatch(text)
        if found is None:
            raise NotAnInstantError("it does not begin with a date and T")
        year, month, day = map(int, found.groups())
        try:
            midnight = (date(year, month, day).toordinal() - _EPOCH_ORDINAL) * DAY_MS
        except ValueError as error:
            raise NotAnInstantError("there is no such date") from error
        if not INSTANT_MIN + DAY_MS <= midnight <= INSTANT_MAX - 2 * DAY_MS:
            raise NotAnInstantError("the year is not within 2 to 9998", "instant_out_of_range")
        if len(self) >= _DATES_MAX:
            self.clear()
        self[text] = midnight
        return midnight


class _Endings(dict[str, int]):
    """`.123+02:00` to the milliseconds that it adds. Bounded."""

    def __missing__(self, text: str) -> int:
        found = _ENDING.fullmatch(text)
        if found is None:
            raise NotAnInstantError(
                "it does not end with an offset (Z or +02:00)",
                "instant_without_offset" if _NO_OFFSET.fullmatch(text) else "invalid_instant",
            )
        fraction, sign, hours, minutes = found.groups()
        added = int((fraction or "0")[:3].ljust(3, "0"))
        if sign:
            offset = (int(hours) * 60 + int(minutes)) * 60_000
            added += offset if sign == "-" else -offset
        if len(self) >= _ENDINGS_MAX:
            self.clear()
        if len(text) <= len(".123456789+00:00"):
            self[text] = added
        return added


_dates: Final = _Dates()
_endings: Final = _Endings()
_MINUTES: Final = {
    f"{hour:02}:{minute:02}:": (hour * 60 + minute) * 60_000
    for hour in range(24)
    for minute in range(60)
}
_SECONDS: Final = {f"{second:02}": second * 1000 for second in range(60)}


def instant_ms(text: str) -> int:
    """The millisecond that a text names.

    Args:
        text: RFC 3339 with an offset, such as `2026-03-01T06:30:00.123+01:00`.

    Returns:
        Milliseconds since 1970-01-01T00:00:00Z, rounded down; INSTANT_MIN to INSTANT_MAX.

    Raises:
        NotAnInstantError: anything else.
    """
    try:
        return (
            _dates[text[:11]] + _MINUTES[text[11:17]] + _SECONDS[text[17:19]] + _endings[text[19:]]
        )
    except KeyError as error:
        raise NotAnInstantError("there is no such time of day") from error
