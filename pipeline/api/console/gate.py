"""Decides who may see the console, and whose forms it takes.

Owns: the sign-in page's cookie, the check that a form is ours, the answer to somebody who may not.
Does not own: what a token says, and what a principal may do (auth.py).
Invariants: a page is for those who may read the progress and history of all users: support and
operators; a form that changes something is for those who may `operate`. The cookie is HttpOnly,
SameSite=Strict and for the console alone. It is accepted for GET, and for a form only when all of
three hold: the browser says that our own page sent it (`Sec-Fetch-Site`), its `Origin` is ours, and
it has the form token of this very session; so no other site can make a browser do or show anything.
The cookie is Secure, except on the loopback addresses, where there is no TLS. Nothing here stores a
token.

The form token is an HMAC with the session's own token as its key: whoever cannot read the cookie
cannot make it, it ends with the session, and every process of the API makes the same.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.api.console.rendering import AT, Pages, link
from pipeline.api.dependencies import Dependencies
from pipeline.api.http.auth import (
    COOKIE,
    HISTORY_READ,
    OPERATE,
    PROGRESS_READ,
    TOKEN_CHARS_MAX,
    Principal,
    check,
    token_of,
)
from pipeline.api.http.problems import ProblemError

Page = Callable[[Request, Principal], Awaitable[Response]]
FormPage = Callable[[Request, Principal, Mapping[str, str]], Awaitable[Response]]
Answer = Callable[[Request], Awaitable[Response]]

FORM_TOKEN: Final = "form_token"
"""Name of the field that has the form token."""

FORM_BYTES_MAX: Final = 65_536
"""Max bytes of a form; a reason of 2,000 characters may have 24,000, as forms write them."""

FIELDS_MAX: Final = 20
"""Max fields of a form, where its page does not need more."""

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_SIGN_IN_BYTES_MAX: Final = 2 * TOKEN_CHARS_MAX


class Gate:
    """Guards the pages.

    Args:
        pages: renders the sign-in page and the problems.
    """

    def __init__(self, deps: Dependencies, pages: Pages) -> None:
        self._deps = deps
        self._pages = pages
        self._own_key = secrets.token_bytes(32)  # while authorisation is off there is no session

    def guarded(self, page: Page, *, operate: bool = False) -> Answer:
        """Wrap a page: those who may not see it get the sign-in page or a problem.

        Args:
            operate: whether the page is for operators alone.
        """

        async def answer(request: Request) -> Response:
            principal: Principal | None = None
            try:
                principal = self._enter(request)
                if operate:
                    check(principal, None, OPERATE)
                return await page(request, principal)
            except ProblemError as error:
                return self._refuse(request, principal, error)

        return answer

    def guarded_form(self, page: FormPage, *, fields_max: int = FIELDS_MAX) -> Answer:
        """Wrap what takes a form of an operator: any other form is refused, and changes nothing."""

        async def answer(request: Request) -> Response:
            principal: Principal | None = None
            try:
                _check_ours(request)
                principal = self._enter(_as_read(request))
                check(principal, None, OPERATE)
                form = await _form(request, FORM_BYTES_MAX, fields_max)
                self._check_form_token(request, form)
                return await page(request, principal, form)
            except ProblemError as error:
                return self._refuse(request, principal, error)

        return answer

    def form_token(self, request: Request) -> str:
        """Make the form token of the session that a request belongs to."""
        key = token_of(_as_read(request).scope) or self._own_key
        return hmac.new(key, b"awaway console form", hashlib.sha256).hexdigest()

    def _check_form_token(self, request: Request, form: Mapping[str, str]) -> None:
        given = form.get(FORM_TOKEN, "").encode()
        if not hmac.compare_digest(given, self.form_token(request).encode()):
            raise _foreign("the form is not of this session; open the person's page again")

    def _enter(self, request: Request) -> Principal:
        principal = self._deps.authorize(request, None, HISTORY_READ)
        check(principal, None, PROGRESS_READ)
        return principal

    def _refuse(
        self, request: Request, principal: Principal | None, error: ProblemError
    ) -> Response:
        if error.status == 401:
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            wanted = "" if request.method == "POST" else wanted
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
        form = await _form(request, _SIGN_IN_BYTES_MAX)
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
        raise _foreign("this form was sent from another site")


def _check_ours(request: Request) -> None:
    """Check that a page of ours sent a form, as the browser tells.

    Our pages ask for `Referrer-Policy: no-referrer`, with which browsers write `Origin: null`; they
    say in `Sec-Fetch-Site` where the form is from. A browser without that header must name us in
    `Origin`.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        raise _foreign("this form was sent from another site")
    if (site is not None and origin in (None, "null")) or _is_own(request, origin or ""):
        return
    raise _foreign("nothing says that this form was sent by a page of this console")


def _is_own(request: Request, origin: str) -> bool:
    return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower() != ""


def _as_read(request: Request) -> Request:
    """Return a request as if it were a GET, for which the session's cookie is taken."""
    return Request({**request.scope, "method": "GET"})


def _foreign(why: str) -> ProblemError:
    return ProblemError(403, "foreign-form", "Not our form", f"{why}; nothing was changed")


async def _form(request: Request, bytes_max: int, fields_max: int = FIELDS_MAX) -> dict[str, str]:
    body = await request.body()
    if len(body) > bytes_max:
        raise ProblemError(413, "body-too-large", "Content too large", "the form is too long")
    try:
        pairs = parse_qs(body.decode("utf-8", "replace"), max_num_fields=fields_max)
    except ValueError:
        raise ProblemError(
            400, "bad-form", "Not our form", f"a form has at most {fields_max} fields"
        ) from None
    return {name: values[0] for name, values in pairs.items()}


def _local(address: str) -> str:
    """Return an address if it is one of the console, else the empty text: no redirect elsewhere."""
    split = urlsplit(address)
    is_ours = not split.scheme and not split.netloc and "\\" not in address
    return address if is_ours and (split.path + "/").startswith(f"{AT}/") else ""
