"""The keys that tokens are signed with.

Owns: reading keys from a PEM file, a JWK set in a file or at a URL, or a shared secret; which
algorithms each key may be used with; when a set at a URL is fetched again.
Does not own: what a token says (auth.py).
Invariants: a key is used only with the algorithms of its own type, so a public key is never taken
for a secret; a shared secret and public keys are never mixed; `none` is no algorithm. A set at a
URL is fetched on a thread of its own, at most once in `AGAIN_S`, so no request waits for it and no
stranger can make us fetch it more often.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx2
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from pipeline.errors import ConfigError

KEYS_MAX: Final = 64
"""Max keys of a set; further ones are ignored."""

SECRET_CHARS_MIN: Final = 32
"""Min bytes of a shared secret: the length of the hash that it is used with."""

RSA_BITS_MIN: Final = 2_048
"""Min bits of an RSA key."""
FRESH_S: Final = 600.0
"""Seconds after which a set at a URL is fetched again."""

AGAIN_S: Final = 15.0
"""Min seconds between two fetches, whatever asks for them."""

_FETCH_TIMEOUT_S: Final = 5.0
_SET_BYTES_MAX: Final = 1 << 20
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}
_log = structlog.get_logger("awaway.auth")

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class VerifyingKey(msgspec.Struct, frozen=True):
    """A key that verifies.

    Attributes:
        kid: the name of the key; empty without one.
        algorithms: what the key may verify; never both symmetric and asymmetric ones.
    """

    kid: str
    key: PublicKey | bytes
    algorithms: tuple[str, ...]


class UnusableKeyError(ValueError):
    """We do not verify with keys of this kind.

    **Operator action**: replace the key with an RSA key of 2048 bits and up, an EC key on P-256,
    P-384 or P-521, or an Ed25519 key.
    """


class StaticKeys:
    """Keys that never change.

    Args:
        keys: at least one.
    """

    def __init__(self, keys: Sequence[VerifyingKey]) -> None:
        self._keys = tuple(keys)

    def find(self, kid: str) -> tuple[VerifyingKey, ...]:
        """Return the keys with a name; all keys without a name."""
        return tuple(key for key in self._keys if not kid or key.kid in ("", kid))

    def may_be_renewed(self) -> bool:
        """Tell whether an unknown key may be known in a moment."""
        return False

    def start(self) -> None:
        """Nothing has to run."""

    def stop(self) -> None:
        """Nothing runs."""


class FetchedKeys:
    """The JWK set at a URL, kept fresh.

    Args:
        url: the address of the set.
        fetch: returns the bytes at a URL; raises OSError or httpx2.HTTPError.
        monotonic_s: a monotonic clock, s.
    """

    def __init__(
        self,
        url: str,
        fetch: Callable[[str], bytes] | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._fetch = fetch or _fetch
        self._now_s = monotonic_s
        self._keys: tuple[VerifyingKey, ...] = ()
        self._asked_s = -AGAIN_S
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def find(self, kid: str) -> tuple[VerifyingKey, ...]:
        """Return the keys with a name; all keys without a name."""
        return tuple(key for key in self._keys if not kid or key.kid in ("", kid))

    def may_be_renewed(self) -> bool:
        """Tell whether an unknown key may be known in a moment; then the set is fetched again."""
        if self._now_s() - self._asked_s < AGAIN_S:
            return not self._keys
        self._wanted.set()
        return True

    def refresh(self) -> None:
        """Fetch the set now; after a failure the last set stays in use."""
        self._asked_s = self._now_s()
        self._wanted.clear()
        try:
            keys = read_jwk_set(self._fetch(self._url))
        except (OSError, httpx2.HTTPError, ValueError) as error:
            reason = type(error).__name__
            _log.warning("the token keys could not be fetched", url=self._url, reason=reason)
            return
        if {key.kid for key in keys} != {key.kid for key in self._keys}:
            _log.info("token keys", url=self._url, kids=sorted(key.kid for key in keys))
        self._keys = keys

    def start(self) -> None:
        """Fetch the set, and keep it fresh from now on."""
        self._thread = threading.Thread(target=self._run, name="token-keys", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a fetch that is under way ends by its time-out."""
        self._stopped.set()
        self._wanted.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.refresh()
            self._wanted.wait(FRESH_S if self._keys else AGAIN_S)
            if not self._stopped.is_set():
                self._stopped.wait(max(0.0, self._asked_s + AGAIN_S - self._now_s()))


Keys = StaticKeys | FetchedKeys


def secret_keys(secret: str) -> StaticKeys:
    """Return the key of a shared secret, for development and for services that have one.

    Raises:
        ConfigError: the secret is too short.
    """
    raw = secret.encode()
    if len(raw) < SECRET_CHARS_MIN:
        raise ConfigError(
            "the tokens' shared secret is too short",
            fix=f"set AWAWAY_API_AUTH_SECRET to {SECRET_CHARS_MIN} random bytes or more",
        )
    return StaticKeys([VerifyingKey("", raw, ("HS256",))])


def keys_of_file(path: Path) -> StaticKeys:
    """Read the keys of a file: a JWK set, or PEM with public keys or certificates.

    Raises:
        ConfigError: the file cannot be read, or has no usable key.
    """
    fix = "set AWAWAY_API_AUTH_KEYS_FILE to a PEM public key or a JWK set"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}", why=error.strerror or "", fix=fix) from None
    try:
        keys = read_jwk_set(content) if content.lstrip()[:1] == b"{" else _read_pem(content)
    except ValueError as error:
        raise ConfigError(f"{path} holds no keys", why=str(error), fix=fix) from None
    if not keys:
        raise ConfigError(f"{path} holds no key that verifies", fix=fix)
    return StaticKeys(keys)


def read_jwk_set(content: bytes) -> tuple[VerifyingKey, ...]:
    """Read the usable keys of a JWK set; symmetric keys and keys for encryption are ignored.

    Raises:
        ValueError: the content is not a JWK set.
    """
    try:
        found = msgspec.json.decode(content, type=dict[str, Any]).get("keys")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("it is not a JSON object") from error
    if not isinstance(found, list):
        raise ValueError("it has no list called keys")
    keys = []
    for entry in found[:KEYS_MAX]:
        if isinstance(entry, dict) and entry.get("use") in (None, "sig"):
            try:
                keys.append(_read_jwk(entry))
            except (UnusableKeyError, jwt.PyJWTError, ValueError, TypeError) as error:
                kid = _kid(entry)[:64]
                _log.warning("a token key was passed over", kid=kid, reason=str(error)[:200])
    return tuple(keys)


def _read_jwk(entry: Mapping[str, Any]) -> VerifyingKey:
    if entry.get("kty") not in ("RSA", "EC", "OKP"):
        raise UnusableKeyError("its type is not RSA, EC or OKP")
    # A member that is null counts as missing.
    public = {name: value for name, value in entry.items() if name != "d" and value is not None}
    key = jwt.PyJWK(public).key
    algorithms = algorithms_of(key)
    named = entry.get("alg")
    if named is not None:
        algorithms = tuple(name for name in algorithms if name == named)
        if not algorithms:
            raise UnusableKeyError("its alg does not go with its type")
    return VerifyingKey(_kid(entry), key, algorithms)


def _kid(entry: Mapping[str, Any]) -> str:
    """Return the name of a key; empty where `kid` is not a text."""
    kid = entry.get("kid")
    return kid if isinstance(kid, str) else ""


def _read_pem(content: bytes) -> tuple[VerifyingKey, ...]:
    keys = []
    for block in content.split(b"-----BEGIN ")[1:]:
        whole = b"-----BEGIN " + block
        if b"PRIVATE" in block.partition(b"\n")[0]:
            raise UnusableKeyError("it holds a private key, which belongs to the issuer alone")
        if block.startswith(b"CERTIFICATE"):
            key: object = load_pem_x509_certificate(whole).public_key()
        else:
            key = load_pem_public_key(whole)
        keys.append(VerifyingKey("", _usable(key), algorithms_of(key)))
    return tuple(keys[:KEYS_MAX])


def algorithms_of(key: object) -> tuple[str, ...]:
    """Return the algorithms that a public key may verify.

    Raises:
        UnusableKeyError: there are none.
    """
    usable = _usable(key)
    if isinstance(usable, rsa.RSAPublicKey):
        return _RSA
    if isinstance(usable, ec.EllipticCurvePublicKey):
        return _CURVES[usable.curve.name]
    return ("EdDSA",)


def _usable(key: object) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_BITS_MIN:
            raise UnusableKeyError(f"an RSA key must have {RSA_BITS_MIN} bits or more")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise UnusableKeyError(f"{type(key).__name__} is not a public key that we verify with")


def _fetch(url: str) -> bytes:
    with httpx2.Client(timeout=_FETCH_TIMEOUT_S, follow_redirects=False) as client:
        answer = client.get(url, headers={"Accept": "application/jwk-set+json, application/json"})
        answer.raise_for_status()
        if len(answer.content) > _SET_BYTES_MAX:
            raise ValueError(f"the set is larger than {_SET_BYTES_MAX} bytes")
        return answer.content
