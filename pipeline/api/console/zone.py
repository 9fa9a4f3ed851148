"""In which zone a page reads people.

Owns: the viewer's choice, as the address has it, and what a page says of it.
Does not own: what is understood as a zone (core/zones.py), what today is in one (core/reading.py).
Invariants: the choice is in the address and nowhere else, so a link shows others what its sender
saw; a page always says in which zone it reads, and one that nobody knows is complained of, never
passed over.
"""

from datetime import date

import msgspec
from starlette.requests import Request

from pipeline.api.dependencies import Dependencies
from pipeline.api.http.problems import ProblemError
from pipeline.api.http.queries import tz_of_query
from pipeline.api.reads.views import UserNow, day_of
from pipeline.core.streak import today_of


class Choice(msgspec.Struct, frozen=True):
    """The viewer's.

    Attributes:
        tz: a zone's canonical name; None: each person is read in their own.
        given: as it was typed; empty where it is `tz` or nothing.
        complaint: why nobody knows what was typed; empty where that is not so.
    """

    tz: str | None = None
    given: str = ""
    complaint: str = ""

    @property
    def status(self) -> int:
        """Of a page that is shown in spite of it."""
        return 400 if self.complaint else 200


class Own(msgspec.Struct, frozen=True):
    """A person's own zone, for a page that reads in another; `today` is the date there."""

    tz: str
    today: date


def choice_of(request: Request) -> Choice:
    """The choice that an address holds; an empty one is none, as a form sends it."""
    given = request.query_params.get("tz", "")
    if not given:
        return Choice()
    try:
        return Choice(tz_of_query({"tz": given}))
    except ProblemError:
        return Choice(None, given, "Nobody knows this zone. Try Asia/Tokyo, or +02:00.")


def own_of(deps: Dependencies, user: UserNow) -> Own | None:
    """A person's own zone where it is known and another than the page reads in."""
    record = user.record
    if not record.tz_known or record.tz == user.now.tz:
        return None
    return Own(record.tz, day_of(today_of(record.tz, deps.now_ms(), user.policy)))
