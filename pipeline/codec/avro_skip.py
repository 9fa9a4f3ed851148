"""Skipping the fields that our schema does not have, and the count of how deep a value is.

Owns: skipping of every type that Avro has, the bound on the depth of values.
Does not own: single values (avro_wire.py), what is kept (avro_resolve.py).
Invariants: types without bytes cost nothing, however many there are of them; values of one length
are one step, however many lie side by side; every other step takes a byte at least. Skipping keeps
nothing, so it knows no bound on items.
"""

from collections.abc import Sequence
from typing import Any, Final

from pipeline.codec.avro_bounds import MalformedAvroError, UnresolvableSchemaError
from pipeline.codec.avro_types import TYPE_DEPTH_MAX, AvroType
from pipeline.codec.avro_wire import (
    SKIPS,
    Read,
    Skip,
    check_block_end,
    check_room,
    read_count,
    read_index,
)

VALUE_DEPTH_MAX: Final = 64
"""Max depth of records, arrays and maps in a value whose type is recursive."""

_HEIGHT_UNCOUNTED_MAX: Final = 16
"""Max height of a type that bounds the depth of its values by itself: no level is counted."""

_TOO_DEEP: Final = (
    f"it is nested too deep, at most {TYPE_DEPTH_MAX} types within each other are read"
)


class Depth:
    """Counts how much deeper the value that is being read may become.

    Attributes:
        left: levels; to be set to `VALUE_DEPTH_MAX` before each body.
        counts: whether any read or skip counts with it.
    """

    def __init__(self) -> None:
        self.left = VALUE_DEPTH_MAX
        self.counts = False

    def counted_read(self, read: Read, kind: AvroType) -> Read:
        """Return a read that counts a level, if values of the type could be too deep otherwise."""
        if kind.height <= _HEIGHT_UNCOUNTED_MAX:
            return read
        self.counts = True

        def one_deeper(data: bytes, at: int) -> tuple[Any, int]:
            self._enter()
            value, at = read(data, at)
            self.left += 1
            return value, at

        return one_deeper

    def counted_skip(self, skip: Skip, kind: AvroType) -> Skip:
        """Return a skip that counts a level, likewise."""
        if kind.height <= _HEIGHT_UNCOUNTED_MAX:
            return skip
        self.counts = True

        def one_deeper(data: bytes, at: int) -> int:
            self._enter()
            at = skip(data, at)
            self.left += 1
            return at

        return one_deeper

    def _enter(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise MalformedAvroError(
                "malformed_avro", f"a value is nested deeper than {VALUE_DEPTH_MAX} levels"
            )


class Skipper:
    """Makes the skips of one writer's types.

    Args:
        depth: that the reads of the same schema count with.
    """

    def __init__(self, depth: Depth) -> None:
        self._depth = depth
        self._records: dict[AvroType, Skip] = {}
        self._levels = 0

    def all_of(self, kinds: Sequence[AvroType]) -> Skip | None:
        """Return a skip of one value of each type in turn; None if they have no bytes.

        Raises:
            UnresolvableSchemaError: a type is too deep.
        """
        skips: list[Skip] = []
        length = 0
        for kind in kinds:
            if kind.bytes_exact is not None:
                length += kind.bytes_exact
                continue
            if length:
                skips.append(_jump(length))
                length = 0
            skips.append(self._skip(kind))
        if length:
            skips.append(_jump(length))
        if len(skips) < 2:
            return skips[0] if skips else None
        return _each(skips)

    def _skip(self, kind: AvroType) -> Skip:
        if self._levels == TYPE_DEPTH_MAX:
            raise UnresolvableSchemaError(_TOO_DEEP)
        self._levels += 1
        levels = self._levels
        try:
            return SKIPS.get(kind.kind) or self._complex(kind)
        finally:
            self._levels = levels - 1

    def _complex(self, kind: AvroType) -> Skip:
        if kind.kind == "record":
            return self._record(kind)
        if kind.kind == "union":
            return _union([self.all_of([branch]) for branch in kind.branches])
        if kind.kind == "enum":
            read_symbol = read_index("an enum has no symbol", len(kind.symbols))
            return lambda data, at: read_symbol(data, at)[1]
        item = kind.branches[0]
        before = [AvroType("string")] if kind.kind == "map" else []
        skip_item = self.all_of([*before, item])
        if item.bytes_exact is not None and not before:
            return _sized_items(item.bytes_exact)
        collection = _items(skip_item or _jump(0), item.bytes_min + len(before))
        return self._depth.counted_skip(collection, kind)

    def _record(self, kind: AvroType) -> Skip:
        known = self._records.get(kind)
        if known is not None:
            return known
        later: Skip = _too_deep

        def skip_itself(data: bytes, at: int) -> int:
            return later(data, at)

        self._records[kind] = skip_itself
        skip = self.all_of([field.type for field in kind.fields]) or _jump(0)
        later = self._records[kind] = self._depth.counted_skip(skip, kind)
        return later


def _too_deep(_: bytes, __: int) -> int:
    """Refuse a value as too deep; stands in a record for itself, and stays if that is too deep."""
    raise MalformedAvroError("wrong_type", _TOO_DEEP)


def _jump(length: int) -> Skip:
    return lambda _, at: at + length


def _each(skips: Sequence[Skip]) -> Skip:
    def skip(data: bytes, at: int) -> int:
        for skip_one in skips:
            at = skip_one(data, at)
        return at

    return skip


def _union(skips: Sequence[Skip | None]) -> Skip:
    read_branch = read_index("a union has no branch", len(skips))

    def skip(data: bytes, at: int) -> int:
        branch, at = read_branch(data, at)
        skip_one = skips[branch]
        return at if skip_one is None else skip_one(data, at)

    return skip


def _sized_items(length: int) -> Skip:
    """Return a skip of items that all have one length, which may be 0."""

    def skip(data: bytes, at: int) -> int:
        while True:
            count, end, at = read_count(data, at)
            if count == 0:
                return at
            check_room(data, at, count * length)
            at += count * length
            check_block_end(at, end)

    return skip


def _items(skip_item: Skip, bytes_min: int) -> Skip:
    def skip(data: bytes, at: int) -> int:
        while True:
            count, end, at = read_count(data, at)
            if count == 0:
                return at
            check_room(data, at, count * bytes_min)
            for _ in range(count):
                at = skip_item(data, at)
            check_block_end(at, end)

    return skip
