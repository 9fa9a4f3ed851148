"""Reads the parameters of a URL's query string.

Owns: the parameters of the query string as values: numbers, dates, the reader's zone.
Does not own: which parameters a route has (users.py, live.py), what they mean to it.
Invariants: a bad value is answered with 400 and an example of a good one, never ignored; reading a
query string takes bounded time, whatever it holds.
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
"""Max characters of a zone's name; the longest real name has half as many."""

_SHOWN_CHARS: Final = 40
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LOST_PLUS: Final = re.compile(r" (?=[0-9])")


def query_of(raw: bytes, known: tuple[str, ...]) -> dict[str, str]:
    """Read the parameters of a query string.

    Args:
        known: the names of the parameters that the route has.

    Raises:
        ProblemError: 400, a parameter is unknown or repeated, or the query is not text.
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
    """Read a whole number.

    Raises:
        ProblemError: 400, it is not a whole number, or out of range.
    """
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not least <= int(text) <= most:
        raise _bad_query(f"{name} must be a whole number from {least} to {most}")
    return int(text)


def date_of_query(query: Mapping[str, str], name: str, default: LocalDate) -> LocalDate:
    """Read a local date.

    Raises:
        ProblemError: 400, it is not a date.
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
    """Read the zone in which the reader wants dates; None without `tz`.

    `+` is a space in a query, so `?tz=+02:00` arrives as ` 02:00`; no zone's name has a space
    before a digit, so such a space was a plus.

    Returns:
        The zone's canonical name.

    Raises:
        ProblemError: 400, there is no such zone.
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
