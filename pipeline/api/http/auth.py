"""Authenticates and authorises requests.

Owns: reading a bearer token from a request, verifying it, what each kind of principal may do.
Does not own: the keys (token_keys.py), how often somebody may ask (rate_limits.py), making tokens
(the identity provider; `awaway token` for development).
Invariants: access is never a default: an unknown key, algorithm, issuer, audience or kind is
refused. A token is never logged, echoed or stored: verified ones are remembered by their SHA-256,
for at most `REMEMBERED_S` and never beyond their expiry. Nothing here does IO, so routes call it on
the event loop.

| kind | may |
|---|---|
| user | read and post for themselves, within `USER_SCOPES` |
| support | read the data of all users, with the history behind it |
| operator | the same as support, and what needs the scope `operate` |
| service | what its token's `scope` lists, for all users |

The kind is a claim; a token without it is a user's, the kind that may do least. The `scope` of a
user's token is ignored, as identity providers put words of their own into it.
"""

import hashlib
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

import jwt
import msgspec
from starlette.requests import HTTPConnection
from starlette.types import Scope

from pipeline.api.http.problems import ProblemError
from pipeline.api.http.token_keys import Keys
from pipeline.core.texts import ID_CHARS_MAX, is_id

TokenScope = Literal[
    "progress:read", "completions:read", "completions:write", "history:read", "operate"
]
PROGRESS_READ: Final = "progress:read"
COMPLETIONS_READ: Final = "completions:read"
COMPLETIONS_WRITE: Final = "completions:write"
HISTORY_READ: Final = "history:read"
"""Read audit entries, alerts and dead letters."""
OPERATE: Final = "operate"
"""Correct users: credits, revocations, withdrawals, claims."""

USER_SCOPES: Final = frozenset({PROGRESS_READ, COMPLETIONS_READ, COMPLETIONS_WRITE})
SUPPORT_SCOPES: Final = frozenset({PROGRESS_READ, COMPLETIONS_READ, HISTORY_READ})
OPERATOR_SCOPES: Final = SUPPORT_SCOPES | {OPERATE}
ALL_SCOPES: Final = USER_SCOPES | OPERATOR_SCOPES

KIND_CLAIM: Final = "awaway_kind"
"""The claim that names the kind of a principal."""

COOKIE: Final = b"awaway_token"
"""Cookie with a page's token; accepted for GET and HEAD only, so that no other site can act."""

OFF_HEADER: Final = (b"awaway-auth", b"off")
"""Header of every answer of a server that needs no token."""

REMEMBERED_S: Final = 60.0
"""Max seconds before a token is verified again; a withdrawn key may be accepted that long."""

TOKEN_CHARS_MAX: Final = 8_192
"""Max characters of a token."""

INSTANT_S_MAX: Final = 2**53
"""Max instant of a claim, s since the epoch; a larger number may not fit a float."""

_NO_JWT: Final = (jwt.PyJWTError, ValueError, TypeError, RecursionError)
"""Errors that the library and its JSON parser raise for an invalid token."""

_FORM: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
"""Three parts in base64url without padding (RFC 7515, section 2); the library accepts more."""

_REMEMBERED_MAX: Final = 50_000
"""Max verified tokens that are remembered."""

_CLAIMS: Final = ["exp", "sub", "aud", "iss"]
_NO_OWN_CLOCK: Final[Any] = {
    "require": _CLAIMS, "verify_exp": False, "verify_nbf": False, "verify_iat": False,
}  # fmt: skip
_COOKIE_VALUE: Final = re.compile(rb"(?:^|; ?)" + COOKIE + rb"=([A-Za-z0-9._-]+)")


class Kind(StrEnum):
    """The kind of a principal."""

    USER = "user"
    SUPPORT = "support"
    OPERATOR = "operator"
    SERVICE = "service"


class Principal(msgspec.Struct, frozen=True):
    """Who sends a request.

    Attributes:
        subject: the user id of a user; otherwise the name of a person or a service.
        scopes: what it may do; a user only for itself.
        ends_at_s: when its token ends, s since the epoch; infinity without a token.
        name: kind and subject; the key of its allowance and of its streams.
    """

    subject: str
    kind: Kind
    scopes: frozenset[str]
    ends_at_s: float = math.inf
    name: str = ""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "name", f"{self.kind}/{self.subject}")


ANYBODY: Final = Principal("development", Kind.OPERATOR, ALL_SCOPES)
"""The principal of every request while authorisation is off."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say.

    Attributes:
        leeway_s: how much the clocks of issuer and server may differ, s.
    """

    issuer: str
    audience: str
    leeway_s: float = 30.0


class Verifier:
    """Turns tokens into principals.

    Args:
        keys: the keys that tokens are signed with.
        expected: what a token must say.
        now_s: the time of day, s since the epoch.
    """

    def __init__(self, keys: Keys, expected: Expected, now_s: Callable[[], float]) -> None:
        self._keys = keys
        self._expected = expected
        self._now_s = now_s
        self._known: dict[bytes, tuple[Principal, float]] = {}

    def principal(self, token: bytes) -> Principal:
        """Return the principal of a token.

        Raises:
            ProblemError: 401, the token is not valid; 503, its key may be known in a moment.
        """
        digest = hashlib.sha256(token).digest()
        now_s = self._now_s()
        known = self._known.get(digest)
        if known is not None and now_s < known[1]:
            return known[0]
        claims = self._claims(token)
        starts_at_s = max(_instant_s(claims, "nbf"), _instant_s(claims, "iat"))
        ends_at_s = _instant_s(claims, "exp")
        leeway_s = self._expected.leeway_s
        if now_s >= ends_at_s + leeway_s:
            raise refused("it has expired; ask for a new one")
        if now_s < starts_at_s - leeway_s:
            raise refused(
                "it is not valid yet; compare the clocks of its issuer and of this server"
            )
        found = _principal(claims, ends_at_s + leeway_s)
        if len(self._known) >= _REMEMBERED_MAX:
            self._known.clear()
        self._known[digest] = (found, min(now_s + REMEMBERED_S, found.ends_at_s))
        return found

    def _claims(self, token: bytes) -> Mapping[str, Any]:
        if len(token) > TOKEN_CHARS_MAX:
            raise refused(f"it is longer than {TOKEN_CHARS_MAX} characters")
        if _FORM.fullmatch(token) is None:
            raise refused("it is not a JWT")
        try:
            kid = jwt.get_unverified_header(token).get("kid", "")
        except _NO_JWT:
            raise refused("it is not a JWT") from None
        reason = "no key of ours has signed it"
        for key in self._keys.find(kid if isinstance(kid, str) else ""):
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key.key,
                    algorithms=list(key.algorithms),
                    audience=self._expected.audience,
                    issuer=self._expected.issuer,
                    options=_NO_OWN_CLOCK,
                )
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
                continue
            except jwt.MissingRequiredClaimError as error:
                raise refused(f"it has no {error.claim}") from None
            except jwt.InvalidAudienceError:
                raise refused("its aud is not this API") from None
            except jwt.InvalidIssuerError:
                raise refused("its iss is not the issuer that this API trusts") from None
            except _NO_JWT:
                reason = "it is not a JWT that can be verified"
                continue
            return claims
        raise self._unsigned(reason)

    def _unsigned(self, reason: str) -> ProblemError:
        if not self._keys.may_be_renewed():
            return refused(reason)
        return ProblemError(
            503,
            "keys-not-ready",
            "Keys not ready",
            "the key of this token is not known yet and is being asked for; try again",
            headers={"Retry-After": "1"},
        )


class Guard:
    """Decides for every route who may use it.

    Args:
        verifier: None: authorisation is off, and everybody may do everything.
        admit: charges a principal's allowance with one request; raises ProblemError 429.
        suspect: does the same for an address whose token was refused.
    """

    def __init__(
        self,
        verifier: Verifier | None,
        admit: Callable[[Principal], None] = lambda _: None,
        suspect: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._verifier = verifier
        self._admit = admit
        self._suspect = suspect

    def principal(self, scope: Scope) -> Principal:
        """Return who sends a request, and charge their allowance.

        Raises:
            ProblemError: 401, there is no valid token; 429, the allowance is used up; 503, see
                `Verifier`.
        """
        if self._verifier is None:
            found = ANYBODY
        else:
            token = token_of(scope)
            try:
                if token is None:
                    raise refused("send one: `Authorization: Bearer ...`", missing=True)
                found = self._verifier.principal(token)
            except ProblemError:
                client = scope.get("client")
                self._suspect(str(client[0]) if client else "")
                raise
        self._admit(found)
        return found

    def authorize(
        self, connection: HTTPConnection, user_id: str | None, scope: TokenScope
    ) -> Principal:
        """Return who sends a request, if they may.

        Args:
            user_id: the user whom the request is about; None: all users, so a user may not.
            scope: the scope that the request needs.

        Raises:
            ProblemError: as `principal`; 403, they may not; 400, the user id is invalid.
        """
        found = self.principal(connection.scope)
        if user_id is not None and not is_id(user_id):
            raise ProblemError(
                400,
                "bad-user-id",
                "Not a user id",
                f"a user id has 1 to {ID_CHARS_MAX} printable characters",
            )
        check(found, user_id, scope)
        return found


def check(principal: Principal, user_id: str | None, scope: TokenScope) -> None:
    """Check that a principal may do something.

    Raises:
        ProblemError: 403, it may not.
    """
    if scope not in principal.scopes:
        raise _forbidden(f"this token does not have the scope {scope}")
    if principal.kind is Kind.USER and principal.subject != user_id:
        raise _forbidden(_not_own(principal.subject, user_id))


def _not_own(subject: str, user_id: str | None) -> str:
    if user_id is not None and _normalised(subject) == _normalised(user_id):
        return (
            "the user id and this token's sub differ only in their Unicode form, such as NFC and "
            "NFD, and so are two users' ids here; send the id as the identity provider writes it"
        )
    return "a user's token is for that user's own data"


def _normalised(text: str) -> str:
    """Normalise a text to NFC, in which texts that look the same are the same.

    This is for an explanation only: ids are compared by their code points (OpenID Connect Core 1.0,
    section 14).
    """
    return unicodedata.normalize("NFC", text)


def token_of(scope: Scope) -> bytes | None:
    """Return the token of `Authorization`, else that of a page's cookie; None without one."""
    cookie: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, token = value.partition(b" ")
            return token.strip() if kind.lower() == b"bearer" else None
        if name == b"cookie" and scope["method"] in ("GET", "HEAD"):
            found = _COOKIE_VALUE.search(value)
            cookie = found.group(1) if found else cookie
    return cookie


def refused(why: str, *, missing: bool = False) -> ProblemError:
    """Make the answer 401; the reason shows nothing of the token's content."""
    challenge = 'Bearer realm="awaway"'
    if not missing:
        challenge += ', error="invalid_token"'
    detail = f"a bearer token is needed: {why}" if missing else f"the token was refused: {why}"
    return ProblemError(
        401, "unauthorized", "Unauthorized", detail, headers={"WWW-Authenticate": challenge}
    )


INSUFFICIENT: Final = 'Bearer realm="awaway", error="insufficient_scope"'
"""The challenge of a 403 (RFC 6750, section 3)."""


def _forbidden(why: str) -> ProblemError:
    return ProblemError(
        403,
        "forbidden",
        "Forbidden",
        why,
        headers={"WWW-Authenticate": INSUFFICIENT},
    )


def _principal(claims: Mapping[str, Any], ends_at_s: float) -> Principal:
    subject = claims["sub"]
    if not isinstance(subject, str) or not is_id(subject):
        raise refused("its sub cannot be an id")
    kind = claims.get(KIND_CLAIM, Kind.USER.value)
    if kind == Kind.USER:
        return Principal(subject, Kind.USER, USER_SCOPES, ends_at_s)
    if kind == Kind.SUPPORT:
        return Principal(subject, Kind.SUPPORT, SUPPORT_SCOPES, ends_at_s)
    if kind == Kind.OPERATOR:
        return Principal(subject, Kind.OPERATOR, OPERATOR_SCOPES, ends_at_s)
    if kind == Kind.SERVICE:
        listed = claims.get("scope", "")
        words = listed.split() if isinstance(listed, str) else listed
        if not isinstance(words, list):
            raise refused("its scope is neither a text nor a list")
        scopes = frozenset(word for word in words if isinstance(word, str)) & ALL_SCOPES
        return Principal(subject, Kind.SERVICE, scopes, ends_at_s)
    raise refused(f"its {KIND_CLAIM} is none that is known")


def _instant_s(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused(f"its {name} is not a number of seconds")
    if not -INSTANT_S_MAX <= value <= INSTANT_S_MAX:  # false for NaN, too
        raise refused(f"its {name} is no instant")
    return float(value)
