"""How clients name the zone that they are in.

Owns: the ways of naming a zone that clients are known to use, and the text of each.
Does not own: how such a name is understood (the pipeline, the oracle).
"""

from random import Random
from typing import Final, Literal

from pipeline.dev.workload.wire import offset_minutes, offset_text

ZoneNaming = Literal["iana", "offset", "gmt", "utc", "odd_case", "former", "unknown"]

FORMER: Final = {
    "America/Los_Angeles": ("US/Pacific-New", "SystemV/PST8PDT"),
    "America/New_York": ("SystemV/EST5EDT", "US/Eastern"),
    "Asia/Kolkata": ("Asia/Calcutta",),
    "Asia/Kathmandu": ("Asia/Katmandu",),
    "Africa/Cairo": ("Egypt",),
    "Asia/Tokyo": ("Asia/Ishigaki", "Japan"),
    "Europe/London": ("GB-Eire",),
}
"""Names that zones once had; some are in no database any more."""

UNKNOWN: Final = ("Etc/Unknown", "", "Middle/Earth", "\u200b")


def zone_text(naming: ZoneNaming, place: str, at_ms: int, rng: Random) -> str:
    """Return the name that a client with this `naming` gives to `place`, an IANA zone.

    Args:
        at_ms: the instant, for the names that are offsets; in ms since the epoch.
    """
    east = offset_minutes(at_ms, place)
    hours, minutes = divmod(abs(east), 60)
    sign = "-" if east < 0 else "+"
    match naming:
        case "offset":
            return rng.choice((offset_text(east), offset_text(east, "")))
        case "gmt":
            return f"GMT{sign}{hours}" + (f":{minutes:02d}" if minutes else "")
        case "utc":
            return f"UTC{offset_text(east)}".replace("-", rng.choice(("-", "\u2212")))
        case "odd_case":
            odd = (place.lower(), place.upper(), f" {place}", place.replace("_", " "))
            return rng.choice(odd)
        case "former":
            return rng.choice(FORMER.get(place, (place,)))
        case "unknown":
            return rng.choice(UNKNOWN)
    return place
