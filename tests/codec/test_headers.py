"""Headers of dead letters."""

from pipeline.codec.headers import dead_letter_headers
from pipeline.core.records import Cause


def test_the_inputs_own_headers_come_first_and_untouched() -> None:
    original = [("traceparent", b"00-\xff"), ("traceparent", b"01"), ("none", None)]
    headers = dead_letter_headers(
        original, Cause("awaway.completions", 3, 41, "c"), "decode", "empty_value", "send a record"
    )
    assert headers[:3] == original
    assert dict(headers[3:]) == {
        "__streams.errors.exception": b"decode.empty_value",
        "__streams.errors.message": b"send a record",
        "__streams.errors.topic": b"awaway.completions",
        "__streams.errors.partition": b"3",
        "__streams.errors.offset": b"41",
        "__streams.errors.stage": b"decode",
        "__streams.errors.reason": b"empty_value",
    }


def test_a_detail_that_utf8_cannot_hold_does_not_stop_the_dead_letter() -> None:
    headers = dead_letter_headers([], Cause("t", 0, 0), "fold", "raised", "bad \ud800")
    assert dict(headers)["__streams.errors.message"] == b"bad \\ud800"
