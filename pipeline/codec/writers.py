"""The schemas that a worker's inputs may name, looked up without waiting long for the registry.

Owns: when one topic's subject is read again, what an id is that its table does not have, and for
how long that may stay open.
Does not own: the table (subject_table.py), what becomes of a refused record (processing.py).

An id is never asked for by itself: the whole subject is read, two requests, on a thread of its own.
So a flood of ids costs no more requests than one. What is said of an id that the table lacks:

| the subject was last read | said |
|---|---|
| after the record was appended | unknown |
| before, and it may be read again | read it and wait, `WAIT_S` at most, then away |
| before, and it was read too often lately | unknown, with a text that says so |
| in vain: no answer, 5xx | away, until there is an answer |
| in vain: any other answer | away; after `REFUSED_S` of nothing else: not readable |

Away means that the batch is tried again, and that no record of it is refused.

"After the record was appended" is decided by the broker's clock, without trusting that it agrees
with ours: a record that we have read was in the log, so the log's time is at least its append time
plus what passed since. The same bound, taken at the start of a reading, says which records were in
the log by then.

Invariants: an id of the table is answered at once, whatever the registry does; one batch waits for
`WAIT_S` at most; what is remembered is bounded. Ordering it relies on: a producer registers before
it sends, so a reading that starts after a record's append has the record's schema.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.codec.avro_reader import UnresolvableSchemaError, parse_writer_schema
from pipeline.codec.errors import (
    RegistryUnavailableError,
    SchemaNotReadableError,
    UnknownSchemaIdError,
)
from pipeline.codec.registry_client import was_answered
from pipeline.codec.schemas import JsonSchema
from pipeline.codec.subject_table import VERSIONS_MAX, SubjectTable, Text

WAIT_S: Final = 0.5
"""Max seconds that a batch waits for a reading; two requests to a near registry take 0.05 s."""

REFUSED_S: Final = 60.0
"""Seconds for which the refusals of a registry count as a passing fault; then records become dead
letters."""

READINGS_AT_ONCE: Final = 10
READING_EVERY_S: Final = 1.0
"""Seconds from one reading of a subject to the next, once `READINGS_AT_ONCE` have been made in a
row."""

WAITING_SHARE: Final = 0.1
"""Max share of the time that readings take in the long run, however long each one takes."""

UNKNOWN_S: Final = 30.0
"""Seconds for which an id that was not there is not asked for again; a schema that is registered
after its first record is not seen for as long."""

UNKNOWN_MAX: Final = 1_024
AGAIN_S_MIN: Final = 1.0
AGAIN_S_MAX: Final = 15.0
RETRY_AFTER_S_MAX: Final = 30.0

_SLOWER_MS: Final = 999.0
"""Milliseconds by which the known log time grows in each second: a little less than a second has,
so that a broker's clock that was set back is believed in the end."""

logger = logging.getLogger(__name__)


def _on_a_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="schemas", daemon=True).start()


class SubjectSchemas:
    """Looks up the schemas of one input topic's subject.

    Args:
        client: `registry_client.connect`.
        subject: such as `awaway.completions-value`.
        clock: seconds of elapsed time.
        start: runs a reading elsewhere.
    """

    def __init__(
        self,
        client: SchemaRegistryClient,
        subject: str,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None]], None] = _on_a_thread,
    ) -> None:
        self._subject = subject
        self._clock = clock
        self._start = start
        self._table = SubjectTable(client, subject)
        self._changed = threading.Condition()
        self._is_reading = False
        self._read_at = -inf
        self._trouble: RegistryUnavailableError | None = None
        self._failures = 0
        self._refused_since: float | None = None
        self._again_at = -inf
        self._left, self._left_at = float(READINGS_AT_ONCE), clock()
        self._every_s = READING_EVERY_S
        self._unknown_until: OrderedDict[int, float] = OrderedDict()
        self._leads_ms: dict[int, float] = {}
        self._lead_ms = inf
        self._newest_ms = 0

    def prefetch(self) -> None:
        """Read the subject for the first time, without waiting for it."""
        with self._changed:
            self._read_again()

    def begin(self, partition: int, append_time: int) -> None:
        """Say which records are about to be decoded.

        Args:
            partition: of the topic.
            append_time: of the newest of them, in milliseconds of the broker's clock.
        """
        lead_ms = append_time - self._clock() * _SLOWER_MS
        self._lead_ms = max(lead_ms, self._leads_ms.get(partition, -inf))
        self._leads_ms[partition] = self._lead_ms
        self._newest_ms = append_time

    def writer_schema(self, schema_id: int) -> JsonSchema:
        """Return the schema that a record of the batch names.

        Args:
            schema_id: any number that a record's framing can hold.

        Raises:
            UnknownSchemaIdError: it is of no version of the subject.
            UnresolvableSchemaError: it is of one that is not Avro.
            SchemaNotReadableError: the registry has refused to say for `REFUSED_S`.
            RegistryUnavailableError: not known yet; the batch must be tried again.
        """
        text = self._table.texts.get(schema_id)
        if text is None:
            text = self._look_up(schema_id)
        if text.problem is not None:
            raise UnresolvableSchemaError(text.problem)
        return parse_writer_schema(text.schema)

    def _look_up(self, schema_id: int) -> Text:
        deadline = self._clock() + WAIT_S
        with self._changed:
            while (text := self._table.texts.get(schema_id)) is None:
                now = self._clock()
                if self._unknown_until.get(schema_id, now) > now:
                    raise self._unknown(schema_id)
                if self._trouble is None and self._read_at > -inf:
                    self._judge(schema_id, now)
                elif now < self._again_at:
                    self._refuse(schema_id, now)
                if now >= deadline:
                    self._refuse(schema_id, now)
                    raise RegistryUnavailableError(
                        f"the versions of {self._subject} are being read",
                        why=f"that takes more than {WAIT_S} s; this batch is tried again",
                    )
                self._read_again()
                if self._is_reading:
                    self._changed.wait(deadline - now)
        return text

    def _judge(self, schema_id: int, now: float) -> None:
        """Raise that an id is unknown, if that is certain for the records in hand."""
        if self._read_at * _SLOWER_MS + self._lead_ms >= self._newest_ms:
            self._unknown_until[schema_id] = now + UNKNOWN_S
            self._unknown_until.move_to_end(schema_id)
            if len(self._unknown_until) > UNKNOWN_MAX:
                self._unknown_until.popitem(last=False)
            raise self._unknown(schema_id)
        if not self._is_reading and self._readings_left(now) < 1:
            raise self._unknown(
                schema_id,
                f" as it was {now - self._read_at:.1f} s ago, and read too often to be read again",
            )

    def _refuse(self, schema_id: int, now: float) -> None:
        """Raise that the schema is not readable; before `REFUSED_S`, that the registry is away."""
        trouble, since = self._trouble, self._refused_since
        if trouble is None:
            return
        if since is not None and now - since >= REFUSED_S:
            raise SchemaNotReadableError(
                f"schema id {schema_id} could not be looked up among the versions of"
                f" {self._subject} for {now - since:.0f} s ({trouble})",
                fix="let this pipeline read the subject, then redrive",
                schema_id=schema_id,
                http_status=trouble.fields.get("http_status"),
            )
        raise RegistryUnavailableError(
            trouble.what, why=trouble.why, fix=trouble.fix, **trouble.fields
        )

    def _unknown(self, schema_id: int, when: str = "") -> UnknownSchemaIdError:
        versions = f"the newest {VERSIONS_MAX} versions" if self._table.left_out else "the versions"
        return UnknownSchemaIdError(
            f"schema id {schema_id} is not among {versions} of {self._subject}{when}",
            fix=f"register the schema under {self._subject} (TopicNameStrategy) before sending, in"
            " the registry that this pipeline uses",
            schema_id=schema_id,
        )

    # --- reading ---------------------------------------------------------------------------------

    def _readings_left(self, now: float) -> float:
        left = self._left + (now - self._left_at) / self._every_s
        self._left, self._left_at = min(left, float(READINGS_AT_ONCE)), now
        return self._left

    def _read_again(self) -> None:
        if self._is_reading:
            return
        self._is_reading = True
        try:
            self._start(self._read)
        except RuntimeError as error:  # this machine has no thread left; it may have one later
            self._is_reading = False
            raise RegistryUnavailableError(
                f"the versions of {self._subject} cannot be read now", why=str(error)
            ) from error

    def _read(self) -> None:
        started = self._clock()
        is_answered = False
        trouble: RegistryUnavailableError | None = RegistryUnavailableError(
            f"the versions of {self._subject} could not be read", why="by a fault of this program"
        )
        try:
            trouble, is_answered = self._table.read(), True
        except RegistryUnavailableError as error:
            trouble, is_answered = error, was_answered(error)
        finally:
            with self._changed:
                self._is_reading = False
                self._took(started, trouble, is_answered)
                self._changed.notify_all()

    def _took(
        self, started: float, trouble: RegistryUnavailableError | None, is_answered: bool
    ) -> None:
        now = self._clock()
        self._left = self._readings_left(now) - 1
        self._every_s = max(READING_EVERY_S, (now - started) / WAITING_SHARE)
        if str(trouble) != str(self._trouble):
            self._tell(trouble)
        self._trouble = trouble
        if trouble is None:
            self._read_at, self._failures, self._refused_since = started, 0, None
            return
        if not is_answered:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = now
        again_s = min(AGAIN_S_MAX, AGAIN_S_MIN * 2.0**self._failures)
        asked_s = trouble.fields.get("retry_after_s")
        if isinstance(asked_s, float):
            again_s = min(RETRY_AFTER_S_MAX, max(again_s, asked_s))
        self._failures = min(self._failures + 1, 10)
        self._again_at = now + again_s

    def _tell(self, trouble: RegistryUnavailableError | None) -> None:
        if trouble is None:
            logger.info("the versions of %s can be read again", self._subject)
        else:
            logger.warning("the versions of %s cannot be read: %s", self._subject, trouble)


def subjects_of(topics: Sequence[str], client: SchemaRegistryClient) -> dict[str, SubjectSchemas]:
    """Return the subject of each input topic by its full name, and begin to read them."""
    subjects = {topic: SubjectSchemas(client, f"{topic}-value") for topic in topics}
    for subject in subjects.values():
        subject.prefetch()
    return subjects
