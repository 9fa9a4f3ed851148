"""The console's pages.

Owns: which address shows which page.
Does not own: what the pages show (the modules beside this one), who may see them (gate.py).
Invariants: every page is a GET that changes nothing, and only the forms of a correction and of dead
letters are a POST that may; a script asks for parts at the same address as the page that works
without scripts.
"""

from datetime import date, timedelta
from itertools import islice
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.api.console.adjusting import KIND_TEXTS, Adjusting
from pipeline.api.console.deadletters import FIELDS_MAX, DeadLetters
from pipeline.api.console.dependencies import ConsoleDependencies
from pipeline.api.console.explaining import Explainer
from pipeline.api.console.gate import Gate
from pipeline.api.console.health import health_of
from pipeline.api.console.history import TONES, TOPICS, Rows, rows_of
from pipeline.api.console.people import find, known, user_at_now
from pipeline.api.console.person import person_of
from pipeline.api.console.rebuilds import Rebuilds
from pipeline.api.console.rendering import AT, Pages
from pipeline.api.console.tail import Tail, filter_of, kinds_shown
from pipeline.api.console.zone import choice_of
from pipeline.api.http.auth import Principal
from pipeline.api.http.openapi import Answer, ApiRoute, Operation
from pipeline.api.http.paths import ID_FORM
from pipeline.api.http.problems import ProblemError
from pipeline.api.http.queries import date_of_query, number_of
from pipeline.api.reads.views import Frame, Progress
from pipeline.codec.errors import RegistryUnavailableError
from pipeline.core.calendar import date_of, day_of
from pipeline.core.texts import is_id
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.explain.records import Explanation

_HTML: Final = "text/html"
_EVENTS: Final = Operation(
    "tailEvents", "Follow everybody", "console", {200: Answer("Rows.", media="text/event-stream")}
)
_HOME: Final = Operation("home", "To the console", "console", {303: Answer("Elsewhere.", media="")})
_AGAIN: Final = {"Retry-After": "2"}
LATELY: Final = 6
"""Max people who practised last that are shown."""

LATELY_ENTRIES: Final = 500
"""Audit entries in which they are looked for."""

DATE_MIN: Final = date_of(date(1, 1, 9))
"""An explanation is of a later date than this."""

DATE_MAX: Final = date_of(date(9999, 12, 1))
"""An explanation is of an earlier date than this."""


def console_routes(deps: ConsoleDependencies) -> list[ApiRoute]:
    """Return the routes of all pages, and of the files and streams that they use."""
    pages = Pages(deps.settings.topic_prefix, deps.now_ms)
    gate = Gate(deps, pages)
    adjusting = Adjusting(deps, pages, gate)
    shown = Console(deps, pages, adjusting)
    letters = DeadLetters(deps, pages, gate)

    async def static(request: Request) -> Response:
        known = pages.static.get(request.path_params["name"])
        if known is None or known.address != request.url.path:
            raise ProblemError(404, "no-such-file", "No such file", "load the page again")
        return known.response()

    def page(path: str, name: str, answer: object, method: str = "GET") -> ApiRoute:
        operation = Operation(name, name, "console", {200: Answer("A page.", media=_HTML)})
        return ApiRoute(f"{AT}{path}", answer, operation, method=method, hidden=True)  # type: ignore[arg-type]

    async def home(_request: Request) -> Response:
        return RedirectResponse(AT, 303)

    return [
        page("", "people", gate.guarded(shown.people)),
        page("/user", "person", gate.guarded(shown.person)),
        page("/history", "history", gate.guarded(shown.history)),
        page("/adjust", "adjustPage", gate.guarded(adjusting.show, operate=True)),
        page("/adjust", "adjust", gate.guarded_form(adjusting.take), "POST"),
        page("/live", "live", gate.guarded(shown.live)),
        ApiRoute(f"{AT}/live/events", gate.guarded(shown.tail.events), _EVENTS, hidden=True),
        page("/health", "health", gate.guarded(shown.health)),
        page("/explain", "explain", gate.guarded(shown.explain)),
        page("/rebuilds", "rebuilds", gate.guarded(Rebuilds(deps, pages).show)),
        page("/dead-letters", "deadLetters", gate.guarded(letters.show)),
        page("/dead-letter", "deadLetter", gate.guarded(letters.one)),
        page(
            "/dead-letters",
            "dealWithDeadLetters",
            gate.guarded_form(letters.take, fields_max=FIELDS_MAX),
            "POST",
        ),
        page("/sign-in", "signInPage", gate.show_sign_in),
        page("/sign-in", "signIn", gate.sign_in, "POST"),
        page("/sign-out", "signOut", gate.sign_out, "POST"),
        page("/static/{digest}/{name}", "static", static),
        ApiRoute("/", home, _HOME, hidden=True),
    ]


class Console:
    """Answers with the pages."""

    def __init__(self, deps: ConsoleDependencies, pages: Pages, adjusting: Adjusting) -> None:
        self._deps = deps
        self._pages = pages
        self._adjusting = adjusting
        self.tail = Tail(deps)
        self._explainer = Explainer(deps)

    async def people(self, request: Request, principal: Principal) -> Response:
        """Answer with the search for people."""
        deps = self._deps
        wanted = request.query_params.get("q", "").strip()
        after = request.query_params.get("after", "")
        choice = choice_of(request)
        found = find(deps, wanted, after, tz=choice.tz)
        heading = f"Ids that begin with “{wanted}”" if wanted else "Everybody, by id"
        lately = [] if wanted or after else _lately(deps, choice.tz)
        part = "people_cards.html" if after else "people_found.html"
        return self._pages.render(
            part if "hx-request" in request.headers else "people.html",
            request,
            principal,
            choice.status,
            choice=choice,
            people=found.people,
            next_after=found.next_after,
            wanted=wanted,
            heading=heading,
            users=deps.source.store.users,
            note=_loading(deps),
            lately=lately,
        )

    async def person(self, request: Request, principal: Principal) -> Response:
        """Answer with one person's page."""
        deps = self._deps
        user_id = user_of(request, "id")
        query = {"until": request.query_params.get("until", "9999")}
        until_year = number_of(query, "until", 9999, 1, 9999)
        listed = {name: self._rows(user_id, name) for name in TOPICS}
        choice = choice_of(request)
        found = person_of(deps, user_id, until_year, choice.tz)
        if found is None:
            said = _loading(deps) or "Nothing was published about this id."
            return self._pages.render(
                "person_unknown.html",
                request,
                principal,
                404,
                choice=choice,
                user_id=user_id,
                said=said,
                history=listed,
            )
        return self._pages.render(
            "person.html",
            request,
            principal,
            choice.status,
            choice=choice,
            user_id=user_id,
            until=request.query_params.get("until"),
            person=found,
            history=listed,
            sheet=self._adjusting.sheet(request, principal, user_id),
            kinds=KIND_TEXTS,
        )

    async def history(self, request: Request, principal: Principal) -> Response:
        """Answer with more rows of a list on a person's page."""
        user_id = user_of(request, "user")
        name = request.query_params.get("name", "")
        if name not in TOPICS:
            raise ProblemError(
                404, "no-such-list", "No such list", f"there are {', '.join(TOPICS)}"
            )
        listed = self._rows(user_id, name, request.query_params.get("before", ""))
        template = "rows.html" if "hx-request" in request.headers else "history.html"
        return self._pages.render(
            template,
            request,
            principal,
            choice=choice_of(request),
            user_id=user_id,
            name=name,
            listed=listed,
        )

    async def live(self, request: Request, principal: Principal) -> Response:
        """Answer with the page of the live tail."""
        wanted = filter_of(request)
        after = self._deps.watch.end
        rows = self.tail.rows(wanted)
        query = f"?{wanted.query}&after={after}" if wanted.query else f"?after={after}"
        return self._pages.render(
            "live.html",
            request,
            principal,
            rows=rows,
            user=wanted.user,
            kinds=kinds_shown(wanted),
            events=f"{AT}/live/events{query}",
        )

    async def health(self, request: Request, principal: Principal) -> Response:
        """Answer with the page of figures and charts."""
        template = "health_part.html" if "hx-request" in request.headers else "health.html"
        return self._pages.render(template, request, principal, health=health_of(self._deps))

    async def explain(self, request: Request, principal: Principal) -> Response:
        """Answer with the page that explains why a day counts or not."""
        given = request.query_params.get("date", "")
        user_id = user_of(request, "user") if request.query_params.get("user") else ""
        day = self._day(given)
        found = await self._explained(user_id, day) if user_id else None
        return self._pages.render(
            "explain.html",
            request,
            principal,
            200 if found is None or found.stories or found.standing else 404,
            choice=choice_of(request),
            user=user_id,
            date=given,
            found=found,
            frame=self._frame(user_id, day),
            before=None if day is None else day - timedelta(1),
            after=None if day is None else day + timedelta(1),
            tones=TONES,
        )

    async def _explained(self, user_id: str, day: date | None) -> Explanation:
        try:
            return await self._explainer.explain(user_id, day)
        except (UnreadableLogError, RegistryUnavailableError) as error:
            raise ProblemError(
                503, "not-readable", "The log cannot be read", str(error), headers=_AGAIN
            ) from error

    def _frame(self, user_id: str, day: date | None) -> Frame | None:
        """Return the figure of a date."""
        held = self._deps.source.store.get(user_id) if user_id and day is not None else None
        if held is None or day is None:
            return None
        user = user_at_now(self._deps, held.value)
        number = date_of(day)
        page = self._deps.reads.views.geometry(user, number + 1, 1).snapshots
        return page[0] if page and page[0].local_date == day else None

    def _day(self, text: str) -> date | None:
        if not text:
            return None
        query = {"date": text}
        number = date_of_query(query, "date", 0)
        if not DATE_MIN < number < DATE_MAX:
            raise ProblemError(400, "bad-query", "Bad query", "the date is out of range")
        return day_of(number)

    def _rows(self, user_id: str, name: str, before: str = "") -> Rows:
        prefix = self._deps.settings.topic_prefix
        return rows_of(self._deps.outcomes, prefix, user_id, name, before)


def user_of(request: Request, name: str) -> str:
    """Read the user id of a query.

    Raises:
        ProblemError: 400, there is none, or it is invalid.
    """
    user_id = request.query_params.get(name, "")
    if not is_id(user_id):
        raise ProblemError(
            400,
            "bad-user-id",
            "Not a user id",
            f"a user id has {ID_FORM}",
        )
    return user_id


def _lately(deps: ConsoleDependencies, tz: str | None) -> list[Progress]:
    """Return the people who practised last."""
    return known(deps, islice(deps.watch.people(), LATELY_ENTRIES), LATELY, tz)


def _loading(deps: ConsoleDependencies) -> str:
    if deps.source.is_loaded:
        return ""
    if deps.source.is_usable:
        return "The store is from an earlier run and is being brought up to date."
    return "The store is still loading; not everybody is in it yet."
