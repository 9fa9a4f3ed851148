"""Schema resolution: a writer's type and ours to one function that reads the one as the other.

Owns: which types match, what is read, skipped or filled in, and how deep a value may be.
Does not own: what a schema is (avro_types.py), single values (avro_wire.py), skipping
(avro_skip.py).
Source: Apache Avro 1.12, "Schema Resolution". Rules that it leaves open, or that are ours:

- A branch of a writer's union that cannot be read as ours is refused when a record carries it, not
  before; a union of which no branch can be read is refused at once.
- Of our union that branch is taken whose full name is the written type's, else the first that
  matches; of ours only named types can have two that match, or numbers by promotion.
- A logical type counts only if it says what a number means (`AvroType.meaning`), and ours has one
  too: then both must be the same. So micros are never read as millis, while the text of a UUID is
  text, and a plain long is what our schema says.
- Records, enums and fixed match by their names without namespaces, or by an alias of ours.
"""

from collections.abc import Sequence
from typing import Any, Final

from pipeline.codec.avro_bounds import MalformedAvroError, UnresolvableSchemaError
from pipeline.codec.avro_defaults import default_of, fresh
from pipeline.codec.avro_skip import Depth, Skipper
from pipeline.codec.avro_types import TYPE_DEPTH_MAX, AvroType, Field
from pipeline.codec.avro_wire import (
    READS,
    Read,
    check_block_end,
    check_room,
    read_count,
    read_fixed,
    read_index,
    read_string,
)

ITEMS_MAX: Final = 10_000
"""Max items of an array or map that we keep."""

EMPTY_ITEMS_MAX: Final = 64
"""Max items of an array that we keep if they have no bytes, as those cost nothing to send."""

_WHERE_CHARS_MAX: Final = 80
_SHOWN_MAX: Final = 40


class Resolver:
    """Resolves one writer's schema against ours.

    Attributes:
        depth: what the reads count with; to be set before each body.
    """

    def __init__(self) -> None:
        self.depth = Depth()
        self._skipper = Skipper(self.depth)
        self._records: dict[tuple[AvroType, AvroType], Read] = {}
        self._unreadable: dict[tuple[AvroType, AvroType], str] = {}
        self._levels = 0

    def resolve(self, writer: AvroType, reader: AvroType, where: str) -> Read:
        """Return a read that gives what the reader expects.

        Args:
            writer: of the bytes.
            reader: of the values.
            where: the field, for messages.

        Raises:
            UnresolvableSchemaError: no value of the writer's can be read so.
        """
        self._levels += 1
        if self._levels > TYPE_DEPTH_MAX:
            raise UnresolvableSchemaError(
                f"it has more than {TYPE_DEPTH_MAX} types within each other"
            )
        where = where[-_WHERE_CHARS_MAX:]
        levels = self._levels
        try:
            return self._resolve(writer, reader, where)
        finally:
            self._levels = levels - 1

    def _resolve(self, writer: AvroType, reader: AvroType, where: str) -> Read:
        if writer.kind == "union":
            return self._written_union(writer, reader, where)
        if reader.kind == "union":
            return self.resolve(writer, _branch_for(writer, reader, where), where)
        if writer.kind == reader.kind and writer.kind in ("array", "map"):
            return self._collection(writer, reader, where)
        numbers_differ = writer.meaning != reader.meaning and writer.meaning and reader.meaning
        if not _match(writer, reader) or numbers_differ:
            raise _mismatch(writer, reader, where)
        if writer.kind == "record":
            return self._record(writer, reader, where)
        if writer.kind == "enum":
            return _enum(writer, reader, where)
        if writer.kind == "fixed":
            return read_fixed(writer.size)
        return READS[writer.kind, reader.kind]

    def _collection(self, writer: AvroType, reader: AvroType, where: str) -> Read:
        written, is_map = writer.branches[0], writer.kind == "map"
        item = f"{'a value' if is_map else 'an item'} of {where}"
        read_item = self.resolve(written, reader.branches[0], item)
        read = _map(read_item, written) if is_map else _array(read_item, written, where)
        return self.depth.counted_read(read, writer)

    def _written_union(self, writer: AvroType, reader: AvroType, where: str) -> Read:
        reads: list[Read] = []
        errors: list[str] = []
        for branch in writer.branches:
            try:
                reads.append(self.resolve(branch, reader, where))
            except UnresolvableSchemaError as error:
                errors.append(str(error))
                reads.append(_refusal(errors[-1]))
        if len(errors) == len(reads):
            raise UnresolvableSchemaError(errors[0] if errors else f"{where} is an empty union")
        return _union(reads, [branch.kind for branch in writer.branches])

    def _record(self, writer: AvroType, reader: AvroType, where: str) -> Read:
        pair = writer, reader
        if pair in self._unreadable:
            raise UnresolvableSchemaError(self._unreadable[pair])
        if pair in self._records:
            return self._records[pair]
        # What the record has of itself is read by what it becomes.
        later = _refusal(f"{where} is of a record that cannot be read")

        def read_itself(data: bytes, at: int) -> tuple[Any, int]:
            return later(data, at)

        self._records[pair] = read_itself
        try:
            read = self._fields(writer, reader, where)
        except UnresolvableSchemaError as error:
            self._unreadable[pair] = str(error)
            raise
        later = self._records[pair] = self.depth.counted_read(read, writer)
        return later

    def _fields(self, writer: AvroType, reader: AvroType, where: str) -> Read:
        prefix = f"{where}." if where else ""
        indexes = _our_indexes(writer.fields, reader.fields)
        found = set(indexes.values())
        row: list[Any] = [
            None if n in found else default_of(field) for n, field in enumerate(reader.fields)
        ]
        steps: list[tuple[Read, int]] = []
        unread: list[AvroType] = []
        for n, field in enumerate(writer.fields):
            index = indexes.get(n)
            if index is None:
                unread.append(field.type)
                continue
            self._pass_over(unread, steps, len(row))
            expected = reader.fields[index]
            read = self.resolve(field.type, expected.type, f"{prefix}{expected.name}")
            steps.append((read, index))
        self._pass_over(unread, steps, len(row))
        return _row(row, steps)

    def _pass_over(
        self, unread: list[AvroType], steps: list[tuple[Read, int]], nowhere: int
    ) -> None:
        """Add the skipping of the fields between two that we read, as far as they have bytes."""
        skip = self._skipper.all_of(unread)
        unread.clear()
        if skip is not None:
            passing = skip
            steps.append((lambda data, at: (None, passing(data, at)), nowhere))


def _our_indexes(written: Sequence[Field], ours: Sequence[Field]) -> dict[int, int]:
    """Map each written field to ours of the same name, else to ours that has the name as alias."""
    numbers = {field.name: n for n, field in enumerate(written)}
    indexes = {numbers[field.name]: n for n, field in enumerate(ours) if field.name in numbers}
    named = set(indexes.values())
    for n, field in enumerate(ours):
        aliased = [numbers[alias] for alias in field.aliases if alias in numbers]
        free = [number for number in aliased if number not in indexes]
        if n not in named and free:
            indexes[free[0]] = n
    return indexes


def _match(writer: AvroType, reader: AvroType) -> bool:
    """Return whether two types match by the specification; the fields of records do not count."""
    if "union" in (writer.kind, reader.kind):
        return True
    if (writer.kind, reader.kind) in READS:
        return True
    if writer.kind != reader.kind:
        return False
    if writer.kind in ("array", "map"):
        return _match(writer.branches[0], reader.branches[0])
    if writer.kind == "fixed" and writer.size != reader.size:
        return False
    return writer.short_name in _names(reader)


def _names(reader: AvroType) -> set[str]:
    return {name.rpartition(".")[2] for name in (reader.name, *reader.aliases)}


def _branch_for(writer: AvroType, reader: AvroType, where: str) -> AvroType:
    matching = [branch for branch in reader.branches if _match(writer, branch)]
    if not matching:
        expected = next((one for one in reader.branches if one.kind != "null"), reader)
        raise _mismatch(writer, expected, where)
    return next((one for one in matching if one.name and one.name == writer.name), matching[0])


def _mismatch(writer: AvroType, reader: AvroType, where: str) -> UnresolvableSchemaError:
    place = where or "it"
    if writer.name and writer.kind == reader.kind and writer.short_name not in _names(reader):
        return UnresolvableSchemaError(
            f"{place} is of {writer.short_name[:_SHOWN_MAX]}, not of {reader.short_name}"
        )
    return UnresolvableSchemaError(f"{place} has {writer} where {reader} is expected")


def _refusal(detail: str) -> Read:
    def read(_: bytes, __: int) -> tuple[None, int]:
        raise MalformedAvroError("wrong_type", detail)

    return read


def _union(reads: list[Read], kinds: list[str]) -> Read:
    count = len(reads)
    read_branch = read_index("a union has no branch", count)
    if count == 2 and "null" in kinds and reads[kinds.index("null")] is READS["null", "null"]:
        return _optional(reads[1 - kinds.index("null")], 2 * kinds.index("null"))

    def read(data: bytes, at: int) -> tuple[Any, int]:
        branch, at = read_branch(data, at)
        return reads[branch](data, at)

    return read


def _optional(read_other: Read, null: int) -> Read:
    """Return a read of a union of null and another type, whose branches are the bytes 0 and 2."""
    read_branch = read_index("a union has no branch", 2)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        byte = data[at]
        if byte == null:
            return None, at + 1
        if byte == 2 - null:
            return read_other(data, at + 1)
        branch, at = read_branch(data, at)
        return (None, at) if 2 * branch == null else read_other(data, at)

    return read


def _enum(writer: AvroType, reader: AvroType, where: str) -> Read:
    known = set(reader.symbols)
    symbols = [one if one in known else reader.default for one in writer.symbols]
    read_symbol = read_index("an enum has no symbol", len(symbols))

    def read(data: bytes, at: int) -> tuple[str, int]:
        number, at = read_symbol(data, at)
        symbol = symbols[number]
        if symbol is None:
            raise MalformedAvroError(
                "wrong_type", f"{where} has a symbol of {reader.short_name} that is not known here"
            )
        return symbol, at

    return read


def _array(read_item: Read, written: AvroType, where: str) -> Read:
    bytes_min = written.bytes_min
    items_max = EMPTY_ITEMS_MAX if written.bytes_exact == 0 else ITEMS_MAX

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        while True:
            count, end, at = read_count(data, at)
            if count == 0:
                return items, at
            if len(items) + count > items_max:
                raise MalformedAvroError(
                    "collection_too_large", f"{where} has more than {items_max} items"
                )
            check_room(data, at, count * bytes_min)
            for _ in range(count):
                item, at = read_item(data, at)
                items.append(item)
            check_block_end(at, end)

    return read


def _map(read_value: Read, written: AvroType) -> Read:
    bytes_min = 1 + written.bytes_min

    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        entries: dict[str, Any] = {}
        while True:
            count, end, at = read_count(data, at)
            if count == 0:
                return entries, at
            if len(entries) + count > ITEMS_MAX:
                raise MalformedAvroError(
                    "collection_too_large", f"a collection has more than {ITEMS_MAX} items"
                )
            check_room(data, at, count * bytes_min)
            for _ in range(count):
                key, at = read_string(data, at)
                if key in entries:
                    raise MalformedAvroError(
                        "duplicate_field", f"a map has the key {key[:_SHOWN_MAX]!r} twice"
                    )
                entries[key], at = read_value(data, at)
            check_block_end(at, end)

    return read


def _row(values: list[Any], steps: list[tuple[Read, int]]) -> Read:
    """Return a read of a record that fills the written fields into a copy of `values`."""
    changeable = [n for n, value in enumerate(values) if isinstance(value, (list, dict))]

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        row = [*values, None]
        for index in changeable:  # rows must not share them
            row[index] = fresh(values[index])
        for read_field, index in steps:
            row[index], at = read_field(data, at)
        row.pop()
        return row, at

    in_order = [index for _, index in steps] == list(range(len(values)))
    return _row_in_order([one for one, _ in steps]) if in_order else read


def _row_in_order(reads: list[Read]) -> Read:
    """Return a read of a record whose fields are written in our order, as nearly all are."""
    steps = [(one is read_string, one) for one in reads]

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        row: list[Any] = []
        append = row.append
        for is_text, read_field in steps:
            if is_text and not (size := data[at]) & 0x81:  # a short one: save the call
                at += 1
                end = at + (size >> 1)
                append(data[at:end].decode())
                at = end
            else:
                value, at = read_field(data, at)
                append(value)
        return row, at

    return read
