"""No token, however odd, is more than refused; ids as OpenID Connect has them."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.http.auth import (
    COMPLETIONS_WRITE,
    PROGRESS_READ,
    Guard,
    Kind,
    Principal,
    Verifier,
    check,
)
from pipeline.api.http.problems import ProblemError
from pipeline.api.http.token_keys import (
    FetchedKeys,
    StaticKeys,
    VerifyingKey,
    read_jwk_set,
    secret_keys,
)
from tests.api.serving import KEY
from tests.api.test_auth import (
    EXPECTED,
    NOW_S,
    RSA_KEY,
    SECRET,
    claims,
    connection,
    jwk,
    signed,
)

VERIFIER = Verifier(secret_keys(SECRET), EXPECTED, lambda: NOW_S)
HEAD = {"alg": "HS256", "typ": "JWT"}
HEADERS = ("alg", "typ", "kid", "crit", "b64", "jwk", "jku", "x5c", "zip", "cty")
CLAIMS = ("sub", "iss", "aud", "exp", "nbf", "iat", "jti", "awaway_kind", "scope")
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 2**63, 10**400, -(10**30), 1e308, float("nan"), float("inf")),
    *("", " ", "x", "HS256", "none", "1800000300", "\ud800", "a" * 3_000),
    *([], ["awaway"], [["awaway"]], [None], [{}], ["a", 3], {}, {"a": {"b": []}}),
]
RAW = [
    *(b"", b"null", b"1", b"[]", b'"x"', b"\xff", b"\xef\xbb\xbf{}", b'{"alg":"HS256"}x'),
    *(b"[" * 900, b"[" * 5_000, b'{"a":' * 1_000, b'{"a":' + b"[" * 1_400 + b"]" * 1_400 + b"}"),
    *(b'{"alg":"HS256","kid":' + b"1" * 4_400 + b"}", b'{"alg":"HS256","kid":"\xff"}'),
    *(b'{"alg":"none","alg":"HS256"}', b'{"alg":"HS256","alg":"none"}', b'{"alg":1e999}'),
    *(b'{"alg":"HS256","crit":["b64"],"b64":false}', b'{"alg":"HS256","kid":"\\ud800"}'),
]
NUMBERS = (b"1e400", b"-1e400", b"NaN", b"-Infinity", b"1" + b"0" * 400, b"1" + b"0" * 4_400)
WHOLE = [
    *(b"", b".", b"..", b"...", b"a.b.c", b"=.=.=", b"e30.e30.", b"e30..e30", b"e30=.e30=.e30="),
    *(b"\xff.\xff.\xff", "\u00e9.\u00e9.\u00e9".encode(), b"." * 8_000, b"a" * 8_193),
]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from((*HEADERS, *CLAIMS, "x")), inner, max_size=3)
    ),
    max_leaves=6,
)


def part(content: Any) -> bytes:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def token(head: Any, payload: Any) -> bytes:
    """Signed by the shared secret, whatever it is that is signed."""
    text = part(head) + b"." + part(payload)
    return text + b"." + part(hmac.new(SECRET.encode(), text, hashlib.sha256).digest())


def judged(raw: bytes, verifier: Verifier = VERIFIER) -> Principal | None:
    """A principal, or None for one that is refused; anything else is a fault."""
    try:
        found = verifier.principal(raw)
    except ProblemError as error:
        assert error.status in (401, 503)
        return None
    assert found.subject.encode()
    return found


def test_odd_values_of_each_header_and_claim_are_taken_or_refused() -> None:
    for value in ODD:
        for name in HEADERS:
            judged(token(HEAD | {name: value}, claims()))
        for name in CLAIMS:
            judged(token(HEAD, claims() | {name: value}))
        for kind in ("service", value):
            judged(token(HEAD, claims() | {"awaway_kind": kind, "scope": value}))
        assert judged(token(value, claims())) is None
        assert judged(token(HEAD, value)) is None
    assert judged(token(HEAD, claims())) is not None


def test_what_is_no_json_object_or_no_token_is_refused() -> None:
    for raw in RAW:
        judged(token(raw, claims()))
        assert judged(token(HEAD, raw)) is None
    for raw in WHOLE:
        assert judged(raw) is None
    good = token(HEAD, claims())
    for raw in (good + b"=", good + b"\n", b" " + good, good.replace(b".", b".."), good[:-1]):
        assert judged(raw) is None


@pytest.mark.parametrize("name", ["exp", "nbf", "iat", "sub", "aud", "iss", "awaway_kind", "scope"])
def test_numbers_that_no_float_holds_are_no_instants(name: str) -> None:
    for number in NUMBERS:
        content = json.dumps(claims())[:-1].encode() + b',"' + name.encode() + b'":' + number + b"}"
        found = judged(token(HEAD, content))
        is_looked_at = name != "scope"  # which is not, in a user's token
        assert (found is None) == (is_looked_at or len(number) > 4_300)


@given(head=json_values, payload=json_values)
def test_no_token_is_a_fault(head: Any, payload: Any) -> None:
    judged(token(head, payload))
    named = payload if isinstance(payload, dict) else {"x": payload}
    judged(token(HEAD | (head if isinstance(head, dict) else {"kid": head}), claims() | named))


@given(raw=st.binary(max_size=200))
def test_no_bytes_are_a_fault(raw: bytes) -> None:
    assert judged(raw) is None
    assert judged(token(HEAD, raw)) is None
    judged(token(raw, claims()))


def test_the_same_with_public_keys_and_with_keys_that_may_still_come() -> None:
    public = StaticKeys([VerifyingKey("ec", KEY.public_key(), ("ES256",))])
    coming = FetchedKeys("https://issuer.example/jwks", monotonic_s=lambda: 0.0)
    for keys in (public, coming):
        verifier = Verifier(keys, EXPECTED, lambda: NOW_S)
        for raw in [token(raw, claims()) for raw in RAW] + WHOLE:
            assert judged(raw, verifier) is None


def test_a_member_of_a_key_that_is_null_is_as_absent() -> None:
    entries = [
        jwk(KEY.public_key(), kid="one", use=None, alg=None, key_ops=None),
        jwk(RSA_KEY.public_key(), kid=None),
        jwk(KEY.public_key(), kid=7),
        jwk(KEY.public_key(), kid="for-encryption", use="enc"),
    ]
    found = read_jwk_set(json.dumps({"keys": entries}).encode())
    assert [key.kid for key in found] == ["one", "", ""]
    verifier = Verifier(StaticKeys(found), EXPECTED, lambda: NOW_S)
    assert judged(signed(kid="one"), verifier) is not None
    assert judged(signed(RSA_KEY, "RS256", "any"), verifier) is not None


def test_odd_key_sets_are_no_key_sets_and_odd_keys_are_passed_over() -> None:
    deep = b"[" * 3_000 + b"]" * 3_000
    for raw in (deep, b'{"keys":' + deep + b"}", b'{"keys":[{"kty":' + deep + b"}]}", b"\xff"):
        with pytest.raises(ValueError, match="JSON"):
            read_jwk_set(raw)
    good = jwk(KEY.public_key(), kid="good")
    for name in ("kty", "crv", "x", "y", "alg", "n", "e"):
        values: list[Any] = [7, [], ["EC"], {}, "", True, 1.5]
        for value in values:
            entries = [good | {name: value}, {"kty": "RSA", name: value}, {"kty": "OKP"}, good]
            assert read_jwk_set(json.dumps({"keys": entries}).encode())[-1].kid == "good"


def test_an_openid_subject_of_255_characters_is_an_id() -> None:
    guard = Guard(VERIFIER)
    for subject in ("a" * 255, "\U0001f9d8" * 255, "\u0645\u06cc\u200c\u0631\u0648\u0645"):
        raw = token(HEAD, claims(sub=subject))
        assert guard.authorize(connection(raw), subject, PROGRESS_READ).subject == subject
    assert judged(token(HEAD, claims(sub="a" * 256))) is None


def test_two_unicode_forms_of_a_name_are_two_ids_and_the_answer_says_so() -> None:
    composed, decomposed = "jos\u00e9", "jose\u0301"
    jose = Principal(composed, Kind.USER, frozenset({COMPLETIONS_WRITE}))
    check(jose, composed, COMPLETIONS_WRITE)
    details = []
    for other in (decomposed, "jose"):
        with pytest.raises(ProblemError) as caught:
            check(jose, other, COMPLETIONS_WRITE)
        assert caught.value.status == 403
        details.append(caught.value.problem.detail)
    assert "Unicode form" in details[0]
    assert "Unicode form" not in details[1]
