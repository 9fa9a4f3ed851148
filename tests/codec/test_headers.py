"""Headers of dead letters."""

import pytest

from pipeline.codec.errors import DETAIL_CHARS_MAX, readable
from pipeline.codec.headers import UNREADABLE, dead_letter_headers, read_headers
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


class Message:
    """Answers as the client does: it raises the first time, and is not to be asked again."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked = 0

    def headers(self) -> object:
        self.asked += 1
        assert self.asked == 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_headers_of_a_message() -> None:
    assert read_headers(Message(None)) == []
    assert read_headers(Message([])) == []
    pairs = [("a", b"1"), ("a", None)]
    assert read_headers(Message(pairs)) == pairs


def test_a_header_whose_name_is_not_utf8_does_not_stop_a_partition() -> None:
    message = Message(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))
    ((name, value),) = read_headers(message)
    assert name == UNREADABLE
    assert value is not None
    assert b"0xff" in value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain é", "plain é"),
        ("half \ud800", "half \\ud800"),
        ("x" * DETAIL_CHARS_MAX, "x" * DETAIL_CHARS_MAX),
        ("x" * 10_000, "x" * (DETAIL_CHARS_MAX - 1) + "…"),
        ("\ud800" * 10_000, ("\\ud800" * 1_000)[: DETAIL_CHARS_MAX - 1] + "…"),
    ],
)
def test_texts_that_travel(text: str, expected: str) -> None:
    assert readable(text) == expected
    assert len(readable(text)) <= DETAIL_CHARS_MAX
