"""Run as a program: several threads read the first record of many new types, each type at once."""

import sys
import threading
from typing import Any

import msgspec

import pipeline.core.records  # noqa: F401 - what the annotations name
from pipeline.codec.published import PublishedReader
from pipeline.core.records import ProgressUpdated, Record
from tests.codec.test_published import OURS, progress_bytes, written

TYPES = 600
THREADS = 4


def _written(kind: Any) -> Any:
    """A type as an annotation that has yet to be understood, which takes its time."""
    if type(kind) is type:
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}" if type(kind) is type(Record) else str(kind)


def main() -> None:
    """Say how many records came back."""
    sys.setswitchinterval(1e-6)
    value = progress_bytes()
    fields = [(one.name, _written(one.type)) for one in msgspec.structs.fields(ProgressUpdated)]
    read: list[Any] = []
    for _ in range(TYPES):
        kind = msgspec.defstruct("ProgressUpdated", fields, module=__name__)
        reader: PublishedReader[Any] = PublishedReader(kind, OURS, written(OURS.tree))
        together = threading.Barrier(THREADS)

        def go(
            reader: PublishedReader[Any] = reader, together: threading.Barrier = together
        ) -> None:
            together.wait()
            read.append(reader.read(value))

        beside = [threading.Thread(target=go) for _ in range(THREADS)]
        for thread in beside:
            thread.start()
        for thread in beside:
            thread.join()
    print(len(read))


if __name__ == "__main__":
    main()
