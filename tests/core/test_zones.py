"""What is meant by the name of a zone, in which spellings, and what nobody knows."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import zones
from pipeline.core.texts import WHITE_SPACE
from pipeline.core.zones import (
    LAST_ON_EARTH,
    OFFSET_MINUTES_MAX,
    OFFSET_MINUTES_MIN,
    Zone,
    offset_zone,
    zone_names,
    zone_of,
)
from tests.core.scenes import NOW, Log, at, completion, day, reason_of, zone

MINUS = "\u2212"


def name_of(text: str) -> str | None:
    found = zone_of(text)
    return None if found is None else found.name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        # Letter by letter, also where tzdata has another name for the same place.
        ("Europe/Berlin", "Europe/Berlin"),
        ("Europe/Kiev", "Europe/Kiev"),
        ("Europe/Kyiv", "Europe/Kyiv"),
        ("Asia/Calcutta", "Asia/Calcutta"),
        ("Asia/Rangoon", "Asia/Rangoon"),
        ("US/Pacific", "US/Pacific"),
        ("EST5EDT", "EST5EDT"),
        ("America/Coyhaique", "America/Coyhaique"),
        ("America/Argentina/ComodRivadavia", "America/Argentina/ComodRivadavia"),
        ("UTC", "UTC"),
        ("GMT0", "GMT0"),
        ("GMT+0", "GMT+0"),
        ("Etc/GMT-2", "Etc/GMT-2"),
        ("NZ-CHAT", "NZ-CHAT"),
        # In other letters, with spaces.
        ("europe/berlin", "Europe/Berlin"),
        ("EUROPE/KIEV", "Europe/Kiev"),
        (" Europe/Berlin", "Europe/Berlin"),
        ("Europe/Berlin\n", "Europe/Berlin"),
        ("\u3000Europe/Berlin\xa0", "Europe/Berlin"),
        ("America/New York", "America/New_York"),
        ("america/north dakota/new salem", "America/North_Dakota/New_Salem"),
        ("etc/gmt+2", "Etc/GMT+2"),
        ("gmt+0", "GMT+0"),
        ("utc", "UTC"),
        ("zulu", "Zulu"),
        ("cst6cdt", "CST6CDT"),
        # As Unix systems write it.
        (":Europe/Berlin", "Europe/Berlin"),
        ("posix/Europe/Berlin", "Europe/Berlin"),
        ("right/America/New_York", "America/New_York"),
        # Offsets as zones. East is plus; of whole hours the IANA name, where it is minus.
        ("+02:00", "Etc/GMT-2"),
        ("+0200", "Etc/GMT-2"),
        ("+02", "Etc/GMT-2"),
        ("+2", "Etc/GMT-2"),
        ("+2:00", "Etc/GMT-2"),
        ("GMT+2", "Etc/GMT-2"),
        ("GMT+02:00", "Etc/GMT-2"),
        ("GMT+0200", "Etc/GMT-2"),
        ("UTC+2", "Etc/GMT-2"),
        ("UTC+02:00", "Etc/GMT-2"),
        ("UTC +02:00", "Etc/GMT-2"),
        ("UT+2", "Etc/GMT-2"),
        ("utc+2", "Etc/GMT-2"),
        ("gmt +2", "Etc/GMT-2"),
        (" +02:00 ", "Etc/GMT-2"),
        ("-02:00", "Etc/GMT+2"),
        ("GMT-2", "Etc/GMT+2"),
        (f"{MINUS}02:00", "Etc/GMT+2"),
        (f"UTC{MINUS}3:30", "-03:30"),
        ("UTC-3:30", "-03:30"),
        ("+05:30", "+05:30"),
        ("+0530", "+05:30"),
        ("GMT+5:30", "+05:30"),
        ("-0030", "-00:30"),
        ("+12:45", "+12:45"),
        ("Z", "UTC"),
        ("z", "UTC"),
        ("UT", "UTC"),
        ("+00:00", "UTC"),
        ("-00:00", "UTC"),
        ("+0", "UTC"),
        ("UTC+0", "UTC"),
        ("-12:00", "Etc/GMT+12"),
        ("+14:00", "Etc/GMT-14"),
        ("+13:59", "+13:59"),
        # Names that once were.
        ("US/Pacific-New", "America/Los_Angeles"),
        ("us/pacific-new", "America/Los_Angeles"),
        ("Canada/East-Saskatchewan", "America/Regina"),
        ("Asia/Riyadh87", "Asia/Riyadh"),
        ("Mideast/Riyadh89", "Asia/Riyadh"),
        ("SystemV/EST5EDT", "America/New_York"),
        ("systemv/hst10", "Pacific/Honolulu"),
        ("Asia/Hanoi", "Asia/Ho_Chi_Minh"),
        ("Asia/Alma-Ata", "Asia/Almaty"),
    ],
)
def test_what_is_meant(text: str, name: str) -> None:
    found = zone_of(text)
    assert found is not None
    assert found.name == name
    assert zone_of(text) is found is zone_of(name)
    assert zone_of(found.name) is found  # what is kept of a user says the same later


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "\u200b", "Europe", "../UTC", "Europe/../UTC", "/etc/pw", "UTC\0", "zones"),
        *("tzdata.zi", "Factory", "factory", "CEST", "PST", "Etc/Unknown", "Mars/Olympus"),
        *("\xdcnited/Kingdom", "\ud800", "Europe/Berl\u0456n", "\u212aST", "Local", "null", "0"),
        *("A" * 1_000_000, "/" * 100_000, " " * 100_000, ":" * 100_000, "+" * 100_000),
        # Offsets that no place has, or that are not told apart from something else.
        *("+14:01", "+15:00", "-12:01", "-13", "+99:99", "+02:60", "+24", "GMT+14:30"),
        *("+20000", "2", "02:00", "+02:0", "+02:", "+", "GMT+", "+02:00:00", "+ 2"),
        *("UTC  +2", "UTC2", "GMT2", "++2", "+-2", "+2h", "Etc/GMT+2:30", "Etc/UTC+2", "CET+1"),
        *("+\u0662", "UTC\u20102", "posix/", "right/Factory", "Etc/GMT-15", "GMT+02:00[X]"),
    ],
)
def test_what_nobody_knows(text: str) -> None:
    kept = len(zones._zones), len(zones._spellings)
    assert zone_of(text) is None
    assert (len(zones._zones), len(zones._spellings)) == kept


def test_every_name_in_every_case_is_its_own_zone() -> None:
    for name in zone_names():
        found = zone_of(name)
        assert found is not None
        assert found.name == name
        for spelling in (name.lower(), name.upper(), name.replace("_", " "), f"\t{name} "):
            assert zone_of(spelling) is found
    assert len(zone_names()) > 500
    assert "Factory" not in zone_names()


def test_no_two_names_differ_by_case_alone() -> None:
    assert len({name.lower() for name in zone_names()}) == len(zone_names())


def test_former_names_are_no_names_today_and_became_some() -> None:
    today = {name.lower() for name in zone_names()}
    assert len(zones._FORMER) > 40
    for former, now in zones._FORMER.items():
        assert former == former.lower()
        assert former not in today
        assert now in zone_names()
        assert name_of(former) == name_of(former.upper()) == now


def test_what_systemv_said_of_daylight_saving_still_holds() -> None:
    """Its names say the standard offset west of Greenwich, and whether there is summer time."""
    for former, now in zones._FORMER.items():
        area, _, rule = former.partition("/")
        if area != "systemv":
            continue
        hours = int("".join(char for char in rule if char.isdigit()))
        january, july = (
            zone(now).offset_s(at(f"2026-{month}-15T12:00:00Z") // 1000) for month in ("01", "07")
        )
        assert january == -hours * 3_600
        assert july - january == (3_600 if rule[-3:].isalpha() else 0)


def test_every_offset_in_every_spelling() -> None:
    for minutes in range(OFFSET_MINUTES_MIN, OFFSET_MINUTES_MAX + 1):
        found = offset_zone(minutes)
        assert found is not None
        sign, hours, rest = "-" if minutes < 0 else "+", abs(minutes) // 60, abs(minutes) % 60
        spelled = {f"{sign}{hours:02}:{rest:02}", f"{sign}{hours}:{rest:02}"}
        spelled |= {f"{sign}{hours:02}{rest:02}"}
        spelled |= {f"{sign}{hours}", f"{sign}{hours:02}"} if rest == 0 else set()
        for offset in spelled:
            for prefix in ("", "UTC", "GMT", "UT", "utc ", "Gmt "):
                if prefix.upper() + offset in zone_names():
                    continue  # GMT+0 and GMT-0, which are the same
                assert zone_of(prefix + offset) is found
                assert zone_of(prefix + offset.replace("-", MINUS)) is found
        assert found.offset_s(NOW // 1000) == found.offset_s(-1) == minutes * 60
        moment = datetime(2026, 6, 15, tzinfo=found.info)
        assert moment.utcoffset() == timedelta(minutes=minutes)
        assert found.skipped == frozenset()
        if rest:
            assert found.name == f"{sign}{hours:02}:{rest:02}"
        else:
            assert found.name in zone_names()


@pytest.mark.parametrize("minutes", [-721, 841, -1_439, 1_439, 1 << 80, -(1 << 80)])
def test_offsets_that_no_place_has(minutes: int) -> None:
    assert offset_zone(minutes) is None


def test_a_fixed_offset_keeps_no_hours() -> None:
    """There may be 1,500 of them, each asked for any hour."""
    for name in ("+05:31", "Etc/GMT-2", "UTC", LAST_ON_EARTH):
        found = zone(name)
        for hour in range(5_000):
            found.offset_s(hour * 3_600)
        assert found._steady == {}


def test_the_spellings_that_are_kept_are_bounded() -> None:
    zones._spellings.clear()
    wanted = zone("Europe/Berlin")
    for n in range(2 * zones._SPELLINGS_MAX + 5):
        spelling = f"{' ' * (n % 100)}europe/berlin{chr(9) * (n // 100)}"
        assert zone_of(spelling) is wanted
        assert len(zones._spellings) <= zones._SPELLINGS_MAX
    assert 0 < len(zones._spellings) < 100


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(max_size=40),
        st.text(st.sampled_from("UTCGMZutcgmz+-\u22120123456789: /_"), max_size=9),
        st.text(st.characters(categories=["Cs", "Zs", "Nd", "Lu"]), max_size=9),
    )
)
def test_a_verdict_is_the_same_whatever_was_asked_before(text: str) -> None:
    first = name_of(text)
    zones._spellings.clear()
    assert name_of(text) == first == name_of(text)
    assert name_of(text.strip(WHITE_SPACE)) == first
    if first is not None:
        assert name_of(first) == first


def test_the_rules_of_the_pinned_database_decide() -> None:
    log = Log()
    # Kazakhstan is five hours ahead since that day: half past two, before the day's start.
    almaty, vancouver = at("2024-03-01T21:30:00Z"), at("2026-11-29T10:30:00Z")
    assert log.take(completion(1, almaty, "Asia/Almaty"), almaty).local_date == day("2024-03-01")
    # British Columbia stays seven hours behind, also in winter: half past three.
    outcome = log.take(completion(2, vancouver, "America/Vancouver"), vancouver)
    assert outcome.local_date == day("2026-11-29")


@pytest.mark.parametrize("tz", ["GMT+02:00", "GMT+0200", "UTC+2", "+02:00", "Etc/GMT-2", "utc +2"])
def test_a_practice_counts_in_whatever_spelling_of_an_offset(tz: str) -> None:
    log = Log()
    late = at("2026-06-15T01:30:00Z")  # half past three there, yesterday evening in UTC
    outcome = log.take(completion(1, late, tz), late)
    assert (outcome.verdict, outcome.local_date) == ("accepted", day("2026-06-15"))
    assert (outcome.tz, outcome.tz_assumed, outcome.alerts) == ("Etc/GMT-2", False, ())
    assert log.state.tz == outcome.unlocks[0].tz == log.progress().tz == "Etc/GMT-2"


@pytest.mark.parametrize(
    ("tz", "name"),
    [
        *(("Asia/Calcutta", "Asia/Calcutta"), ("Europe/Kiev", "Europe/Kiev")),
        *(("europe/kyiv", "Europe/Kyiv"), ("US/Pacific-New", "America/Los_Angeles")),
        *(("EST5EDT", "EST5EDT"), ("America/Coyhaique", "America/Coyhaique")),
    ],
)
def test_renamed_zones_count_and_are_called_as_tzdata_has_them(tz: str, name: str) -> None:
    log = Log()
    outcome = log.take(completion(1, NOW, tz), NOW)
    assert (outcome.verdict, outcome.tz, log.state.tz) == ("accepted", name, name)


def test_two_spellings_of_one_zone_are_no_difference() -> None:
    log = Log()
    for tz in ("Europe/Berlin", "europe/berlin", " Europe/Berlin ", ":Europe/Berlin"):
        log.take(completion(1, NOW, tz), NOW)
    assert log.verdicts == ["accepted", "exact", "exact", "exact"]
    assert [alert.differing_fields for o in log.outcomes for alert in o.alerts] == [(), (), ()]
    other = log.take(completion(1, NOW, "Europe/Paris"), NOW)
    assert other.alerts[0].differing_fields == ("tz",)


def test_a_text_that_cannot_be_a_zone_is_quoted_safely() -> None:
    outcome = Log().take(completion(1, NOW, "\ud800" * 1_000), NOW)
    assert reason_of(outcome) == "unknown_zone"
    assert outcome.rejection is not None
    outcome.rejection.detail.encode("ascii")
    assert "+02:00" in outcome.rejection.detail
    assert len(outcome.rejection.detail) < 400


def test_a_zone_is_compared_by_identity() -> None:
    assert isinstance(zone("UTC"), Zone)
    assert zone("UTC") is not zone("Etc/UTC")
