"""The console's pages.

Owns: which address shows which page.
Does not own: what is on them (the modules beside this one), who may see them (gate.py).
Invariants: every page is a GET that changes nothing; what a script asks for has the same address as
the page that works without scripts.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from pipeline.api.auth import Principal
from pipeline.api.console.gate import Gate
from pipeline.api.console.history import TOPICS, Rows, rows_of
from pipeline.api.console.people import find
from pipeline.api.console.person import person_of
from pipeline.api.console.rendering import AT, Pages
from pipeline.api.openapi import Answer, ApiRoute, Operation
from pipeline.api.parts import Parts
from pipeline.api.problems import ProblemError
from pipeline.core.rejection import ID_CHARS_MAX, is_id

_HTML: Final = "text/html"


def console_routes(parts: Parts) -> list[ApiRoute]:
    """Every page, and what pages need."""
    pages = Pages(parts.now_ms)
    gate = Gate(parts, pages)
    shown = Console(parts, pages)

    async def static(request: Request) -> Response:
        known = pages.static.get(request.path_params["name"])
        if known is None or known.address != request.url.path:
            raise ProblemError(404, "no-such-file", "No such file", "load the page again")
        return known.response()

    def page(path: str, name: str, answer: object, method: str = "GET") -> ApiRoute:
        operation = Operation(name, name, "console", {200: Answer("A page.", media=_HTML)})
        return ApiRoute(f"{AT}{path}", answer, operation, method=method, hidden=True)  # type: ignore[arg-type]

    return [
        page("", "people", gate.guarded(shown.people)),
        page("/user", "person", gate.guarded(shown.person)),
        page("/history", "history", gate.guarded(shown.history)),
        page("/sign-in", "signInPage", gate.show_sign_in),
        page("/sign-in", "signIn", gate.sign_in, "POST"),
        page("/sign-out", "signOut", gate.sign_out, "POST"),
        page("/static/{digest}/{name}", "static", static),
    ]


class Console:
    """The pages for those who may see them."""

    def __init__(self, parts: Parts, pages: Pages) -> None:
        self._parts = parts
        self._pages = pages

    async def people(self, request: Request, principal: Principal) -> Response:
        """The search."""
        parts = self._parts
        wanted = request.query_params.get("q", "").strip()
        after = request.query_params.get("after", "")
        found = find(parts, wanted, after)
        if wanted and not after:
            heading = f"Ids that begin with “{wanted}”"
        else:
            heading = "Everybody, by id"
        part = "people_cards.html" if after else "people_found.html"
        return self._pages.render(
            part if "hx-request" in request.headers else "people.html",
            request,
            principal,
            people=found.people,
            next_after=found.next_after,
            wanted=wanted,
            heading=heading,
            users=parts.source.store.users,
            note=_loading(parts),
        )

    async def person(self, request: Request, principal: Principal) -> Response:
        """One person's page."""
        parts = self._parts
        user_id = user_of(request, "id")
        all_years = request.query_params.get("years") == "all"
        listed = {name: self._rows(user_id, name) for name in TOPICS}
        found = person_of(parts, user_id, all_years=all_years)
        if found is None:
            said = _loading(parts) or "Nothing was published about this id."
            return self._pages.render(
                "person_unknown.html",
                request,
                principal,
                404,
                user_id=user_id,
                said=said,
                history=listed,
            )
        return self._pages.render(
            "person.html", request, principal, user_id=user_id, person=found, history=listed
        )

    async def history(self, request: Request, principal: Principal) -> Response:
        """More of a list on a person's page."""
        user_id = user_of(request, "user")
        name = request.query_params.get("name", "")
        if name not in TOPICS:
            raise ProblemError(
                404, "no-such-list", "No such list", f"there are {', '.join(TOPICS)}"
            )
        listed = self._rows(user_id, name, request.query_params.get("before", ""))
        template = "rows.html" if "hx-request" in request.headers else "history.html"
        return self._pages.render(
            template, request, principal, user_id=user_id, name=name, listed=listed
        )

    def _rows(self, user_id: str, name: str, before: str = "") -> Rows:
        prefix = self._parts.settings.topic_prefix
        return rows_of(self._parts.outcomes, prefix, user_id, name, before)


def user_of(request: Request, name: str) -> str:
    """The user id of a query.

    Raises:
        ProblemError: 400, there is none, or it cannot be one.
    """
    user_id = request.query_params.get(name, "")
    if not is_id(user_id):
        raise ProblemError(
            400,
            "bad-user-id",
            "Not a user id",
            f"a user id has 1 to {ID_CHARS_MAX} printable characters",
        )
    return user_id


def _loading(parts: Parts) -> str:
    if parts.source.is_loaded:
        return ""
    if parts.source.is_usable:
        return "The store is from an earlier run and is being brought up to date."
    return "The store is still loading; not everybody is in it yet."
