"""A user's calendar as a heat map.

Owns: the cell of each date, its name, which years are drawn.
Does not own: the kind of a date (core/reading.py), how a cell looks (static/console.css).
Invariant: a year has a column for each week and a row for each weekday, Monday first; the cells are
the dates of the year from the user's first date to today.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

import msgspec

from pipeline.api.reads.views import Day
from pipeline.core.reading import DayKind

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
LEVELS: Final = (7, 21, 51)
"""Days of a run from which on a cell is one shade deeper."""


OUTSIDE: Final = "outside"
"""Stands for a date of the year before the first date or after today."""


class Cell(msgspec.Struct, frozen=True):
    """One date.

    Attributes:
        name: the text for people who point at it or cannot see it.
        level: 0 if the date does not count, else 1 to 4 by its day of the run.
        portal: title of the portal that was reached on the date; empty without one.
    """

    date: date
    kind: DayKind
    name: str
    level: int
    portal: str
    is_today: bool


class Month(msgspec.Struct, frozen=True):
    """A month's name over its columns."""

    name: str
    columns: int


class Year(msgspec.Struct, frozen=True):
    """One year.

    Attributes:
        rows: one for each weekday; None where the year has no date.
        counts: number of dates by kind, without those on which nothing happened.
    """

    year: int
    months: Sequence[Month]
    rows: Sequence[tuple[str, Sequence[Cell | str | None]]]
    counts: Mapping[str, int]

    @property
    def summary(self) -> str:
        """Return the year in one sentence."""
        said = [f"{count} {kind}" for kind, count in self.counts.items()]
        return f"{self.year}: {', '.join(said)}" if said else f"{self.year}: nothing"


def spelled_date(day: date) -> str:
    """Write a date for people, the same everywhere."""
    return f"{WEEKDAYS[day.weekday()]} {day.day} {MONTHS[day.month - 1]} {day.year}"


def years_of(days: Sequence[Day], portals: Mapping[date, str], today: date) -> list[Year]:
    """Return the years of some days, the latest first.

    Args:
        days: consecutive dates, at least one.
        portals: titles of portals by the date on which each was reached.
    """
    by_date = {day.local_date: day for day in days}
    first, last = days[0].local_date.year, days[-1].local_date.year
    return [_year(year, by_date, portals, today) for year in range(last, first - 1, -1)]


def _year(year: int, days: Mapping[date, Day], portals: Mapping[date, str], today: date) -> Year:
    start = date(year, 1, 1)
    before = start.weekday()
    length = (date(year + 1, 1, 1) - start).days
    columns = (before + length - 1) // 7 + 1
    rows: list[list[Cell | str | None]] = [[None] * columns for _ in range(7)]
    counts = {kind.value: 0 for kind in DayKind if kind is not DayKind.NOTHING}
    first_columns: list[int] = []
    for number in range(length):
        at = start + timedelta(number)
        column, row = divmod(before + number, 7)
        if at.day == 1:
            first_columns.append(column)
        day = days.get(at)
        if day is None:
            rows[row][column] = OUTSIDE
            continue
        rows[row][column] = _cell(day, portals.get(at, ""), today)
        if day.kind is not DayKind.NOTHING:
            counts[day.kind.value] += 1
    edges = [*first_columns[1:], columns]
    months = [
        Month(name, end - begin)
        for name, begin, end in zip(MONTHS, first_columns, edges, strict=True)
    ]
    shown = {kind: count for kind, count in counts.items() if count}
    return Year(year, months, list(zip(WEEKDAYS, rows, strict=True)), shown)


def _cell(day: Day, portal: str, today: date) -> Cell:
    level = 1 + sum(day.day >= least for least in LEVELS) if day.counts else 0
    said = day.kind.value
    if day.counts:
        said += f", day {day.day} of its run"
    if portal:
        said += f", reached {portal}"
    is_today = day.local_date == today
    name = f"{spelled_date(day.local_date)}{' (today)' if is_today else ''}: {said}"
    return Cell(day.local_date, day.kind, name, level, portal, is_today)
