"""The keys that sign checkpoints: a private key a file, and the list of all public ones.

Owns: making a key, the list and its lines, which key may sign what.
Does not own: what is signed (signed.py).
Invariants: a private key is never overwritten, and nobody but its owner can read its file. A list
only grows; each key but the first is signed by the one before it, so who trusts the first can trust
all. In a chain, no checkpoint of a key follows one of a later key: with its successor's first use a
key is worth nothing any more, whoever has it.

A line of the list has these words, with one space between:

    awaway-audit-key/1  id  public key in base64  time  signer  signature

The id is the first 16 hexadecimal digits of the SHA-256 of the key's 32 bytes. Signer and signature
are `-` for the first; else the id of the key before, and Ed25519 in base64 over everything before
the signature, without the space.
"""

import base64
import os
import re
from collections.abc import Collection, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline import clock
from pipeline.errors import AwawayError
from pipeline.ops.audit.signed import is_signed, sign
from pipeline.whole_file import write_whole

FORMAT: Final = "awaway-audit-key/1"
_NOBODY: Final = "-"
_LINE: Final = re.compile(
    rf"{FORMAT} (?P<id>[0-9a-f]{{16}}) (?P<public>[A-Za-z0-9+/]{{43}}=) (?P<time>[0-9T:.-]{{23}}Z)"
    r" (?P<signer>-|[0-9a-f]{16}) (?P<signature>-|[A-Za-z0-9+/]{86}==)"
)


class AuditKeyError(AwawayError):
    """A key cannot be made, read or trusted.

    Operator action: as the message says. Never make a new list in place of one that is there: its
    checkpoints could not be verified any more.
    """


class ListedKey(NamedTuple):
    """A public key of the list. `place`: 0 and up, in the order of use."""

    id: str
    public: Ed25519PublicKey
    place: int


def id_of(public: Ed25519PublicKey) -> str:
    """Return the id of a key."""
    return sha256(public.public_bytes_raw()).hexdigest()[:16]


def read_list(path: Path, trusted: Collection[str] = ()) -> dict[str, ListedKey]:
    """Read the list, each key by its id.

    Args:
        trusted: ids that the first key has to be among; without any it is trusted as it is.

    Raises:
        AuditKeyError: the list cannot be read, or a key is not signed by the one before it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AuditKeyError(
            f"the list of keys {path} cannot be read",
            why=str(error),
            fix="name it with --keys; `awaway audit keygen` makes the first key and the list",
        ) from error
    keys = parse_list(lines, str(path))
    first = next(iter(keys), "")
    if trusted and first not in trusted:
        raise AuditKeyError(
            f"the first key of {path} is {first}, which is not trusted",
            why=f"trusted: {', '.join(trusted)}",
            fix="ask the operator over another way which key it is; the list may be forged",
        )
    return keys


def parse_list(lines: Iterable[str], origin: str) -> dict[str, ListedKey]:
    """Read the lines of a list.

    Raises:
        AuditKeyError: there is none, or one is wrong.
    """
    keys: dict[str, ListedKey] = {}
    before: ListedKey | None = None
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise _wrong(origin, number, "it is no line of a list of keys")
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(found["public"]))
        if id_of(public) != found["id"] or found["id"] in keys:
            raise _wrong(origin, number, "the id is another key's")
        signer, statement = found["signer"], line.rpartition(" ")[0]
        if before is None:
            is_right = signer == found["signature"] == _NOBODY
        else:
            is_right = signer == before.id and is_signed(
                statement, found["signature"], before.public
            )
        if not is_right:
            raise _wrong(origin, number, "the key before it did not sign it")
        before = keys[found["id"]] = ListedKey(found["id"], public, len(keys))
    if not keys:
        raise AuditKeyError(
            f"the list of keys {origin} is empty", fix="`awaway audit keygen` makes the first key"
        )
    return keys


def _wrong(origin: str, line: int, why: str) -> AuditKeyError:
    return AuditKeyError(
        f"line {line} of the list of keys {origin} cannot be trusted",
        why=why,
        fix="take the list from where it is kept safe, and find out who changed this one",
    )


def read_private(path: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        AuditKeyError: it is not there, or no Ed25519 key in PEM.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuditKeyError(
            f"the private key {path} cannot be read",
            why=str(error),
            fix="name the file that `awaway audit keygen` made with --key",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise AuditKeyError(f"{path} is no Ed25519 key", fix="`awaway audit keygen` makes one")
    return key


def make(path: Path, listed: Path, after: Path | None) -> str:
    """Make a key, and put it on the list; returns its id.

    A key file that is there already and not on the list is taken, as a run that was killed leaves
    it.

    Args:
        path: of the private key. listed: the list, made with the first key.
        after: the private key that the list ends with, which signs the new one; None for the first.

    Raises:
        AuditKeyError: one of them is not as it must be; the list is as it was.
    """
    content = listed.read_text(encoding="utf-8") if listed.exists() else ""
    keys = parse_list(content.splitlines(), str(listed)) if content else {}
    last = list(keys)[-1] if keys else _NOBODY
    if (after is None) != (not keys):
        raise AuditKeyError(
            f"{listed} has {len(keys)} keys",
            why="each key but the first is signed by the one before it",
            fix="name the key in use with --after" if keys else "leave --after out",
        )
    signer = None if after is None else read_private(after)
    if signer is not None and id_of(signer.public_key()) != last:
        raise AuditKeyError(
            f"{after} is not the last key of {listed}", fix=f"name the key {last} with --after"
        )
    public = _private_at(path).public_key()
    if id_of(public) in keys:
        raise AuditKeyError(f"{path} is on the list already", fix="name another file for the key")
    words = (
        FORMAT,
        id_of(public),
        base64.b64encode(public.public_bytes_raw()).decode(),
        clock.rfc3339(clock.now_ms()),
        last,
    )
    statement = " ".join(words)
    signature = _NOBODY if signer is None else sign(statement, signer)
    write_whole(listed, f"{content}{statement} {signature}\n".encode())
    return id_of(public)


def _private_at(path: Path) -> Ed25519PrivateKey:
    """The private key in a file, which is made if there is none."""
    if path.exists():
        return read_private(path)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        path.hardlink_to(part)  # unlike a renaming it refuses what is there
        part.unlink()
    except OSError as error:
        raise AuditKeyError(
            f"the key {path} cannot be written", why=str(error), fix="name another file"
        ) from error
    return key
