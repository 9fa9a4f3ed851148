"""Decides who may see the console.

Owns: the sign-in page's cookie, the answer to somebody who may not see a page.
Does not own: what a token says, and what a principal may do (auth.py).
Invariants: a page is for those who may read the progress and history of all users: support and
operators. The cookie is HttpOnly, SameSite=Strict and for the console alone, and is accepted for
GET only, so no other site can make a browser do or show anything. It is Secure, except on the
loopback addresses, where there is no TLS. Nothing here stores a token.
"""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.api.console.rendering import AT, Pages, link
from pipeline.api.dependencies import Dependencies
from pipeline.api.http.auth import (
    COOKIE,
    HISTORY_READ,
    PROGRESS_READ,
    TOKEN_CHARS_MAX,
    Principal,
    check,
)
from pipeline.api.http.problems import ProblemError

Page = Callable[[Request, Principal], Awaitable[Response]]

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_SIGN_IN_CHARS_MAX: Final = 2 * TOKEN_CHARS_MAX


class Gate:
    """Guards the pages.

    Args:
        pages: renders the sign-in page and the problems.
    """

    def __init__(self, deps: Dependencies, pages: Pages) -> None:
        self._deps = deps
        self._pages = pages

    def guarded(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """Wrap a page: those who may not see it get the sign-in page or a problem."""

        async def answer(request: Request) -> Response:
            principal: Principal | None = None
            try:
                principal = self._enter(request)
                return await page(request, principal)
            except ProblemError as error:
                return self._refuse(request, principal, error)

        return answer

    def _enter(self, request: Request) -> Principal:
        principal = self._deps.authorize(request, None, HISTORY_READ)
        check(principal, None, PROGRESS_READ)
        return principal

    def _refuse(
        self, request: Request, principal: Principal | None, error: ProblemError
    ) -> Response:
        if error.status == 401:
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            address = link("sign-in", next=wanted)
            if "hx-request" in request.headers:
                return Response(headers={"HX-Redirect": address})
            return RedirectResponse(address, 303)
        shown = self._pages.render(
            "problem.html", request, principal, error.status, problem=error.problem
        )
        shown.headers.update(error.headers)
        return shown

    async def show_sign_in(self, request: Request) -> Response:
        """Answer with the page into which a token is pasted."""
        wanted = _local(request.query_params.get("next", ""))
        return self._pages.render("sign_in.html", request, None, next=wanted, complaint="")

    async def sign_in(self, request: Request) -> Response:
        """Put a token into the browser's cookie, if it opens the console."""
        _check_own_form(request)
        form = await _form(request)
        token, wanted = form.get("token", "").strip(), _local(form.get("next", ""))
        head = (b"authorization", b"Bearer " + token.encode("ascii", "replace"))
        asked = Request({**request.scope, "headers": [head], "method": "GET"})
        try:
            principal = self._enter(asked)
        except ProblemError as error:
            return self._pages.render(
                "sign_in.html",
                request,
                None,
                error.status,
                next=wanted,
                complaint=error.problem.detail,
            )
        answer = RedirectResponse(wanted or AT, 303)
        left_s = principal.ends_at_s - self._deps.now_ms() / 1000
        answer.set_cookie(
            COOKIE.decode(),
            token,
            max_age=int(min(left_s, 86_400)),
            path=AT,
            secure=(request.url.hostname or "") not in _LOOPBACK,
            httponly=True,
            samesite="strict",
        )
        return answer

    async def sign_out(self, request: Request) -> Response:
        """Delete the cookie."""
        _check_own_form(request)
        answer = RedirectResponse(link("sign-in"), 303)
        answer.delete_cookie(COOKIE.decode(), path=AT, httponly=True, samesite="strict")
        return answer


def _check_own_form(request: Request) -> None:
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ProblemError(
            403, "foreign-form", "Not our form", "this form was sent from another site"
        )


async def _form(request: Request) -> dict[str, str]:
    body = await request.body()
    if len(body) > _SIGN_IN_CHARS_MAX:
        raise ProblemError(413, "body-too-large", "Content too large", "that is no token")
    pairs = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    return {name: values[0] for name, values in pairs.items()}


def _local(address: str) -> str:
    """Return an address if it is one of the console, else the empty text: no redirect elsewhere."""
    split = urlsplit(address)
    is_ours = not split.scheme and not split.netloc and "\\" not in address
    return address if is_ours and (split.path + "/").startswith(f"{AT}/") else ""
