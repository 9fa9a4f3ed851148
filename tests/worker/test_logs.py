"""Log lines: one shape for all, no secrets, repeats bounded."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from pipeline.errors import AwawayError
from pipeline.observability.logs import (
    REPEATS_MAX,
    REPEATS_WINDOW_S,
    RepeatFilter,
    configure_logging,
    mask_text,
)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is written; the root logger and structlog are put back afterwards."""
    root = logging.root
    before = (root.handlers[:], root.level)
    yield io.StringIO()
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_those_of_libraries_have_one_shape(stream: io.StringIO) -> None:
    configure_logging("json", "info", stream)
    structlog.get_logger("awaway.test").info("partition ready", partition=3)
    logging.getLogger("faust.app").warning("[^%s]: Starting %r", "App", "x")
    ours, theirs = lines(stream)
    assert ours.keys() - {"partition"} == theirs.keys()
    assert (ours["event"], ours["partition"], ours["level"]) == ("partition ready", 3, "info")
    assert (theirs["event"], theirs["logger"]) == ("[^App]: Starting 'x'", "faust.app")
    assert str(ours["timestamp"]).endswith("Z")


def test_an_exception_stays_on_one_line(stream: io.StringIO) -> None:
    configure_logging("json", "info", stream)
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        logging.getLogger("x").exception("it failed")
    (line,) = lines(stream)
    assert "ValueError: broken" in str(line["exception"])


def test_a_crash_that_the_command_explains_is_not_told_by_the_framework(
    stream: io.StringIO,
) -> None:
    configure_logging("json", "info", stream)
    for error in (AwawayError("the topic is gone", fix="make it"), ValueError("a bug")):
        try:
            raise error
        except Exception:
            logging.getLogger("pipeline.engine.faust.app").exception("[^EngineApp]: Crashed %r", 1)
    assert "the topic is gone" not in stream.getvalue()
    assert "a bug" in stream.getvalue()


def test_below_the_level_nothing_is_written(stream: io.StringIO) -> None:
    configure_logging("json", "warning", stream)
    structlog.get_logger("awaway.test").info("quiet")
    logging.getLogger("faust").info("quiet")
    assert stream.getvalue() == ""


def test_console_is_for_people_and_has_no_colours_off_a_terminal(stream: io.StringIO) -> None:
    configure_logging("console", "info", stream)
    structlog.get_logger("awaway.test").info("partition ready", partition=3)
    assert "partition ready" in stream.getvalue()
    assert "partition=3" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


def test_auto_is_json_off_a_terminal(stream: io.StringIO) -> None:
    configure_logging("auto", "info", stream)
    logging.getLogger("x").info("y")
    assert lines(stream)[0]["event"] == "y"


def test_configuring_twice_writes_once(stream: io.StringIO) -> None:
    configure_logging("json", "info", stream)
    configure_logging("json", "info", stream)
    logging.getLogger("x").info("y")
    assert len(lines(stream)) == 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_is_written(stream: io.StringIO, form: str) -> None:
    configure_logging(form, "info", stream)
    secret = "s3cr3t-value"
    log = structlog.get_logger("awaway.test")
    log.info(
        "a", registry_password=secret, client={"sasl.password": secret, "x": [{"token": secret}]}
    )
    log.info("b", url=f"https://user:{secret}@host/path")
    logging.getLogger("lib").warning("config %s", {"sasl.password": secret, "acks": "all"})
    logging.getLogger("lib").warning("sasl.password=%s;acks=all", secret)
    logging.getLogger("lib").warning("basic.auth.user.info: me:%s", secret)
    try:
        raise ValueError(f"cannot reach https://user:{secret}@host")
    except ValueError:
        log.exception("c")
    assert secret not in stream.getvalue()
    assert "acks" in stream.getvalue()


def test_masking_leaves_the_rest_alone() -> None:
    plain = "https://host:9092/path offset=3 partition: 4 key='x' a@b.c"
    assert mask_text(plain) == plain
    assert mask_text("http://u:p@h/x") == "http://u:**********@h/x"


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def record(message: object, *args: object, name: str = "x") -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, __file__, 1, message, args, None)


def test_repeats_are_bounded_and_the_rest_is_counted() -> None:
    clock = Clock()
    repeats = RepeatFilter(clock)
    passed = [repeats.filter(record("no answer from %s", i)) for i in range(REPEATS_MAX + 5)]
    assert passed == [True] * REPEATS_MAX + [False] * 5
    assert repeats.filter(record("another %s", 1))
    assert repeats.filter(record("no answer from %s", 1, name="y"))
    clock.s = REPEATS_WINDOW_S
    later = record("no answer from %s", 9)
    assert repeats.filter(later)
    assert later.getMessage() == "no answer from 9 [5 more like this were not written]"


def test_a_structured_line_carries_the_number_that_was_not_written() -> None:
    clock = Clock()
    repeats = RepeatFilter(clock)
    for number in range(REPEATS_MAX + 2):
        repeats.filter(record({"event": "aborted", "offset": number}))
    clock.s = REPEATS_WINDOW_S + 1
    later = record({"event": "aborted", "offset": 99})
    assert repeats.filter(later)
    assert later.msg == {"event": "aborted", "offset": 99, "suppressed": 2}


def test_many_kinds_of_line_do_not_fill_the_memory() -> None:
    repeats = RepeatFilter(Clock())
    for number in range(5_000):
        assert repeats.filter(record(f"kind {number}"))
    assert len(repeats._seen) <= 1_000
