"""Dead letters of inputs of any size."""

import hashlib

import msgspec
import pytest

from pipeline.codec.avro import AvroEncoder
from pipeline.codec.dead_letters import EXTRA_BYTES, fault_of, fit
from pipeline.codec.framed import schema_id_in
from pipeline.codec.headers import dead_letter_headers
from pipeline.core.records import Cause, DeadLetter, Header
from tests.codec.samples import SCHEMAS

BYTES_MAX = 1_000_000
ENCODE = AvroEncoder(SCHEMAS["DeadLetter"], 1).encode


def letter(key: bytes | None, value: bytes | None, *headers: Header) -> DeadLetter:
    cause = Cause("awaway.completions", 2, 41)
    return DeadLetter("decode", "empty_value", "why", key, value, headers, None, cause, 0)


def test_a_fault_is_told_by_its_name_and_the_end_of_its_trace() -> None:
    try:
        raise ZeroDivisionError("1/0")
    except ZeroDivisionError as error:
        found = fault_of("fold", error)
    assert (found.stage, found.reason) == ("fold", "zero_division_error")
    assert found.detail.endswith("ZeroDivisionError: 1/0\n")


def size(written: DeadLetter) -> int:
    """Bytes of the record as it is produced: value, key and headers."""
    headers = dead_letter_headers(
        [(header.key, header.value) for header in written.headers],
        written.cause,
        written.stage,
        written.reason,
        written.detail,
    )
    total = len(ENCODE(written)) + len(written.key or b"")
    return total + sum(len(name.encode()) + len(value or b"") + 20 for name, value in headers)


@pytest.mark.parametrize(
    "small",
    [
        letter(None, None),
        letter(b"", b""),
        letter(b"user", b"x" * 900_000),
        letter(b"k" * 400_000, b"x" * 100_000),
        letter(b"user", b"x", *(Header("h" * 100, b"v" * 100),) * 2_000),
    ],
)
def test_what_fits_is_left_as_it_is(small: DeadLetter) -> None:
    assert fit(small, BYTES_MAX) is small
    assert size(small) <= BYTES_MAX


@pytest.mark.parametrize(
    "large",
    [
        letter(b"user", b"x" * 15_000_000),
        letter(b"user", b"x" * (BYTES_MAX - EXTRA_BYTES)),
        letter(b"k" * 15_000_000, b"x"),
        letter(b"k" * 500_000, None),
        letter(None, b"x", Header("h", b"v" * 600_000)),
        letter(None, b"x" * 15_000_000, Header("h" * 600_000, None)),
        letter(None, b"x", *(Header("", None),) * 60_000),
    ],
)
def test_what_does_not_fit_is_cut_and_says_so(large: DeadLetter) -> None:
    cut = fit(large, BYTES_MAX)
    assert size(large) + EXTRA_BYTES > BYTES_MAX
    assert size(cut) <= BYTES_MAX
    assert (cut.stage, cut.reason, cut.cause) == (large.stage, large.reason, large.cause)
    assert (large.key or b"").startswith(cut.key or b"")
    assert (large.value or b"").startswith(cut.value or b"")
    assert (cut.key is None, cut.value is None) == (large.key is None, large.value is None)
    assert cut.headers == ()
    assert cut.detail.startswith("The input is too large for a dead letter")
    assert cut.detail.endswith("awaway.completions[2]@41. why")
    assert hashlib.sha256(large.value or b"").hexdigest() in cut.detail
    assert f"{len(large.headers)} headers" in cut.detail


def test_a_header_name_that_utf8_cannot_hold_is_counted_and_not_raised() -> None:
    odd = letter(b"user", b"x" * 5_000_000, Header("\ud800", b""))
    assert fit(odd, BYTES_MAX).headers == ()
    assert msgspec.structs.replace(fit(odd, BYTES_MAX), headers=odd.headers) != odd


@pytest.mark.parametrize(
    ("value", "schema_id"),
    [
        (None, None),
        (b"", None),
        (b"\0", None),
        (b"\0\0\0\0", None),
        (b"\0\0\0\0\x07", 7),
        (b"\0\0\0\0\x07and what follows, sound or not", 7),
        (b"\0\0\0\0\0", 0),
        (b"\0\x7f\xff\xff\xff", (1 << 31) - 1),
        (b"\0\xff\xff\xff\xff", -1),
        (b"\0\x80\0\0\0", -(1 << 31)),
        (b'{"completion_id": "c1"}', None),
        (b"\xef\xbb\xbf{}", None),
        (b"\1\0\0\0\x07", None),
    ],
)
def test_the_schema_id_of_a_framing(value: bytes | None, schema_id: int | None) -> None:
    assert schema_id_in(value) == schema_id
    # Whatever it is, it can be written.
    written = msgspec.structs.replace(letter(None, value), schema_id=schema_id_in(value))
    assert ENCODE(written)
