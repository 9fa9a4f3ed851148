"""Identifiers derived from what they name.

Owns: the namespace, and RFC 9562 version-5 UUIDs made from a prefix hashed once.
Does not own: which names exist (portals.py, keys.py, audit.py, dedupe.py).
Invariant: every text equals `str(uuid.uuid5(NAMESPACE, name))`; only faster. Names join their parts
with `/` and only their first part may hold one, so no two lists of parts make the same name.
"""

import hashlib
import uuid
from typing import Final

NAMESPACE: Final = uuid.UUID("8f0c5a9e-2f4b-5d57-9a0e-6b1d4c7e3a21")
"""Namespace of all names that this pipeline derives. Another one renames every unlock and key."""

_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_START: Final = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)


def uuid_text(sha1_digest: bytes) -> str:
    """Return the version-5 UUID of a SHA-1 digest, in its 36-character form.

    Args:
        sha1_digest: of the namespace's 16 bytes and the name's UTF-8; the last 4 bytes are unused.
    """
    h = sha1_digest.hex()
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:32]}"


def uuid_of(name: str) -> str:
    """Return `str(uuid.uuid5(NAMESPACE, name))`."""
    sha1 = _START.copy()
    sha1.update(name.encode())
    return uuid_text(sha1.digest())


class NamePrefix:
    """The part that many names begin with, hashed once.

    Args:
        prefix: what every name begins with, its trailing `/` included.
    """

    __slots__ = ("_hashed",)

    def __init__(self, prefix: str) -> None:
        self._hashed = _START.copy()
        self._hashed.update(prefix.encode())

    def digest(self, rest: str) -> bytes:
        """Return the SHA-1 of the namespace, the prefix and `rest`: 20 bytes."""
        sha1 = self._hashed.copy()
        sha1.update(rest.encode())
        return sha1.digest()

    def uuid(self, rest: str) -> str:
        """Return the UUID of the prefix followed by `rest`."""
        return uuid_text(self.digest(rest))
