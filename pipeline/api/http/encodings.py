"""Decompresses bodies by their `Content-Encoding`.

Owns: which encodings are accepted, and decoding them within bounds (RFC 9110, section 8.4).
Does not own: how large a compressed body may be (limits_and_headers.py), what is in it
(receiving.py).
Invariants: at most the limit and one byte is decompressed, whatever a body claims, so a compression
bomb costs no more than a valid body of that size; a body that is not complete is refused.
"""

import zlib
from collections.abc import Sequence
from typing import Final

from pipeline.api.http.problems import ProblemError

ACCEPTED: Final = "gzip, deflate, identity"
"""Value of an answer's `Accept-Encoding`: what requests may use (RFC 9110, section 12.5.3)."""

ENCODINGS_MAX: Final = 2
"""Max encodings of a body, one inside the other."""

MEMBERS_MAX: Final = 256
"""Max members of a gzip stream; even an empty one costs time."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


def encodings_of(values: Sequence[str]) -> list[str]:
    """List the encodings of a body in the order in which they were applied, without `identity`.

    Args:
        values: the values of the `Content-Encoding` headers.

    Raises:
        ProblemError: 415, an encoding is not accepted, or there are too many.
    """
    named = [one.strip().lower() for value in values for one in value.split(",")]
    found = [one.removeprefix("x-") for one in named if one not in ("", "identity")]
    unknown = next((one for one in found if one not in ("gzip", "deflate")), None)
    if unknown is None and len(found) <= ENCODINGS_MAX:
        return found
    what = "that many encodings are" if unknown is None else f"{unknown[:40]!r} is"
    raise ProblemError(
        415,
        "unsupported-encoding",
        "Unsupported content encoding",
        f"{what} not undone here; send the body with one of {ACCEPTED}",
        headers={"Accept-Encoding": ACCEPTED},
    )


def unpacked(body: bytes, encodings: Sequence[str], bytes_max: int) -> bytes:
    """Decompress a body.

    Args:
        encodings: as `encodings_of` returns them.
        bytes_max: max bytes of the result, and of each step between two encodings.

    Raises:
        ProblemError: 400, the body is damaged or has another encoding; 413, it is too large.
    """
    for name in reversed(encodings):
        try:
            body = _gunzipped(body, bytes_max) if name == "gzip" else _inflated(body, bytes_max)
        except zlib.error as error:
            raise _broken(name, str(error)) from error
    return body


def _gunzipped(body: bytes, bytes_max: int) -> bytes:
    found, rest = b"", body
    for _ in range(MEMBERS_MAX):
        part, rest = _undone(rest, _GZIP, "gzip", bytes_max - len(found))
        found += part
        if not rest:
            return found
    raise _broken("gzip", f"it has more than {MEMBERS_MAX} members")


def _inflated(body: bytes, bytes_max: int) -> bytes:
    # `deflate` means the zlib format; some clients leave out its header, so both are accepted.
    first, check = body[0] if body else 0, int.from_bytes(body[:2], "big")
    has_header = first & 0x0F == zlib.DEFLATED and check % 31 == 0
    found, rest = _undone(body, _ZLIB if has_header else _RAW, "deflate", bytes_max)
    if rest:
        raise _broken("deflate", "something follows its end")
    return found


def _undone(body: bytes, form: int, name: str, bytes_max: int) -> tuple[bytes, bytes]:
    """Decompress one stream; returns its content and the bytes after it."""
    stream = zlib.decompressobj(form)
    found = stream.decompress(body, bytes_max + 1)
    if len(found) > bytes_max:
        raise ProblemError(
            413,
            "body-too-large",
            "Content too large",
            f"a body may have {bytes_max} bytes when it is unpacked; send fewer records at once",
        )
    if not stream.eof:
        raise _broken(name, "it ends too early")
    return found, stream.unused_data


def _broken(name: str, why: str) -> ProblemError:
    return ProblemError(
        400,
        "bad-encoding",
        "Not encoded as it says",
        f"the body is no {name}: {why}; see what packs it, or leave `Content-Encoding` out",
    )
