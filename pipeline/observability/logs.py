"""Structured logs: one form for the lines of this program, of Faust, mode and librdkafka.

Owns: the line's fields, JSON or console form, masking, the bound on repeated lines.
Does not own: what is logged and where.
Invariants: an entry is one line; a value under a secret's name, and a password inside a URL or a
client's setting, are masked; at most `REPEATS_MAX` lines that differ only in their arguments are
written in a window, and the first line after it says how many were left out.

Lines go to stderr, so that stdout stays a command's result.
"""

import logging
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from typing import Final, TextIO

import structlog

from pipeline.errors import AwawayError

REPEATS_MAX: Final = 10
"""Max lines of one kind (logger, level, message without its arguments) in one window."""

REPEATS_WINDOW_S: Final = 60.0
"""Length of a window; it begins with a kind's first line."""

_KINDS_MAX: Final = 1_000
"""Kinds of lines that are counted at once; the least recently seen is forgotten."""

_MASK: Final = "**********"
_SECRET_NAME: Final = re.compile(
    r"password|secret|token|jaas|authorization|\.pem$|user\.info", re.I
)
_SECRET_TEXT: Final = re.compile(
    r"(?P<keep>[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)"
    r"|(?P<name>[\w.-]*(?:password|secret|token|user\.info)['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s,;}]+)",
    re.IGNORECASE,
)
_QUIET: Final = ("aiohttp", "asyncio", "faust", "httpx", "httpx2", "mode", "urllib3")
"""Loggers whose lines of level info interest a developer only."""

_SERVICE_STEP: Final = "[^"
"""How the lines of mode begin, about every step of every service, in the service's own logger."""

Event = MutableMapping[str, object]


def configure_logging(form: str, level: str, stream: TextIO | None = None) -> None:
    """Send the lines of every logger of the process to one stream, in one form.

    Args:
        form: json, console, or auto: console when the stream is a terminal.
        level: debug, info, warning or error.
        stream: stderr when None.

    A further call replaces the configuration.
    """
    target = sys.stderr if stream is None else stream
    if form == "auto":
        form = "console" if target.isatty() else "json"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta
    ]
    if form == "json":
        last += [
            structlog.processors.format_exc_info,
            _mask,
            structlog.processors.JSONRenderer(sort_keys=False),
        ]
    else:
        plain = structlog.dev.plain_traceback
        colours = target.isatty()
        render = structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)
        # Masked once more after the renderer, as the renderer writes the traceback.
        last += [_mask, lambda *line: mask_text(str(render(*line)))]
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last)
    )
    handler.addFilter(_is_no_expected_crash)
    handler.addFilter(RepeatFilter(time.monotonic))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level.upper())
    if logging.root.level > logging.DEBUG:
        handler.addFilter(_is_no_service_step)
    for name in _QUIET:
        logging.getLogger(name).setLevel(
            logging.NOTSET if logging.root.level == logging.DEBUG else logging.WARNING
        )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _is_no_expected_crash(record: logging.LogRecord) -> bool:
    """False for mode's traceback of an error that the command reports with its cause and fix."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, AwawayError) and str(record.msg).startswith(_SERVICE_STEP))


class RepeatFilter(logging.Filter):
    """Lets a bounded number of lines of each kind through in a window.

    Args:
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # Kind -> (window's start in s, lines in it); the least recently seen kind first.
        self._seen: OrderedDict[tuple[str, int, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a line beyond the bound. The first line after a window in which lines were left
        out says how many, as `suppressed`.
        """
        kind = (record.name, record.levelno, _template(record))
        now_s = self._monotonic()
        with self._lock:
            start_s, lines = self._seen.pop(kind, (now_s, 0))
            missed = 0
            if now_s - start_s >= REPEATS_WINDOW_S:
                missed = max(0, lines - REPEATS_MAX)
                start_s, lines = now_s, 0
            self._seen[kind] = (start_s, lines + 1)
            if len(self._seen) > _KINDS_MAX:
                self._seen.popitem(last=False)
        if missed and isinstance(record.msg, dict):
            record.msg["suppressed"] = missed
        elif missed:
            record.msg = f"{record.msg} [{missed} more like this were not written]"
        return lines < REPEATS_MAX


def mask_text(text: str) -> str:
    """`text` without the passwords in its URLs and `name=value` pairs."""
    return _SECRET_TEXT.sub(lambda found: (found["keep"] or found["name"]) + _MASK, text)


def _is_no_service_step(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not str(record.msg).startswith(_SERVICE_STEP)


def _template(record: logging.LogRecord) -> str:
    if isinstance(record.msg, dict):
        # One partition's lines must not hide another's: each logs that it is ready.
        return f"{record.msg.get('event', '')} {record.msg.get('partition', '')}"
    return str(record.msg)


def _mask(_: object, __: str, event: Event) -> Event:
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = _MASK
        elif isinstance(value, str):
            event[name] = mask_text(value)
        elif isinstance(value, dict | list | tuple):
            event[name] = _masked(value)
    return event


def _masked(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: _MASK if _SECRET_NAME.search(str(key)) else _masked(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return mask_text(value) if isinstance(value, str) else value
