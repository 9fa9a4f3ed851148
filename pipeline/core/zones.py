"""The zones that there are, and the zone that a name means.

Owns: the IANA zones (those of the pinned tzdata, not the machine's), offsets as zones, names that
once were zones, the spellings that are understood, the dates that a zone skipped altogether.
Does not own: which date an instant has (calendar.py), what becomes of a name that nobody knows
(completion.py).
Invariants: a name means the same zone wherever it comes from, whatever the spelling; the tables of
names that are kept are bounded, so neither paths nor a flood of inventions reach the disk.

A name is understood when it is, in this order,

1. a name of the tz database, letter by letter;
2. the same in other letters (`europe/berlin`), with spaces for underscores or around it, or with
   the prefixes under which Unix systems keep copies of the database (`posix/`, `right/`, `:`);
3. a name that was in the tz database once and is no link there today (`_FORMER`);
4. an offset: `+02:00`, `+0200`, `+2`, also after UTC, GMT or UT. East is plus, as people write it;
   `Etc/GMT-2` is a name of the tz database, where it is the other way round.

Offsets go from -12:00 to +14:00, as places do. One of whole hours has an IANA name, and is called
by it; others are called as they are written, `+05:30`.
"""

import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]

from pipeline.core.records import LocalDate
from pipeline.core.texts import WHITE_SPACE

TZDATA_VERSION: Final[str] = tzdata.IANA_VERSION
"""The IANA release that decides local dates, as every audit entry names it."""

LAST_ON_EARTH: Final = "Etc/GMT+12"
"""The zone in which a date ends last."""

OFFSET_MINUTES_MIN: Final = -12 * 60
OFFSET_MINUTES_MAX: Final = 14 * 60

_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
_SAMPLED_UNTIL_S: Final = 2_600_000_000
"""2052; offsets further ahead are only repetitions of the last rule."""

_SAMPLE_EVERY_S: Final = 180 * _DAY_S
_HOURS_MAX: Final = 4_096
_SPELLINGS_MAX: Final = 4_096
_SKIP_S_MIN: Final = 20 * _HOUR_S
"""A change of offset this large moves a place over the date line; daylight saving never comes
near."""

_PREFIX: Final = re.compile(r"(?::|posix/|right/)+")
_OFFSET: Final = re.compile(r"(?:utc|gmt|ut)? ?([+-])(\d\d?)(?::?(\d\d))?", re.ASCII)
_FORMER: Final = {
    "africa/lumumbashi": "Africa/Lubumbashi",
    "america/cranbrook": "America/Edmonton",
    "america/fcp_qroo": "America/Cancun",
    "argentina/buenos_aires": "America/Argentina/Buenos_Aires",
    "asia/aktau": "Asia/Aqtau",
    "asia/alma-ata": "Asia/Almaty",
    "asia/frunze": "Asia/Bishkek",
    "asia/hanoi": "Asia/Ho_Chi_Minh",
    "asia/ishigaki": "Asia/Tokyo",
    "asia/kashi": "Asia/Kashgar",
    "asia/north_nicosia": "Asia/Famagusta",
    **{
        f"{area}/riyadh{year}": "Asia/Riyadh"
        for area in ("asia", "mideast")
        for year in (87, 88, 89)
    },
    "asia/sverdlovsk": "Asia/Yekaterinburg",
    "asia/ulan_ude": "Asia/Irkutsk",
    "asia/wulumuqi": "Asia/Urumqi",
    "australia/broken-hill": "Australia/Broken_Hill",
    "brazil/central": "America/Manaus",
    "canada/east-saskatchewan": "America/Regina",
    "europe/geneva": "Europe/Zurich",
    "europe/kuybyshev": "Europe/Samara",
    "indian/alfred_faure": "Indian/Reunion",
    "mideast/riyadh": "Asia/Riyadh",
    "pacific/belau": "Pacific/Palau",
    "pacific/cocos": "Indian/Cocos",
    "systemv/ast4": "America/Puerto_Rico",
    "systemv/ast4adt": "America/Halifax",
    "systemv/cst6": "America/Regina",
    "systemv/cst6cdt": "America/Chicago",
    "systemv/est5": "America/Panama",  # its last link, Indianapolis, has daylight saving by now
    "systemv/est5edt": "America/New_York",
    "systemv/hst10": "Pacific/Honolulu",
    "systemv/mst7": "America/Phoenix",
    "systemv/mst7mdt": "America/Denver",
    "systemv/pst8": "Pacific/Pitcairn",
    "systemv/pst8pdt": "America/Los_Angeles",
    "systemv/yst9": "Pacific/Gambier",
    "systemv/yst9ydt": "America/Anchorage",
    "us/anchorage": "America/Anchorage",
    "us/hawaiian": "Pacific/Honolulu",
    "us/pacific-new": "America/Los_Angeles",
    "ut": "UTC",
    "z": "UTC",
}
"""Names in lower case that were a Zone or a Link in some version of the tz database's files and are
neither today, and what each became; without mistypings that the next version mended and names of no
place (`Central`). And two words for UTC."""


class Zone:
    """An IANA zone, or a fixed offset.

    Attributes:
        name: the IANA name where there is one, else the offset, as `+05:30`.
        info: its rules.
        skipped: dates since 1970 that never came in this zone, because it moved over the date line.
    """

    __slots__ = ("_fixed_s", "_steady", "info", "name", "skipped")

    def __init__(self, name: str, info: tzinfo) -> None:
        self.name = name
        self.info = info
        fixed = info.utcoffset(None)  # None where it depends on the instant
        self._fixed_s = None if fixed is None else int(fixed.total_seconds())
        self.skipped = frozenset(_skipped_dates(info) if fixed is None else ())
        self._steady: dict[int, int | None] = {}

    def offset_s(self, at_s: int) -> int:
        """Return how far the wall clock is ahead of UTC at a second since 1970.

        Events come close together, so whole hours without a change are kept. An hour has one change
        at most, so that the same offset at both its ends means none.
        """
        if self._fixed_s is not None:
            return self._fixed_s
        hour = at_s // _HOUR_S
        try:
            offset = self._steady[hour]
        except KeyError:
            if len(self._steady) >= _HOURS_MAX:
                self._steady.clear()
            first = _offset_s(hour * _HOUR_S, self.info)
            last = _offset_s(hour * _HOUR_S + _HOUR_S - 1, self.info)
            offset = self._steady[hour] = first if first == last else None
        return _offset_s(at_s, self.info) if offset is None else offset


def _offset_s(at_s: int, info: tzinfo) -> int:
    offset = datetime.fromtimestamp(at_s, info).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def _skipped_dates(info: tzinfo) -> list[LocalDate]:
    """Return the dates that a jump of the offset by a day leaves out.

    Such a jump is for good, so samples half a year apart see it; halving then finds its second.
    """
    skipped: list[LocalDate] = []
    before_s, before = 0, _offset_s(0, info)
    for at_s in range(_SAMPLE_EVERY_S, _SAMPLED_UNTIL_S, _SAMPLE_EVERY_S):
        offset = _offset_s(at_s, info)
        if offset - before > _SKIP_S_MIN:
            low, high = before_s, at_s
            while high - low > 1:
                middle = (low + high) // 2
                if _offset_s(middle, info) - before > _SKIP_S_MIN:
                    high = middle
                else:
                    low = middle
            last_date = (low + _offset_s(low, info)) // _DAY_S
            next_date = (high + _offset_s(high, info)) // _DAY_S
            skipped.extend(range(last_date + 1, next_date))
        before_s, before = at_s, offset
    return skipped


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return every name of the tz database, in its exact spelling."""
    listed = resources.files(tzdata).joinpath("zones").read_text(encoding="ascii")
    return frozenset(listed.split()) - {"Factory"}


@lru_cache(maxsize=1)
def _by_lower_case() -> dict[str, str]:
    return _FORMER | {name.lower(): name for name in zone_names()}


_zones: Final[dict[str, Zone]] = {}
_spellings: Final[dict[str, Zone]] = {}


def zone_of(name: str) -> Zone | None:
    """Return the zone that is meant by a name; None when nobody knows it.

    Args:
        name: any text.
    """
    zone = _zones.get(name) or _spellings.get(name)
    if zone is None and name:
        zone = _named(name) if name in zone_names() else _spelled(name)
    return zone


def offset_zone(minutes: int) -> Zone | None:
    """Return an offset as a zone; None for one that no place has.

    Args:
        minutes: east of UTC.
    """
    if not OFFSET_MINUTES_MIN <= minutes <= OFFSET_MINUTES_MAX:
        return None
    hours, rest = divmod(abs(minutes), 60)
    if not rest:
        sign = "-" if minutes > 0 else "+"  # POSIX counts west of Greenwich
        return _named(f"Etc/GMT{sign}{hours}" if hours else "UTC")
    name = f"{'+' if minutes > 0 else '-'}{hours:02}:{rest:02}"
    zone = _zones.get(name)
    if zone is None:
        zone = _zones[name] = Zone(name, timezone(timedelta(minutes=minutes)))
    return zone


def _named(name: str) -> Zone:
    zone = _zones.get(name)
    if zone is None:
        path = resources.files(tzdata).joinpath("zoneinfo", *name.split("/"))
        with path.open("rb") as rules:
            zone = _zones[name] = Zone(name, ZoneInfo.from_file(rules, key=name))
    return zone


def _spelled(name: str) -> Zone | None:
    """Return the zone that is meant by another spelling, and keep it under that spelling."""
    plain = name.strip(WHITE_SPACE)
    if not plain.replace("\u2212", "-").isascii():
        return None
    plain = plain.lower()
    known = _by_lower_case().get(plain[_length_of_prefix(plain) :].replace(" ", "_"))
    zone = _offset(plain.replace("\u2212", "-")) if known is None else _named(known)
    if zone is not None:
        if len(_spellings) >= _SPELLINGS_MAX:
            _spellings.clear()
        _spellings[name] = zone
    return zone


def _length_of_prefix(plain: str) -> int:
    found = _PREFIX.match(plain)
    return 0 if found is None else found.end()


def _offset(plain: str) -> Zone | None:
    found = _OFFSET.fullmatch(plain)
    if found is None:
        return None
    sign, hours, minutes = found.groups()
    rest = int(minutes or 0)
    if rest > 59:
        return None
    total = int(hours) * 60 + rest
    return offset_zone(total if sign == "+" else -total)
