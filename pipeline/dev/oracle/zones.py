"""The zone that a text means.

Owns: the names that are known, in which spellings, and the name that each is known by from then on.
Does not own: clocks and dates (dates.py).
Invariant: the canonical name alone says which clock is meant; `clock_of` reads it.

The names that once were in the tz database come from its history: every `Zone` and `Link` of its
data files since 1986 that today's database lacks, without mistypings that the next release mended,
and without names of the 1980s that name no place (`Central`, `GMT+1`).
"""

import re
from dataclasses import dataclass
from datetime import timedelta, timezone, tzinfo
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from pipeline.dev.oracle.texts import WHITE_SPACE

FURTHEST_WEST = -12 * 60
FURTHEST_EAST = 14 * 60
"""Minutes east of UTC; no clock on earth shows more or less."""

LAST_ON_EARTH = "Etc/GMT+12"
"""Where a date is over last."""

FORMER_NAMES = {
    "Africa/Lumumbashi": "Africa/Lubumbashi",
    "America/Cranbrook": "America/Edmonton",
    "America/FCP_QRoo": "America/Cancun",
    "Argentina/Buenos_Aires": "America/Argentina/Buenos_Aires",
    "Asia/Aktau": "Asia/Aqtau",
    "Asia/Alma-Ata": "Asia/Almaty",
    "Asia/Frunze": "Asia/Bishkek",
    "Asia/Hanoi": "Asia/Ho_Chi_Minh",
    "Asia/Ishigaki": "Asia/Tokyo",
    "Asia/Kashi": "Asia/Kashgar",
    "Asia/North_Nicosia": "Asia/Famagusta",
    "Asia/Riyadh87": "Asia/Riyadh",
    "Asia/Riyadh88": "Asia/Riyadh",
    "Asia/Riyadh89": "Asia/Riyadh",
    "Asia/Sverdlovsk": "Asia/Yekaterinburg",
    "Asia/Ulan_Ude": "Asia/Irkutsk",
    "Asia/Wulumuqi": "Asia/Urumqi",
    "Australia/Broken-Hill": "Australia/Broken_Hill",
    "Brazil/Central": "America/Manaus",
    "Canada/East-Saskatchewan": "America/Regina",
    "Europe/Geneva": "Europe/Zurich",
    "Europe/Kuybyshev": "Europe/Samara",
    "Indian/Alfred_Faure": "Indian/Reunion",
    "Mideast/Riyadh": "Asia/Riyadh",
    "Mideast/Riyadh87": "Asia/Riyadh",
    "Mideast/Riyadh88": "Asia/Riyadh",
    "Mideast/Riyadh89": "Asia/Riyadh",
    "Pacific/Belau": "Pacific/Palau",
    "Pacific/Cocos": "Indian/Cocos",
    "SystemV/AST4": "America/Puerto_Rico",
    "SystemV/AST4ADT": "America/Halifax",
    "SystemV/CST6": "America/Regina",
    "SystemV/CST6CDT": "America/Chicago",
    "SystemV/EST5": "America/Panama",  # Indianapolis, its last link, puts its clocks forward now
    "SystemV/EST5EDT": "America/New_York",
    "SystemV/HST10": "Pacific/Honolulu",
    "SystemV/MST7": "America/Phoenix",
    "SystemV/MST7MDT": "America/Denver",
    "SystemV/PST8": "Pacific/Pitcairn",
    "SystemV/PST8PDT": "America/Los_Angeles",
    "SystemV/YST9": "Pacific/Gambier",
    "SystemV/YST9YDT": "America/Anchorage",
    "US/Anchorage": "America/Anchorage",
    "US/Hawaiian": "Pacific/Honolulu",
    "US/Pacific-New": "America/Los_Angeles",
}

COPIES = (":", "posix/", "right/")
"""What stands before a name where a Unix system keeps copies of the database, or in its `TZ`."""

_OFFSET = re.compile(
    r"(?:UTC|GMT|UT)?[ ]?(?P<sign>[+\-\u2212])(?P<hours>[0-9]{1,2})(?::?(?P<minutes>[0-9]{2}))?",
    re.IGNORECASE | re.ASCII,
)
_PLAIN_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)
_EDGES = re.compile(f"^[{WHITE_SPACE}]+|[{WHITE_SPACE}]+$")


@dataclass(frozen=True, slots=True)
class Named:
    """A zone that is known.

    Attributes:
        tz: its canonical name.
        assumed: nobody knows the name; an offset stands in for it.
    """

    tz: str
    assumed: bool = False


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the name of every place that the pinned tzdata knows; `Factory` is none."""
    names = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    return frozenset(names) - {"Factory"}


@lru_cache(maxsize=1)
def _folded_names() -> dict[str, str]:
    """Every known name as it is meant, by its spelling in lower case with underscores."""
    known = {name.lower(): name for name in zone_names()}
    return {name.lower(): now for name, now in FORMER_NAMES.items()} | known


def named(tz: str) -> str | None:
    """Return the canonical name of the zone that `tz` names; None when nobody knows it."""
    if tz in zone_names():
        return tz
    bare = _EDGES.sub("", tz)
    if bare.isascii():
        inner = bare.lower()
        while inner.startswith(COPIES):
            inner = inner.removeprefix(next(copy for copy in COPIES if inner.startswith(copy)))
        known = _folded_names().get(inner.replace(" ", "_"))
        if known is not None:
            return known
    if bare.lower() in ("z", "ut"):
        return "UTC"
    offset = _OFFSET.fullmatch(bare)
    if offset is None:
        return None
    minutes = int(offset["minutes"] or 0)
    if minutes > 59:
        return None
    east = int(offset["hours"]) * 60 + minutes
    return name_of_offset(east if offset["sign"] == "+" else -east)


def name_of_offset(minutes_east: int) -> str | None:
    """Return the canonical name of an offset; None for one that no place on earth has."""
    if not FURTHEST_WEST <= minutes_east <= FURTHEST_EAST:
        return None
    if minutes_east == 0:
        return "UTC"
    hours, minutes = divmod(abs(minutes_east), 60)
    if minutes:
        return f"{'+' if minutes_east > 0 else '-'}{hours:02d}:{minutes:02d}"
    # The signs of these names are the other way round.
    return f"Etc/GMT{'-' if minutes_east > 0 else '+'}{hours}"


def resolve(tz: str, offset_minutes: int | None) -> Named | None:
    """Return the zone that a completion means.

    Args:
        tz: as the client named it.
        offset_minutes: that its end was written with; None without one.

    Returns:
        None when nobody knows the zone and there is no offset that can stand in for it.
    """
    known = named(tz)
    if known is not None:
        return Named(known)
    stand_in = None if offset_minutes is None else name_of_offset(offset_minutes)
    return None if stand_in is None else Named(stand_in, assumed=True)


@lru_cache(maxsize=1024)
def clock_of(tz: str) -> tzinfo:
    """Return the clock of a canonical name, as tzdata (not the machine) has it."""
    offset = _PLAIN_OFFSET.fullmatch(tz)
    if offset:
        east = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(east if offset[1] == "+" else -east)
    with resources.files("tzdata").joinpath("zoneinfo", *tz.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=tz)
