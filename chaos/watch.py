"""A consumer that reads along, and must have seen at the end what the log says.

Owns: a read_committed reader of the outputs, on a thread, through everything that happens.
Does not own: what is wrong with a difference (judge.py).
Invariant: what was seen is never corrected: a record that is read is kept as it was.
"""

import threading
import zlib
from contextlib import suppress
from typing import Final

from chaos.ledger import OUTPUTS, Ledger
from pipeline.dev.oracle.events import Coordinates
from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.reader import Reader, record_offset, record_partition

RECORDS_AT_ONCE: Final = 2_000
POLL_S: Final = 0.2


def checksum(key: bytes | None, value: bytes | None) -> int:
    """What tells one record from another at the same coordinates."""
    return zlib.crc32(value or b"", zlib.crc32(key or b""))


class Watch:
    """Reads every output from its start.

    Attributes:
        seen: checksums by (topic, partition, offset).
        changed: coordinates of records that were delivered twice with different content.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._positions = {
            (ledger.topic(name), p): 0 for name in OUTPUTS for p in range(ledger.partitions)
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.seen: dict[Coordinates, int] = {}
        self.changed: set[Coordinates] = set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; what is in the log and was not read by now stays unseen."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        settings = {"bootstrap.servers": self._ledger.bootstrap, "log_level": 2}
        while not self._stop.is_set():
            # The broker goes away now and then; a reader that has gone silent is replaced.
            with (
                suppress(UnreadableLogError),
                Reader(settings, f"{self._ledger.prefix}watch", is_patient=True) as reader,
            ):
                reader.assign(self._positions)
                self._read(reader)

    def _read(self, reader: Reader) -> None:
        while not self._stop.is_set():
            polled = reader.gather(RECORDS_AT_ONCE, POLL_S)
            for record in polled.records:
                coordinates = (*record_partition(record), record_offset(record))
                found = checksum(record.key(), record.value())
                if self.seen.setdefault(coordinates, found) != found:
                    self.changed.add(coordinates)
            self._positions.update(polled.positions())
