"""What a query asks for.

Owns: the parameters of a query as values: numbers, dates, the reader's zone.
Does not own: which parameters a route has (users.py, live.py), what they mean to it.
Invariants: what is no value of its parameter is told as 400 with what would be one, and never
passed over in silence; whatever a query holds, looking at it is bounded.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Final
from urllib.parse import parse_qsl

from pipeline.api.http.problems import ProblemError
from pipeline.core.calendar import date_of
from pipeline.core.records import LocalDate
from pipeline.core.zones import zone_of

TZ_CHARS_MAX: Final = 64
"""Of a zone's name; the longest that there is has half as many."""

_SHOWN_CHARS: Final = 40
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LOST_PLUS: Final = re.compile(r" (?=[0-9])")


def query_of(raw: bytes, known: tuple[str, ...]) -> dict[str, str]:
    """The parameters of a query.

    Args:
        known: their names.

    Raises:
        ProblemError: 400, an unknown or repeated one, or no text.
    """
    if not raw:
        return {}
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32
        )
    except ValueError:
        raise _bad_query("the query is not text, or has too many parameters") from None
    for name, value in pairs:
        if name not in known:
            raise _bad_query(f"there is no parameter {name[:40]!r}; there are {', '.join(known)}")
        if name in found:
            raise _bad_query(f"{name} is given twice")
        found[name] = value
    return found


def number_of(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number of a query.

    Raises:
        ProblemError: 400, it is none, or is out of range.
    """
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not least <= int(text) <= most:
        raise _bad_query(f"{name} must be a whole number from {least} to {most}")
    return int(text)


def date_of_query(query: Mapping[str, str], name: str, default: LocalDate) -> LocalDate:
    """A local date of a query.

    Raises:
        ProblemError: 400, it is none.
    """
    text = query.get(name)
    if text is None:
        return default
    try:
        if _DATE.fullmatch(text):
            return date_of(date.fromisoformat(text))
    except ValueError:
        pass
    raise _bad_query(f"{name} must be a date such as 2026-03-01")


def tz_of_query(query: Mapping[str, str]) -> str | None:
    """The zone that the reader wants dates in, by its canonical name; None when it says nothing.

    `+` is a space in a query, so `?tz=+02:00` comes as ` 02:00`; no zone's name has a space before
    a digit, so such a space was a plus.

    Raises:
        ProblemError: 400, nobody knows it.
    """
    text = query.get("tz")
    if text is None:
        return None
    zone = zone_of(_LOST_PLUS.sub("+", text)) if len(text) <= TZ_CHARS_MAX else None
    if zone is None:
        shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
        raise _bad_query(
            f"nobody knows the zone {shown!r}; tz is a name of the time zone database, such as "
            "America/Los_Angeles (in a browser Intl.DateTimeFormat().resolvedOptions().timeZone "
            "has it), or an offset from -12:00 to +14:00, such as %2B02:00"
        )
    return zone.name


def _bad_query(detail: str) -> ProblemError:
    return ProblemError(400, "bad-query", "Bad query", detail)
