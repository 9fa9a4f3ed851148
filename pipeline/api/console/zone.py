"""The zone in which a page reads people.

Owns: the viewer's choice, as the address has it, and what a page says about it.
Does not own: which zones there are (core/zones.py), what today is in one (core/reading.py).
Invariants: the choice is in the address alone, so a link shows others what its sender saw; a page
always names the zone in which it reads, and complains about an unknown one.
"""

from datetime import date

import msgspec
from starlette.requests import Request

from pipeline.api.dependencies import Dependencies
from pipeline.api.http.problems import ProblemError
from pipeline.api.http.queries import tz_of_query
from pipeline.api.reads.views import UserNow
from pipeline.core.calendar import day_of
from pipeline.core.streak import today_of


class Choice(msgspec.Struct, frozen=True):
    """The viewer's choice of a zone.

    Attributes:
        tz: canonical name of the zone; None: each person is read in their own.
        given: the text that was typed, if it is no zone; else empty.
        complaint: why the text is no zone; else empty.
    """

    tz: str | None = None
    given: str = ""
    complaint: str = ""

    @property
    def status(self) -> int:
        """Return the HTTP status of the page."""
        return 400 if self.complaint else 200


class Own(msgspec.Struct, frozen=True):
    """A person's own zone, for a page that reads in another; `today` is the date there."""

    tz: str
    today: date


def choice_of(request: Request) -> Choice:
    """Read the choice from an address; an empty one, as forms send it, is no choice."""
    given = request.query_params.get("tz", "")
    if not given:
        return Choice()
    try:
        return Choice(tz_of_query({"tz": given}))
    except ProblemError:
        return Choice(None, given, "Nobody knows this zone. Try Asia/Tokyo, or +02:00.")


def own_of(deps: Dependencies, user: UserNow) -> Own | None:
    """Return a person's own zone if it is known and not the one in which the page reads."""
    record = user.record
    if not record.tz_known or record.tz == user.now.tz:
        return None
    return Own(record.tz, day_of(today_of(record.tz, deps.now_ms(), user.policy)))
