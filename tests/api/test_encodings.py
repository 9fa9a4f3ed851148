"""Packed bodies are unpacked within bounds, or refused with what would be taken."""

import gzip
import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.http.encodings import ENCODINGS_MAX, MEMBERS_MAX, encodings_of, unpacked
from pipeline.api.http.problems import ProblemError

MAX = 10_000
BODY = b'{"practice":"breath"}' * 20


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


def problem(body: bytes, *names: str) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        unpacked(body, names, MAX)
    return caught.value


@given(body=st.binary(max_size=2_000))
def test_what_was_packed_comes_back(body: bytes) -> None:
    assert unpacked(body, [], MAX) == body
    assert unpacked(gzip.compress(body), ["gzip"], MAX) == body
    assert unpacked(zlib.compress(body), ["deflate"], MAX) == body
    assert unpacked(raw_deflate(body), ["deflate"], MAX) == body
    twice = gzip.compress(zlib.compress(body))
    assert unpacked(twice, ["deflate", "gzip"], MAX) == body
    parts = gzip.compress(body) + gzip.compress(b"") + gzip.compress(body)
    assert unpacked(parts, ["gzip"], MAX) == body + body


def test_a_bomb_is_not_unpacked_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = zlib.decompressobj

    class Watched:
        def __init__(self, form: int) -> None:
            self._stream = real(form)

        def decompress(self, body: bytes, most: int) -> bytes:
            found = self._stream.decompress(body, most)
            seen.append(len(found))
            return found

        @property
        def eof(self) -> bool:
            return self._stream.eof

        @property
        def unused_data(self) -> bytes:
            return self._stream.unused_data

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 60_000
    inner = gzip.compress(gzip.compress(os.urandom(MAX // 2) + b" " * 20_000_000))
    for body, names in (
        (bomb, ["gzip"]),
        (zlib.compress(b" " * 50_000_000), ["deflate"]),
        (inner, ["gzip", "gzip"]),
        (gzip.compress(b"x" * 6_000) * 2, ["gzip"]),
        (gzip.compress(b"x" * (MAX + 1)), ["gzip"]),
    ):
        assert problem(body, *names).status == 413
    assert max(seen) <= MAX + 1
    assert unpacked(gzip.compress(b"x" * MAX), ["gzip"], MAX) == b"x" * MAX


def test_what_does_not_unpack_to_its_end_is_refused() -> None:
    packed = gzip.compress(BODY)
    wrong_sum = packed[:-8] + b"\0\0\0\0" + packed[-4:]
    for body in (BODY, b"", packed[:-1], packed[:10], wrong_sum, packed + b"x", packed + b"\0" * 9):
        assert problem(body, "gzip").status == 400
    for body in (b"", b"\xff" * 9, zlib.compress(BODY)[:-1], zlib.compress(BODY) + b"x", packed):
        assert problem(body, "deflate").status == 400
    assert problem(gzip.compress(b"") * (MEMBERS_MAX + 1), "gzip").status == 400
    assert problem(gzip.compress(BODY), "gzip", "gzip").status == 400


def test_encodings_are_named_as_http_names_them() -> None:
    assert encodings_of([]) == encodings_of(["", "identity , IDENTITY"]) == []
    assert encodings_of(["GZip", "deflate"]) == ["gzip", "deflate"]
    assert encodings_of(["x-gzip, identity"]) == ["gzip"]
    for names in (["br"], ["zstd"], ["gzip, br"], ["compress"], ["gzip"] * (ENCODINGS_MAX + 1)):
        with pytest.raises(ProblemError) as caught:
            encodings_of(names)
        assert caught.value.status == 415
        assert caught.value.headers == {"Accept-Encoding": "gzip, deflate, identity"}
