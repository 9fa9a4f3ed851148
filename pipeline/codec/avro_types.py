"""Avro schemas as graphs: each name in its namespace, each type what it is.

Owns: the rules of names, of what is a schema, of which logical types count, and the bounds on
schemas of any origin.
Does not own: the text (avro_bounds.py), how two schemas go together (avro_resolve.py).
Invariants: every JSON tree gives a type or UnresolvableSchemaError; no recursion is deeper than
`TYPE_DEPTH_MAX`, and no more than `TYPES_MAX` types are made, whatever the tree.

A type knows three bounds on its values without looking into it, as it was complete before whatever
has it: how many bytes a value takes at least, how many exactly if all take as many, and how high
the tree of types below it is. A record that is still being read counts as one byte, of no exact
length, and infinitely high: whatever has it is part of a circle, or leads to one.
"""

import math
import re
from typing import Any, Final

from pipeline.codec.avro_bounds import NAME_CHARS_MAX, UnresolvableSchemaError, shown
from pipeline.codec.schemas import JsonSchema

TYPE_DEPTH_MAX: Final = 64
"""Max depth of types within each other, written out."""

TYPES_MAX: Final = 4_096
"""Max types of a schema; uses by name and fields count as well."""

SYMBOLS_MAX: Final = 16_384
"""Max symbols of all enums of a schema together."""

FIXED_BYTES_MAX: Final = 1 << 24
"""Max bytes of a fixed: 16 MiB, more than any record of Kafka's that we take."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_BYTES_OF: Final[dict[str, tuple[int, int | None]]] = {
    "null": (0, 0),
    "boolean": (1, None),
    "int": (1, None),
    "long": (1, None),
    "float": (4, 4),
    "double": (8, 8),
    "bytes": (1, None),
    "string": (1, None),
}
"""For each primitive type: min bytes of a value, and the bytes of every value or None."""
_NUMBERS: Final = {
    "date": ("int",),
    "time-millis": ("int",),
    "time-micros": ("long",),
    "timestamp-millis": ("long",),
    "timestamp-micros": ("long",),
    "timestamp-nanos": ("long",),
    "local-timestamp-millis": ("long",),
    "local-timestamp-micros": ("long",),
    "local-timestamp-nanos": ("long",),
    "decimal": ("bytes", "fixed"),
    "duration": ("fixed",),
}
"""Each logical type that says what a number means, with the types that may have it."""


class AvroType:
    """One type of a schema.

    Attributes:
        kind: a primitive's name, record, enum, fixed, array, map, or union.
        name: full name of a named type, else empty.
        aliases: full names of a named type.
        fields: of a record.
        branches: of a union; the one type of an array's items or of a map's values.
        symbols: of an enum.
        default: symbol of an enum that stands for unknown ones, or None.
        size: of a fixed, in bytes.
        meaning: the logical type, if it says what a number means and fits the type, else empty.
        bytes_min: least length of a value.
        bytes_exact: the length of every value, or None.
        height: longest chain of types below; infinite when a circle can be reached.
    """

    __slots__ = (
        "aliases",
        "branches",
        "bytes_exact",
        "bytes_min",
        "default",
        "fields",
        "height",
        "kind",
        "meaning",
        "name",
        "size",
        "symbols",
    )

    def __init__(self, kind: str, name: str = "", aliases: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.name = name
        self.aliases = aliases
        self.fields: list[Field] = []
        self.branches: list[AvroType] = []
        self.symbols: list[str] = []
        self.default: str | None = None
        self.size = 0
        self.meaning = ""
        self.bytes_min, self.bytes_exact = _BYTES_OF.get(kind, (1, None))
        self.height = math.inf if kind == "record" else 0.0

    def __str__(self) -> str:
        """Return the type as messages show it."""
        sized = f"a fixed of {self.size} bytes" if self.kind == "fixed" else self.kind
        return self.meaning or sized

    @property
    def short_name(self) -> str:
        """Return the name without its namespace."""
        return self.name.rpartition(".")[2]


class Field:
    """One field of a record.

    Attributes:
        name: unique in its record.
        type: of its values.
        aliases: other names of it.
        default: JSON, meaningless unless `has_default`.
    """

    __slots__ = ("aliases", "default", "has_default", "name", "type")

    def __init__(self, name: str, node: dict[str, Any], kind: AvroType) -> None:
        self.name = name
        self.type = kind
        self.aliases: tuple[str, ...] = tuple(_aliases(node))
        self.has_default = "default" in node
        self.default = node.get("default")


def parse_type(tree: JsonSchema) -> AvroType:
    """Parse a schema and return its outermost type.

    Args:
        tree: of any origin.

    Raises:
        UnresolvableSchemaError: it is not an Avro schema, or larger than the bounds.
    """
    return _Parser().parse(tree, "")


class _Parser:
    """Reads one schema."""

    def __init__(self) -> None:
        self._named: dict[str, AvroType] = {}
        self._depth = 0
        self._types = 0
        self._symbols = 0

    def parse(self, node: JsonSchema, namespace: str) -> AvroType:
        self._types += 1
        if self._types > TYPES_MAX:
            raise UnresolvableSchemaError(f"it has more than {TYPES_MAX} types")
        self._depth += 1
        if self._depth > TYPE_DEPTH_MAX:
            raise UnresolvableSchemaError(
                f"it has more than {TYPE_DEPTH_MAX} types within each other"
            )
        if isinstance(node, str):
            found = self._by_name(node, namespace)
        elif isinstance(node, list):
            found = self._union(node, namespace)
        elif isinstance(node, dict):
            found = self._object(node, namespace)
        else:
            raise _no_schema(f"{shown(node)} is no type")
        self._depth -= 1
        return found

    def _by_name(self, name: str, namespace: str) -> AvroType:
        if name in _BYTES_OF:
            return AvroType(name)
        # A name without a dot is one of the enclosing namespace or, as Java has it, of none.
        found = self._named.get(_full(name, namespace)) or self._named.get(name)
        if found is None:
            raise _no_schema(f"the type {shown(name)} is not defined before it is used")
        return found

    def _union(self, node: list[JsonSchema], namespace: str) -> AvroType:
        union = AvroType("union")
        seen: set[str] = set()
        for branch_node in node:
            branch = self.parse(branch_node, namespace)
            if branch.kind == "union":
                raise _no_schema("a union is a branch of a union")
            key = branch.name or branch.kind
            if key in seen:
                raise _no_schema(f"a union has {shown(key)} twice")
            seen.add(key)
            union.branches.append(branch)
        union.height = _above(union.branches)
        return union

    def _object(self, node: dict[str, Any], namespace: str) -> AvroType:
        kind = node.get("type")
        if kind in ("record", "error"):
            return self._record(node, namespace)
        if kind == "enum":
            return self._enum(node, namespace)
        if kind == "fixed":
            return self._fixed(node, namespace)
        if kind in ("array", "map"):
            collection = AvroType(str(kind))
            collection.branches = [self.parse(node.get(_INNER[str(kind)]), namespace)]
            collection.height = _above(collection.branches)
            return collection
        found = self.parse(kind, namespace)
        if isinstance(kind, str) and kind in _BYTES_OF:
            found.meaning = _meaning(node, kind)
        return found

    def _record(self, node: dict[str, Any], namespace: str) -> AvroType:
        record = self._define("record", node, namespace)
        namespace = record.name.rpartition(".")[0]
        seen: set[str] = set()
        for field_node in _listed(node.get("fields"), "fields"):
            if not isinstance(field_node, dict):
                raise _no_schema(f"{shown(field_node)} is a field of {shown(record.name)}")
            name = _simple_name(field_node.get("name"))
            if name in seen:
                raise _no_schema(f"{shown(record.name)} has the field {shown(name)} twice")
            seen.add(name)
            kind = self.parse(field_node.get("type"), namespace)
            record.fields.append(Field(name, field_node, kind))
        types = [field.type for field in record.fields]
        record.height = _above(types)
        record.bytes_min = sum(one.bytes_min for one in types)
        lengths = [one.bytes_exact for one in types]
        record.bytes_exact = (
            sum(n for n in lengths if n is not None) if None not in lengths else None
        )
        return record

    def _enum(self, node: dict[str, Any], namespace: str) -> AvroType:
        enum = self._define("enum", node, namespace)
        symbols = _listed(node.get("symbols"), "symbols")
        self._symbols += len(symbols)
        if self._symbols > SYMBOLS_MAX:
            raise UnresolvableSchemaError(f"it has more than {SYMBOLS_MAX} symbols")
        enum.symbols = [_simple_name(symbol) for symbol in symbols]
        if not symbols or len(set(enum.symbols)) < len(symbols):
            raise _no_schema(f"{shown(enum.name)} has no symbols, or one twice")
        default = node.get("default")
        if default is not None and default not in enum.symbols:
            raise _no_schema(f"the default of {shown(enum.name)} is none of its symbols")
        enum.default = default
        return enum

    def _fixed(self, node: dict[str, Any], namespace: str) -> AvroType:
        fixed = self._define("fixed", node, namespace)
        size = node.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= FIXED_BYTES_MAX:
            raise _no_schema(
                f"the size of {shown(fixed.name)} is {shown(size)}, not 0 to {FIXED_BYTES_MAX}"
            )
        fixed.size = fixed.bytes_min = fixed.bytes_exact = size
        fixed.meaning = _meaning(node, "fixed")
        return fixed

    def _define(self, kind: str, node: dict[str, Any], namespace: str) -> AvroType:
        name = node.get("name")
        given = node.get("namespace")
        if not isinstance(name, str) or not (given is None or isinstance(given, str)):
            raise _no_schema(f"the {kind} {shown(name)} has no name, or no namespace, of text")
        full = _full(name, namespace if given is None else given)
        if len(full) > NAME_CHARS_MAX or not all(map(_NAME.match, full.split("."))):
            raise _no_schema(f"{shown(full)} is no name")
        if full in _BYTES_OF or full in self._named:
            raise _no_schema(f"the name {shown(full)} is defined twice")
        space = full.rpartition(".")[0]
        found = AvroType(kind, full, tuple(_full(alias, space) for alias in _aliases(node)))
        self._named[full] = found
        return found


_INNER: Final = {"array": "items", "map": "values"}


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _simple_name(name: object) -> str:
    if not isinstance(name, str) or len(name) > NAME_CHARS_MAX or not _NAME.match(name):
        raise _no_schema(f"{shown(name)} is no name")
    return name


def _listed(node: object, what: str) -> list[Any]:
    if not isinstance(node, list):
        raise _no_schema(f"its {what} are {shown(node)}")
    return node


def _aliases(node: dict[str, Any]) -> list[str]:
    aliases = node.get("aliases")
    texts = [] if aliases is None else _listed(aliases, "aliases")
    if not all(isinstance(text, str) for text in texts):
        raise _no_schema("its aliases are not all of text")
    return texts


def _meaning(node: dict[str, Any], kind: str) -> str:
    """Return the logical type of a number; an unknown or unfitting one is ignored, as ""."""
    logical = node.get("logicalType")
    if not isinstance(logical, str) or kind not in _NUMBERS.get(logical, ()):
        return ""
    if logical == "decimal":
        scale = node.get("scale", 0)
        return f"decimal of scale {shown(scale)}"
    return logical


def _above(types: list[AvroType]) -> float:
    return 1 + max((one.height for one in types), default=0)


def _no_schema(why: str) -> UnresolvableSchemaError:
    return UnresolvableSchemaError(f"it is not an Avro schema: {why}")
