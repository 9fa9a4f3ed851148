"""The table of one subject's versions, as far as the registry has answered.

Owns: which schema each id of the subject has, and which versions could not be read.
Does not own: when the registry is asked (writers.py), requests (registry_client.py).
Invariants: an id keeps the schema with which it was first read; soft-deleted versions count, as
their records are still in the log; the table is bounded in versions and in characters, and of more
the newest are held. One thread reads at a time; any thread may look.
"""

from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Final, NamedTuple

from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.codec.avro_reader import UnresolvableSchemaError, parse_writer_schema
from pipeline.codec.errors import RegistryUnavailableError
from pipeline.codec.registry_client import ASKED_AT_ONCE, Version, version_numbers, version_of

VERSIONS_MAX: Final = 1_000
"""Max versions of one subject that are kept."""

TEXTS_CHARS_MAX: Final = 16 * 1024 * 1024
"""Max characters of all kept schema texts of one subject together."""


class Text(NamedTuple):
    """A schema's text, or none and why it is not one that can be read."""

    schema: str
    problem: str | None = None


class SubjectTable:
    """The versions that are known of one subject.

    Args:
        client: `registry_client.connect`.
        subject: such as `awaway.completions-value`.

    Attributes:
        texts: by schema id.
        left_out: versions that the subject has beyond `VERSIONS_MAX`.
    """

    def __init__(self, client: SchemaRegistryClient, subject: str) -> None:
        self._client = client
        self._subject = subject
        self.texts: dict[int, Text] = {}
        self.left_out = 0
        self._held: dict[int, tuple[int, int]] = {}
        self._read: dict[int, int | None] = {}

    def read(self) -> RegistryUnavailableError | None:
        """Ask for the versions that are not in the table.

        Returns:
            None when the table has them all; else why one that the subject has could not be read,
            though the registry answered.

        Raises:
            RegistryUnavailableError: the registry did not list the versions, or fell silent. What
                was read before stays.
        """
        numbers = version_numbers(self._client, self._subject, deleted=True)
        if not numbers:
            raise RegistryUnavailableError(
                f"the registry has no subject {self._subject}",
                why=f"HTTP {HTTPStatus.NOT_FOUND:d}: it had one when this worker started",
                fix="run `awaway schemas plan`; find out what became of the registry's data",
                http_status=HTTPStatus.NOT_FOUND,
            )
        newest = numbers[-VERSIONS_MAX:]
        self.left_out = len(numbers) - len(newest)
        self._read = {n: self._read[n] for n in newest if n in self._read}
        if self._was_recreated(newest[-1]):
            self._client.clear_caches()  # type: ignore[no-untyped-call]
            self._read.clear()
        return self._read_all([n for n in reversed(newest) if n not in self._read])

    def _was_recreated(self, last: int) -> bool:
        """Return whether the newest version's id has changed, so that the subject was recreated."""
        before = self._read.get(last)
        latest = None if before is None else version_of(self._client, self._subject)
        return latest is not None and latest.number == last and latest.schema_id != before

    def _read_all(self, numbers: list[int]) -> RegistryUnavailableError | None:
        gap: RegistryUnavailableError | None = None
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            for start in range(0, len(numbers), ASKED_AT_ONCE):
                some = numbers[start : start + ASKED_AT_ONCE]
                for number, answer in zip(some, pool.map(self._ask, some), strict=True):
                    if isinstance(answer, RegistryUnavailableError):
                        gap = gap or answer
                        continue
                    self._read[number] = None if answer is None else answer.schema_id
                    if answer is not None:
                        self._keep(answer)
        return gap

    def _ask(self, number: int) -> Version | RegistryUnavailableError | None:
        try:
            return version_of(self._client, self._subject, number, deleted=True)
        except RegistryUnavailableError as error:
            if error.fields.get("http_status") is None:
                raise  # it fell silent; the others would wait as long
            return error

    def _keep(self, version: Version) -> None:
        if version.schema_id in self.texts:
            return
        text = _text_of(version)
        self._held[version.schema_id] = version.number, len(text.schema)
        self.texts[version.schema_id] = text
        while len(self._held) > VERSIONS_MAX or self._chars() > TEXTS_CHARS_MAX:
            oldest = min(self._held, key=self._held.__getitem__)
            del self._held[oldest], self.texts[oldest]

    def _chars(self) -> int:
        return sum(chars for _, chars in self._held.values())


def _text_of(version: Version) -> Text:
    if version.kind != "AVRO":
        return Text("", f"it is {version.kind[:64]}, not Avro")
    if version.refers:
        return Text(
            "", "it refers to other schemas of the registry, which are not read; register it in one"
        )
    try:
        parse_writer_schema(version.text)
    except UnresolvableSchemaError as error:
        return Text("", str(error))
    return Text(version.text)
