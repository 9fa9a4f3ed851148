"""State and window records: bytes that stay readable, and bytes that are refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codec.state import (
    FORMAT,
    StateDecodeError,
    decode_cover,
    decode_seen,
    decode_state,
    encode_cover,
    encode_seen,
    encode_state,
)
from pipeline.core.dedupe import SeenCompletion, Session
from pipeline.core.seen_filter import SeenFilter
from pipeline.core.sets import Sets, digest_of
from pipeline.core.state import EMPTY, UserState
from tests.core.scenes import DAY, NOW, Log, completion, credit, revoke, withdraw


def a_user() -> UserState:
    log = Log()
    for n in range(9):
        log.take(completion(n, NOW + n * DAY, "Asia/Tokyo"), NOW + n * DAY)
    log.take(credit("r1", NOW // DAY - 3), NOW + 9 * DAY)
    log.take(revoke("r2", NOW // DAY - 3), NOW + 9 * DAY)
    log.take(withdraw("r3", "r2"), NOW + 9 * DAY)
    return log.state


SEEN = SeenCompletion("c1", "s1", "breath", 1, 2, "completions", 3, 4, NOW, "Asia/Tokyo", 20_619)
COVER = (Session(1, 2, "c1", "completions", 0, 7), Session(2, 9, "ü", "completions", 0, 8))


def test_what_was_encoded_comes_back() -> None:
    for state in (EMPTY, a_user()):
        assert decode_state(encode_state(state)) == state
        assert digest_of(decode_state(encode_state(state)).sets) == state.digest
    assert decode_seen(encode_seen(SEEN)) == SEEN
    for cover in ((), COVER):
        assert decode_cover(encode_cover(cover)) == cover


def test_golden_bytes() -> None:
    """A change here makes every store that exists unreadable: give the layout a new format."""
    assert encode_seen(SEEN).hex() == (
        "029ba26331a27331a66272656174680102ab636f6d706c6574696f6e730304cf0000019ecb272200"
        "aa417369612f546f6b796fcd508b"
    )
    assert encode_cover(COVER[:1]).hex() == "0291960102a26331ab636f6d706c6574696f6e730007"
    fields = len(Sets.__struct_fields__)  # one more at the end is read without it
    sets = f"{0x90 + fields:x}" + "90" * fields
    assert encode_state(EMPTY).hex() == (
        "029d00b0" + EMPTY.digest.encode().hex() + sets + "9090a0d3c000000000000000a0929090"
        "0000a09400c400c400d3ffffff0000000000"
    )


def test_a_state_of_an_older_release_has_the_defaults_of_what_was_added() -> None:
    whole = msgspec.msgpack.decode(encode_state(a_user())[1:])
    older = FORMAT + msgspec.msgpack.encode(whole[:-2])
    assert decode_state(older) == msgspec.structs.replace(
        a_user(), checked_policy="", seen_filter=SeenFilter()
    )


@pytest.mark.parametrize("decode", [decode_state, decode_seen, decode_cover])
@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (b"", "unknown_format"),
        (b"\x01\x90", "unknown_format"),  # of before the zones of recent dates were kept
        (b"\x03\x90", "unknown_format"),
        (b"\x02", "Input data was truncated"),
        (b"\x02\xc1", "invalid opcode"),
        (b"\x02\xa1\xff", "Expected"),
        (b"\x02\x91\xa1\xff", "."),
        (b"\x02\xc0", "Expected"),
    ],
)
def test_corrupt_bytes_are_refused(decode: object, stored: bytes, reason: str) -> None:
    assert callable(decode)
    with pytest.raises(StateDecodeError, match=reason) as caught:
        decode(stored)
    assert caught.value.fix
    assert "decoded" in caught.value.what


@given(st.binary(max_size=60))
def test_noise_is_refused_or_equal_to_something(noise: bytes) -> None:
    stored = FORMAT + noise
    try:
        state = decode_state(stored)
    except StateDecodeError:
        return
    assert decode_state(encode_state(state)) == state


def test_every_truncation_is_refused() -> None:
    stored = encode_state(a_user())
    for end in range(len(stored)):
        with pytest.raises(StateDecodeError):
            decode_state(stored[:end])
