"""An export: entries, checkpoints, keys and schemas in a folder that needs nothing else.

Owns: the folder's layout, writing it so that a run that was killed goes on, reading it again.
Does not own: verifying it (verify.py), what a line of it means (signed.py, keys.py).
Invariants: the bytes of an entry are those of the topic. The manifest is written last: where it is,
the export is whole. It names every file with its SHA-256.

    manifest.json       what is here
    entries-<n>.bin     the records of partition n: offset (8 bytes), length (4), value; big endian
    checkpoints.txt     every signed checkpoint, one a line, by chain and number
    keys.txt            the list of public keys
    schemas/<id>.avsc   the schema that the first five bytes of a value name
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

import msgspec

from pipeline.codec.schemas import JsonSchema
from pipeline.errors import AwawayError, UsageError
from pipeline.ops.audit.entry import has_links, schema_id_in
from pipeline.ops.audit.findings import Finding
from pipeline.ops.audit.follow import Chain, Record
from pipeline.ops.audit.sightings import Sighting
from pipeline.ops.audit.signed import parse
from pipeline.ops.audit.topic import AuditTopics
from pipeline.whole_file import write_whole

FORMAT: Final = "awaway-audit-export/1"
MANIFEST: Final = "manifest.json"
CHECKPOINTS: Final = "checkpoints.txt"
KEYS: Final = "keys.txt"

_HEAD: Final = Struct(">QI")
_BLOCK_BYTES: Final = 1 << 20
_REPORT_EVERY: Final = 20_000


class ExportError(AwawayError):
    """An export cannot be written or read.

    Operator action: check the folder; a run that was stopped goes on when it is given again.
    """


class ExportedPartition(msgspec.Struct, frozen=True):
    """What of a partition is here. `chains`: number of entries and last hash, by generation."""

    first_offset: int
    next_offset: int
    chains: dict[str, tuple[int, str]]


class Manifest(msgspec.Struct, frozen=True):
    """What an export is.

    Attributes:
        generations: that there are, by who exported it.
        findings: how many there were when it was exported.
        files: SHA-256 of each, by its path.
    """

    format: str
    topic: str
    exported_at: str
    generations: list[str]
    partitions: dict[int, ExportedPartition]
    findings: int
    files: dict[str, str]


class ExportingLog:
    """The audit's records, kept in a folder as they are read; what is there is not read again.

    Args:
        folder: without a manifest; it is made.

    Attributes:
        schema_ids: that the values name.

    Raises:
        UsageError: there is a whole export in the folder.
    """

    def __init__(self, topics: AuditTopics, folder: Path) -> None:
        if (folder / MANIFEST).exists():
            raise UsageError(f"{folder} has a whole export already", fix="name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        self.topic = topics.topic
        self.schema_ids: set[int] = set()
        self.ranges: dict[int, tuple[int, int]] = {}
        self._topics = topics
        self._folder = folder

    def range(self, partition: int) -> tuple[int, int]:
        """As of the topic."""
        self.ranges[partition] = self._topics.range(partition)
        return self.ranges[partition]

    def records(
        self, partition: int, first: int, end: int, say: Callable[[int, int], None]
    ) -> Iterator[Record]:
        """Those that the folder has, then the topic's, which are added to it."""
        path = self._folder / f"entries-{partition}.bin"
        path.touch()
        with path.open("r+b") as file:
            size = 0
            for offset, value in read_records(file):
                size += _HEAD.size + len(value or b"")
                first = offset + 1
                self._note(value)
                yield offset, value
            file.seek(size)  # behind it is what a run that was killed began to write
            file.truncate()
            for offset, value in self._topics.records(partition, first, end, say):
                self._note(value)
                file.write(pack((offset, value)))
                yield offset, value

    def _note(self, value: bytes | None) -> None:
        schema_id = schema_id_in(value)
        if schema_id is not None:
            self.schema_ids.add(schema_id)


def pack(record: Record) -> bytes:
    """A record as its file has it; a null value is an empty one."""
    offset, value = record
    return _HEAD.pack(offset, len(value or b"")) + (value or b"")


def read_records(file: BinaryIO) -> Iterator[Record]:
    """The whole records of a file."""
    rest, head = b"", _HEAD.size
    while block := file.read(_BLOCK_BYTES):
        data, at = rest + block, 0
        size = len(data)
        while (start := at + head) <= size:
            offset, length = _HEAD.unpack_from(data, at)
            if start + length > size:
                break
            at = start + length
            yield offset, data[start:at]
        rest = data[at:]


def finish(
    folder: Path,
    log: ExportingLog,
    schema_of: Callable[[int], JsonSchema | None],
    lines: tuple[Sequence[str], str],
    manifest: Manifest,
) -> Manifest:
    """Add what is beside the entries, and the manifest at the end.

    Args:
        schema_of: the schema of an id; None where there is none.
        lines: of the checkpoints, and the text of the list of keys.
        manifest: without its files.

    Raises:
        ExportError: it cannot be written.
    """
    checkpoints, keys = lines
    try:
        write_whole(folder / CHECKPOINTS, "".join(f"{line}\n" for line in checkpoints).encode())
        write_whole(folder / KEYS, keys.encode())
        (folder / "schemas").mkdir(exist_ok=True)
        for schema_id in sorted(log.schema_ids):
            schema = schema_of(schema_id)
            if schema is not None:
                text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
                write_whole(folder / "schemas" / f"{schema_id}.avsc", text.encode())
        names = [f"entries-{number}.bin" for number in manifest.partitions]
        names += [CHECKPOINTS, KEYS]
        names += [f"schemas/{path.name}" for path in sorted((folder / "schemas").glob("*.avsc"))]
        files = {name: _digest(folder / name) for name in names}
        whole = msgspec.structs.replace(manifest, files=files)
        write_whole(
            folder / MANIFEST, msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
        )
    except OSError as error:
        raise ExportError(
            f"{folder} cannot be written", why=str(error), fix="make room, and run it again"
        ) from error
    return whole


def in_order(lines: Iterable[str]) -> list[str]:
    """Lines of checkpoints, each once, by chain and number; what is no checkpoint comes last."""

    def place(line: str) -> tuple[bool, str, int, int]:
        one = parse(line)
        if one is None:
            return (True, line, 0, 0)
        return (False, one.generation, one.partition, one.number)

    return sorted(dict.fromkeys(lines), key=place)


def exported(log_range: tuple[int, int], chains: dict[str, Chain]) -> ExportedPartition:
    """What the manifest says of a partition."""
    heads = {
        name: (chain.head.next_sequence, chain.head.hash.hex()) for name, chain in chains.items()
    }
    return ExportedPartition(*log_range, heads)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ExportFolder:
    """An export, read; a log of entries as `Verifier` takes it.

    Raises:
        ExportError: there is no whole export.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self.manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ExportError(
                f"{folder} has no whole export",
                why=str(error),
                fix="run `awaway audit export` once more with the same folder: it goes on",
            ) from error
        self.topic = self.manifest.topic
        self.keys = folder / KEYS

    def range(self, partition: int) -> tuple[int, int]:
        """By the manifest."""
        found = self.manifest.partitions[partition]
        return found.first_offset, found.next_offset

    def records(
        self, partition: int, first: int, end: int, say: Callable[[int, int], None]
    ) -> Iterator[Record]:
        """The records of a partition's file from an offset up to another."""
        path = self._folder / f"entries-{partition}.bin"
        if not path.exists():
            return  # damaged() says so
        with path.open("rb") as file:
            for number, record in enumerate(read_records(file)):
                if number % _REPORT_EVERY == 0:
                    say(max(0, record[0] - first), end - first)
                if first <= record[0] < end:
                    yield record
        say(end - first, end - first)

    def has_links(self, schema_id: int) -> bool:
        """Whether entries of a schema of the export have their hashes where they are looked for."""
        try:
            text = (self._folder / "schemas" / f"{schema_id}.avsc").read_text(encoding="utf-8")
            return has_links(json.loads(text))
        except (OSError, ValueError):
            return False

    def checkpoints(self) -> list[Sighting]:
        """The lines of the export's checkpoints."""
        path = self._folder / CHECKPOINTS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [Sighting(line, "export", f"{path} line {n}") for n, line in enumerate(lines, 1)]

    def damaged(self) -> list[Finding]:
        """The files that are not as the manifest says."""
        findings = []
        for name, digest in self.manifest.files.items():
            path = self._folder / name
            found = f"SHA-256 {_digest(path)}" if path.exists() else "no such file"
            if found != f"SHA-256 {digest}":
                findings.append(Finding("damaged_export", str(path), f"SHA-256 {digest}", found))
        return findings

    def partitions(self, wanted: Collection[int] | None) -> list[int]:
        """Those that are wanted, of those that are there."""
        return [one for one in sorted(self.manifest.partitions) if not wanted or one in wanted]
