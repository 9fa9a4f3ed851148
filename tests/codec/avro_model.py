"""A model of Avro types for tests: how a schema and a value of it are written down.

Owns: types as a graph, their JSON with names in every form, the bytes of a value.
Does not own: which types there are (avro_pairs.py).
"""

import struct
from dataclasses import dataclass, field
from typing import Any

from pipeline.codec import varint

z = varint.zigzag


@dataclass(eq=False)
class Type:
    """A type; what it has depends on its kind.

    Attributes:
        inner: an array's items, a map's values, or a union's branches.
        form: how its name is written down, 0 to 2.
        notes: what else its JSON says.
        text_only: whether its values must be good for another type too.
    """

    kind: str
    name: str = ""
    space: str = ""
    aliases: list[str] = field(default_factory=list)
    inner: list["Type"] = field(default_factory=list)
    fields: list["Field"] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    default: str | None = None
    size: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    form: int = 0
    text_only: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.space}.{self.name}"


@dataclass(eq=False)
class Field:
    name: str
    type: Type
    default: tuple[Any] | None = None
    aliases: list[str] = field(default_factory=list)


def json_of(kind: Type, space: str = "", defined: set[str] | None = None) -> Any:
    """A type as a schema has it."""
    defined = set() if defined is None else defined
    if kind.kind == "union":
        return [json_of(one, space, defined) for one in kind.inner]
    if kind.kind in ("array", "map"):
        key = "items" if kind.kind == "array" else "values"
        return {"type": kind.kind, key: json_of(kind.inner[0], space, defined)}
    if not kind.name:
        return {"type": kind.kind, **kind.notes} if kind.notes else kind.kind
    here = kind.space == space
    if kind.full_name in defined:
        return kind.name if here and kind.form else kind.full_name
    defined.add(kind.full_name)
    tree: dict[str, Any] = {"type": kind.kind, "name": kind.name, "namespace": kind.space}
    if kind.form == 1:
        tree = {"type": kind.kind, "name": kind.full_name, "namespace": "not.this"}
    elif kind.form == 2 and here:
        del tree["namespace"]
    if kind.aliases:
        tree["aliases"] = kind.aliases
    if kind.kind == "enum":
        tree["symbols"] = kind.symbols
        if kind.default is not None:
            tree["default"] = kind.default
    if kind.kind == "fixed":
        tree["size"] = kind.size
    if kind.kind == "record":
        tree["fields"] = [_field_json(one, kind.space, defined) for one in kind.fields]
    return tree


def _field_json(one: Field, space: str, defined: set[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {"name": one.name, "type": json_of(one.type, space, defined)}
    if one.default is not None:
        tree["default"] = one.default[0]
    if one.aliases:
        tree["aliases"] = one.aliases
    return tree


def body_of(kind: Type, value: Any, sized: bool = False) -> bytes:
    """The bytes of a value; the blocks of collections with their sizes, one an item, or without."""
    simple = {"null": b"", "boolean": bytes((value is True,)), "fixed": value}
    if kind.kind in simple:
        return simple[kind.kind] or b""
    if kind.kind in ("int", "long"):
        return z(value)
    if kind.kind in ("float", "double"):
        return struct.pack("<f" if kind.kind == "float" else "<d", value)
    if kind.kind in ("bytes", "string"):
        content = value.encode() if isinstance(value, str) else value
        return z(len(content)) + content
    if kind.kind == "enum":
        return z(kind.symbols.index(value))
    if kind.kind == "union":
        return z(value[0]) + body_of(kind.inner[value[0]], value[1], sized)
    if kind.kind == "record":
        return b"".join(body_of(one.type, value[one.name], sized) for one in kind.fields)
    entries = [(b"", one) for one in value]
    if kind.kind == "map":
        entries = [(z(len(key.encode())) + key.encode(), one) for key, one in value.items()]
    items = [key + body_of(kind.inner[0], one, sized) for key, one in entries]
    if sized:
        return b"".join(z(-1) + z(len(item)) + item for item in items) + z(0)
    return (z(len(items)) if items else b"") + b"".join(items) + z(0)
