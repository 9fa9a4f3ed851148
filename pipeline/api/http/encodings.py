"""Bodies that were packed on their way: `Content-Encoding`.

Owns: which encodings are undone, and undoing them within bounds (RFC 9110, section 8.4).
Does not own: how large a body may be on its way (limits_and_headers.py), what is in it
(receiving.py).
Invariants: no more is unpacked than the limit and one byte, whatever a body says of itself, so a
bomb costs what a sound body of that size does; what does not unpack to its very end is refused.
"""

import zlib
from collections.abc import Sequence
from typing import Final

from pipeline.api.http.problems import ProblemError

ACCEPTED: Final = "gzip, deflate, identity"
"""As `Accept-Encoding` has it; of an answer it is what requests may use (RFC 9110, 12.5.3)."""

ENCODINGS_MAX: Final = 2
"""A body may be packed twice; nobody means to do so more often."""

MEMBERS_MAX: Final = 256
"""A gzip file may be several, one after the other; an empty one costs more than its bytes."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


def encodings_of(values: Sequence[str]) -> list[str]:
    """What a body was packed with, the first one first, without `identity`.

    Args:
        values: of each `Content-Encoding` header.

    Raises:
        ProblemError: 415, one is not undone here, or there are too many.
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
    """A body as it was before it was packed.

    Args:
        encodings: as `encodings_of` gives them.
        bytes_max: of the result, and of what is between two encodings.

    Raises:
        ProblemError: 400, it was not packed so, or not to its end; 413, it is larger.
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
    # Meant is zlib's form; some clients leave its header out, so both are taken.
    first, check = body[0] if body else 0, int.from_bytes(body[:2], "big")
    has_header = first & 0x0F == zlib.DEFLATED and check % 31 == 0
    found, rest = _undone(body, _ZLIB if has_header else _RAW, "deflate", bytes_max)
    if rest:
        raise _broken("deflate", "something follows its end")
    return found


def _undone(body: bytes, form: int, name: str, bytes_max: int) -> tuple[bytes, bytes]:
    """The content of one stream, and what follows it."""
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
