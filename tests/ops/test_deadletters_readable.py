"""The bytes of rejected inputs, as a person reads them."""

import base64

import pytest

from pipeline.codec.errors import DecodeError
from pipeline.ops.deadletters.readable import LINE_CHARS_MAX, LINES_MAX, one_line, shown_of


def test_json_is_indented_and_otherwise_as_it_was_sent() -> None:
    found = shown_of(b'{"a":1.50,"a":"\\u001b[2J","b":[]}')
    assert (found.form, found.size) == ("JSON", 33)
    assert found.lines == ("{", '  "a": 1.50,', '  "a": "\\u001b[2J",', '  "b": []', "}")


def test_a_framed_value_is_shown_as_the_record_it_is() -> None:
    framed = b"\x00\x00\x00\x00\x07rest"
    found = shown_of(framed, lambda _: {"completion_id": "c1"})
    assert (found.form, found.lines[1]) == ("Avro", '  "completion_id": "c1"')

    def refuses(_: bytes) -> object:
        raise DecodeError("unknown_schema", "no registry has it")

    assert shown_of(framed, refuses).form == "bytes"


@pytest.mark.parametrize(
    ("raw", "form", "first"),
    [
        (None, "nothing", "null"),
        (b"", "nothing", "empty"),
        (b"ein Tag", "text", "ein Tag"),
        (b"\x1b[2J\x07", "text", "\\x1b[2J\\x07"),
        ("\u202eabc".encode(), "text", "\\u202eabc"),
        (b'{"a": \x1b}', "text", '{"a": \\x1b}'),
        (b"\xff\x00a", "bytes", f"00000000  {'ff 00 61'.ljust(47)}  ..a"),
    ],
)
def test_no_byte_reaches_the_terminal_as_a_command(
    raw: bytes | None, form: str, first: str
) -> None:
    found = shown_of(raw)
    assert (found.form, found.lines[0]) == (form, first)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"a":' * 50_000, base64.b64decode("/w==") * 99])
def test_whatever_the_bytes_are_they_are_shown(raw: bytes) -> None:
    assert shown_of(raw).lines


def test_what_is_left_out_is_said() -> None:
    many = shown_of(b"x\n" * 1_000)
    assert len(many.lines) == LINES_MAX and "only the beginning" in many.left_out
    wide = shown_of(b"x" * 10_000)
    assert (len(wide.lines[0]), wide.left_out != "") == (LINE_CHARS_MAX, True)
    table = shown_of(b"\xff" * 10_000)
    assert len(table.lines) == LINES_MAX and table.left_out == "6,800 bytes more"
    assert shown_of(b"\xff" * 3_200).left_out == ""


def test_a_key_is_shown_in_one_line() -> None:
    assert one_line(None, 60) == "null"
    assert one_line(b"ada\n\x1b", 60) == "ada\\n\\x1b"
    assert one_line(b"\xff\x00", 60) == "ff 00"
    assert len(one_line(b"x" * 500, 60)) == 60


def test_json_that_would_become_huge_is_shown_as_text() -> None:
    deep = b"[" * 900 + b"1," * 200_000 + b"1" + b"]" * 900
    assert shown_of(deep).form == "text"
    hidden = b'{"a":' + b"[" * 40 + b"]" * 40 + b',"a":1}'
    assert shown_of(hidden).form == "text"
    assert shown_of(b"[" * 32 + b"]" * 32).form == "JSON"
