"""Counting the steps and the memory of one read.

Owns: the measure: calls of functions, Python's and C's, while a body is read. Loops of the reader
call something in each round, but for the ten bytes of a number.
Does not own: how many there may be (test_avro_cost.py, test_avro_fuzz.py).
"""

import sys
import tracemalloc
from types import FrameType
from typing import Any

from pipeline.codec.avro_reader import AvroReader, MalformedAvroError

STEPS_PER_BYTE = 16
STEPS_ANYWAY = 400


class StepsExceededError(BaseException):
    """More steps than a body may take; nothing in the reader may catch it."""


def steps_of(reader: AvroReader, body: bytes, steps_max: int) -> int:
    """The steps of a read, whatever comes of it.

    Args:
        reader: to be measured.
        body: to be read.
        steps_max: where to stop counting.

    Raises:
        StepsExceededError: it takes more.
    """
    steps = 0

    def count(_: FrameType, event: str, __: Any) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")
        if steps > steps_max:
            raise StepsExceededError

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        reader.read(body, 0)
    except MalformedAvroError:
        pass
    finally:
        sys.setprofile(before)
    return steps


def allowed(body: bytes, per_byte: int = STEPS_PER_BYTE) -> int:
    """The steps that a body may take."""
    return STEPS_ANYWAY + per_byte * len(body)


def memory_of(reader: AvroReader, body: bytes) -> int:
    """Most bytes that a read has at once."""
    tracemalloc.start()
    try:
        reader.read(body, 0)
    except MalformedAvroError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak
