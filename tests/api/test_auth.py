"""Who may: tokens, keys, kinds, scopes."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.requests import HTTPConnection

from pipeline.api.http.access import make_access
from pipeline.api.http.auth import (
    ALL_SCOPES,
    COMPLETIONS_WRITE,
    HISTORY_READ,
    OPERATE,
    PROGRESS_READ,
    REMEMBERED_S,
    Expected,
    Guard,
    Kind,
    Verifier,
)
from pipeline.api.http.problems import ProblemError
from pipeline.api.http.token_keys import (
    AGAIN_S,
    FetchedKeys,
    StaticKeys,
    VerifyingKey,
    keys_of_file,
    read_jwk_set,
    secret_keys,
)
from pipeline.cli.main import run
from pipeline.clock import now_ms
from pipeline.errors import ConfigError
from pipeline.settings.api import ApiSettings
from tests.api.serving import KEY, PUBLIC_PEM

NOW_S = 1_800_000_000
EXPECTED = Expected("https://issuer.example", "awaway", leeway_s=10)
SECRET = "s" * 32
OPERATOR = {PROGRESS_READ, HISTORY_READ, OPERATE}
RSA_KEY = rsa.generate_private_key(65537, 2048)


class Clock:
    def __init__(self) -> None:
        self.s = float(NOW_S)

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(clock: Clock) -> Verifier:
    keys = StaticKeys(
        [
            VerifyingKey("ec", KEY.public_key(), ("ES256",)),
            VerifyingKey("rsa", RSA_KEY.public_key(), ("RS256", "PS256")),
        ]
    )
    return Verifier(keys, EXPECTED, clock)


def claims(**changed: Any) -> dict[str, Any]:
    whole = {
        "sub": "ana",
        "iss": EXPECTED.issuer,
        "aud": EXPECTED.audience,
        "iat": NOW_S,
        "exp": NOW_S + 300,
    } | changed
    return {name: value for name, value in whole.items() if value is not None}


def signed(key: Any = KEY, algorithm: str = "ES256", kid: str = "ec", **changed: Any) -> bytes:
    return jwt.encode(claims(**changed), key, algorithm, {"kid": kid}).encode()


def refusal(verifier: Verifier, token: bytes) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        verifier.principal(token)
    assert token.decode(errors="replace") not in str(caught.value)
    return caught.value


def test_a_good_token_says_who_asks(verifier: Verifier) -> None:
    found = verifier.principal(signed())
    assert (found.subject, found.kind) == ("ana", Kind.USER)
    assert found.ends_at_s == NOW_S + 300 + EXPECTED.leeway_s
    assert verifier.principal(signed(RSA_KEY, "PS256", "rsa")).subject == "ana"
    assert verifier.principal(signed(aud=["other", "awaway"])).subject == "ana"


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": NOW_S - 11},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": float("inf")},
        {"exp": True},
        {"nbf": NOW_S + 11},
        {"iat": NOW_S + 11},
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "x" * 256},
        {"awaway_kind": "root"},
        {"awaway_kind": ["operator"]},
        {"awaway_kind": "service", "scope": 3},
    ],
)
def test_a_token_that_says_the_wrong_thing_is_refused(
    verifier: Verifier, changed: dict[str, Any]
) -> None:
    error = refusal(verifier, signed(**changed))
    assert error.status == 401
    assert 'error="invalid_token"' in error.headers["WWW-Authenticate"]


def test_clocks_may_differ_by_the_leeway(verifier: Verifier) -> None:
    assert verifier.principal(signed(exp=NOW_S - 9)).subject == "ana"
    assert verifier.principal(signed(nbf=NOW_S + 9)).subject == "ana"


def test_what_was_not_signed_by_our_key_is_refused(verifier: Verifier) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    public = PUBLIC_PEM.decode()
    forged = jwt.api_jws.PyJWS()
    forged._algorithms["HS256"].prepare_key = lambda key: key.encode()  # type: ignore[method-assign]
    confused = forged.encode(json.dumps(claims()).encode(), public, "HS256", {"kid": "ec"})
    good = signed()
    head, body, signature = good.split(b".")
    longer = jwt.encode(claims(sub="eve"), other, "ES256").encode().split(b".")[1]
    for token in (
        signed(other),
        signed(kid="unknown"),
        signed(RSA_KEY, "RS512", "rsa"),
        signed(RSA_KEY, "RS256", "ec"),
        jwt.encode(claims(), "", "none").encode(),
        confused.encode(),
        b".".join([head, longer, signature]),
        b".".join([head, body, b""]),
        b"not a token",
        b"\xff.\xff.\xff",
        b"a" * 10_000,
    ):
        assert refusal(verifier, token).status == 401


def test_a_verified_token_is_remembered_but_not_beyond_its_end(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = StaticKeys([VerifyingKey("", KEY.public_key(), ("ES256",))])
    verifier = Verifier(keys, EXPECTED, clock)
    long, short = signed(), signed(exp=NOW_S + 20)
    verifier.principal(long), verifier.principal(short)
    monkeypatch.setattr(keys, "find", lambda kid: ())
    assert verifier.principal(long).subject == "ana"
    clock.s += 31
    assert verifier.principal(long).subject == "ana"
    assert refusal(verifier, short).status == 401
    clock.s += REMEMBERED_S
    assert refusal(verifier, long).status == 401


def connection(token: bytes | None = None, method: str = "GET", **headers: bytes) -> HTTPConnection:
    found = [(name.encode(), value) for name, value in headers.items()]
    if token is not None:
        found.append((b"authorization", b"Bearer " + token))
    scope = {"type": "http", "method": method, "headers": found, "client": ("10.0.0.1", 1)}
    return HTTPConnection(scope)


@pytest.mark.parametrize(
    ("kind", "more", "own", "others"),
    [
        (None, {}, {PROGRESS_READ, COMPLETIONS_WRITE}, set()),
        ("user", {"scope": "operate history:read"}, {PROGRESS_READ, COMPLETIONS_WRITE}, set()),
        ("support", {}, {PROGRESS_READ, HISTORY_READ}, {PROGRESS_READ, HISTORY_READ}),
        ("operator", {}, OPERATOR, OPERATOR),
        ("service", {"scope": "progress:read all"}, {PROGRESS_READ}, {PROGRESS_READ}),
        ("service", {"scope": ["operate"]}, {OPERATE}, {OPERATE}),
        ("service", {}, set(), set()),
    ],
)
def test_each_kind_may_what_it_may(
    verifier: Verifier, kind: str | None, more: dict[str, Any], own: set[str], others: set[str]
) -> None:
    guard = Guard(verifier)
    asked = connection(signed(awaway_kind=kind, **more))

    def may(user_id: str | None) -> set[str]:
        found = set()
        for scope in (PROGRESS_READ, COMPLETIONS_WRITE, HISTORY_READ, OPERATE):
            try:
                guard.authorize(asked, user_id, scope)
                found.add(scope)
            except ProblemError as error:
                assert error.status == 403
        return found

    assert may("ana") == own
    assert may("bo") == others
    assert may(None) == others


def test_a_cookie_is_for_looking_only_and_a_header_wins(verifier: Verifier) -> None:
    guard, good = Guard(verifier), signed()
    cookie = b"theme=dark; awaway_token=" + good
    assert guard.principal(connection(cookie=cookie).scope).subject == "ana"
    for asked in (
        connection(cookie=cookie, method="POST"),
        connection(cookie=b"x" + cookie.partition(b"; ")[2]),
        connection(cookie=cookie, authorization=b"Basic YTpi"),
        connection(b"wrong", cookie=cookie),
        connection(),
    ):
        with pytest.raises(ProblemError) as caught:
            guard.principal(asked.scope)
        assert caught.value.status == 401


def test_an_id_that_cannot_be_one_goes_no_further(verifier: Verifier) -> None:
    guard = Guard(verifier)
    for user_id in ("", "a\x00b", "x" * 256, "\ud800"):
        with pytest.raises(ProblemError) as caught:
            guard.authorize(connection(signed(awaway_kind="support")), user_id, PROGRESS_READ)
        assert caught.value.status == 400


def jwk(public: Any, **members: Any) -> dict[str, Any]:
    of_rsa = isinstance(public, rsa.RSAPublicKey)
    made = RSAAlgorithm.to_jwk(public, True) if of_rsa else ECAlgorithm.to_jwk(public, True)
    return {**made, **members}


def test_only_keys_that_verify_are_taken_from_a_set() -> None:
    weak = rsa.generate_private_key(65537, 1024).public_key()
    entries = [
        jwk(KEY.public_key(), kid="one"),
        jwk(RSA_KEY.public_key(), kid="two", alg="PS256"),
        jwk(RSA_KEY.public_key(), kid="no-alg", alg="HS256"),
        jwk(RSA_KEY.public_key(), kid="for-encryption", use="enc"),
        jwk(weak, kid="weak"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {"kty": "EC", "kid": "broken", "crv": "P-256", "x": "AA", "y": "AA"},
        "nothing",
    ]
    found = read_jwk_set(json.dumps({"keys": entries}).encode())
    assert [(key.kid, key.algorithms) for key in found] == [
        ("one", ("ES256",)),
        ("two", ("PS256",)),
    ]


def test_keys_of_a_file_are_pem_or_a_set(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(PUBLIC_PEM + PUBLIC_PEM)
    assert len(keys_of_file(file).find("any")) == 2
    file.write_text(json.dumps({"keys": [jwk(KEY.public_key(), kid="a")]}))
    assert [key.kid for key in keys_of_file(file).find("")] == ["a"]
    private = ed25519.Ed25519PrivateKey.generate()
    for content in (b"", b"{}", b'{"keys": []}', _private_pem(private), b"-----BEGIN X-----"):
        file.write_bytes(content)
        with pytest.raises(ConfigError):
            keys_of_file(file)
    with pytest.raises(ConfigError):
        keys_of_file(tmp_path / "none")


def _private_pem(key: ed25519.Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization as s  # noqa: PLC0415

    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())


def test_a_shared_secret_is_long_and_verifies_nothing_asymmetric(clock: Clock) -> None:
    with pytest.raises(ConfigError):
        secret_keys("short")
    verifier = Verifier(secret_keys(SECRET), EXPECTED, clock)
    assert verifier.principal(signed(SECRET, "HS256", "")).subject == "ana"
    assert refusal(verifier, signed()).status == 401


class _Issuer(http.server.BaseHTTPRequestHandler):
    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(type(self).content)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def issuer() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Issuer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jwks"
    server.shutdown()
    server.server_close()


def test_a_set_at_a_url_is_fetched_kept_and_asked_for_seldom(issuer: str, clock: Clock) -> None:
    _Issuer.content = json.dumps({"keys": [jwk(KEY.public_key(), kid="one")]}).encode()
    keys = FetchedKeys(issuer, monotonic_s=clock)
    verifier = Verifier(keys, EXPECTED, clock)
    assert refusal(verifier, signed(kid="one")).status == 503
    keys.refresh()
    assert verifier.principal(signed(kid="one")).subject == "ana"
    assert refusal(verifier, signed(RSA_KEY, "RS256", "two")).status == 401
    clock.s += AGAIN_S
    assert refusal(verifier, signed(RSA_KEY, "RS256", "two")).status == 503
    _Issuer.content = json.dumps({"keys": [jwk(RSA_KEY.public_key(), kid="two")]}).encode()
    keys.refresh()
    assert verifier.principal(signed(RSA_KEY, "RS256", "two")).subject == "ana"
    _Issuer.content = b"<html>"
    keys.refresh()
    assert [key.kid for key in keys.find("")] == ["two"]


def test_keys_are_fetched_as_the_process_starts(issuer: str) -> None:
    _Issuer.content = json.dumps({"keys": [jwk(KEY.public_key(), kid="one")]}).encode()
    keys = FetchedKeys(issuer)
    fetched = threading.Event()
    known = keys.refresh

    def refresh() -> None:
        known()
        fetched.set()

    keys.refresh = refresh  # type: ignore[method-assign]
    keys.start()
    assert fetched.wait(10)
    keys.stop()
    assert [key.kid for key in keys.find("one")] == ["one"]


def test_settings_leave_no_door_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys.pem"
    file.write_bytes(PUBLIC_PEM)
    for given in (
        {},
        {"api_auth_issuer": "i"},
        {"api_auth_keys_file": file},
        {"api_auth_issuer": "i", "api_auth_keys_file": file, "api_auth_secret": SECRET},
    ):
        with pytest.raises(ConfigError):
            make_access(ApiSettings(**given), lambda: NOW_S * 1000)
    guarded = make_access(
        ApiSettings(api_auth_issuer="i", api_auth_keys_file=file), lambda: NOW_S * 1000
    )
    assert guarded.headers == ()
    with pytest.raises(ProblemError):
        guarded.guard.principal(connection().scope)
    capsys.readouterr()
    opened = make_access(ApiSettings(api_auth_off=True), lambda: NOW_S * 1000)
    assert "AUTHORISATION IS OFF" in "".join(capsys.readouterr())
    assert opened.headers == ((b"awaway-auth", b"off"),)
    assert opened.guard.principal(connection().scope).scopes == ALL_SCOPES


def test_a_development_token_is_taken_by_the_api_that_has_the_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["token", "ana"]) == 1
    monkeypatch.setenv("AWAWAY_API_AUTH_SECRET", SECRET)
    monkeypatch.setenv("AWAWAY_API_AUTH_ISSUER", "dev")
    assert run(["token", "ana", "--kind", "root"]) == 2
    assert run(["token", "ana", "--minutes", "100000"]) == 2
    capsys.readouterr()
    assert run(["token", "app", "--kind", "service", "--scope", "operate", "--minutes", "5"]) == 0
    made = capsys.readouterr().out.strip().encode()
    verifier = Verifier(secret_keys(SECRET), Expected("dev", "awaway"), lambda: now_ms() / 1000)
    found = verifier.principal(made)
    assert (found.subject, found.kind, set(found.scopes)) == ("app", Kind.SERVICE, {OPERATE})
    assert 0 < found.ends_at_s - now_ms() / 1000 <= 5 * 60 + 30
