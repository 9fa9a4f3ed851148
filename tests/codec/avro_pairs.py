"""Pairs of schemas that go together, and values to write with the one and read with the other.

Owns: strategies for writers' schemas, for what readers' schemas become of them, and for values.
Does not own: how these are written down (avro_model.py), what reading gives (the tests' oracles).

A writer's schema is drawn as a graph, so that types can be used again and have themselves. What is
drawn leaves out where fastavro or Java deviate from the specification; those places have tests of
their own.
"""

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import reject
from hypothesis import strategies as st

from tests.codec.avro_model import Field, Type, body_of, json_of

Draw: TypeAlias = Any
"""Hypothesis's `draw`."""

SPACES = ("a", "a.b", "c")
PROMOTIONS = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
ANNOTATIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "int": ({"logicalType": "date"}, {"logicalType": "time-millis"}),
    "long": ({"logicalType": "timestamp-micros"}, {"logicalType": "timestamp-millis"}),
    "string": ({"logicalType": "uuid"}, {"avro.java.string": "String"}),
    "bytes": ({"logicalType": "decimal", "precision": 4, "scale": 2},),
    "boolean": ({"logicalType": "of-our-own"},),
}
GROUPS = {
    **dict.fromkeys(("int", "long", "float", "double"), "number"),
    **dict.fromkeys(("string", "bytes"), "text"),
    **dict.fromkeys(("record", "map"), "object"),
}
"""Of each group a drawn union has one type at most, but it can have several records."""


class Drawing:
    """One schema that is being drawn."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.named: list[Type] = []
        self.open: list[Type] = []
        self.count = 0

    def one_of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def chance(self, percent: int) -> bool:
        return bool(self.draw(st.integers(0, 99)) < percent)

    def named_type(self, kind: str) -> Type:
        """A new named type; one short name may be in several namespaces."""
        self.count += 1
        space = self.one_of(*SPACES)
        taken = {one.full_name for one in self.named}
        name = self.one_of("X", "Y", f"N{self.count}")
        if f"{space}.{name}" in taken:
            name = f"N{self.count}"
        found = Type(kind, name, space, form=self.draw(st.integers(0, 2)))
        self.named.append(found)
        return found

    def type(self, depth: int) -> Type:
        kinds = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
        kinds += ["enum", "fixed"]
        if depth:
            kinds += ["array", "map", "union", "union", "record", "record"]
        complete = [one for one in self.named if one not in self.open]
        if complete:
            kinds.append("again")
        kind = self.one_of(*kinds)
        if kind == "again":
            return self.one_of(*complete)  # type: ignore[no-any-return]
        if kind == "enum":
            enum = self.named_type("enum")
            enum.symbols = [f"SYMBOL{n}" for n in range(self.draw(st.integers(1, 4)))]
            return enum
        if kind == "fixed":
            fixed = self.named_type("fixed")
            fixed.size = self.draw(st.integers(0, 5))
            return fixed
        if kind in ("array", "map"):
            return Type(kind, inner=[self.inner_type(depth - 1)])
        if kind == "union":
            return self.union(depth - 1)
        if kind == "record":
            return self.record(depth - 1)
        notes = self.one_of({}, {}, *ANNOTATIONS.get(kind, ()))
        return Type(kind, notes=notes)

    def inner_type(self, depth: int) -> Type:
        """A type where there may be no value of it, so that a record can have itself."""
        if self.open and self.chance(20):
            return self.one_of(*self.open)  # type: ignore[no-any-return]
        return self.type(depth)

    def union(self, depth: int) -> Type:
        branches = [Type("null")] if self.chance(70) else []
        branches += [self.inner_type(depth) for _ in range(self.draw(st.integers(1, 3)))]
        union = Type("union")
        for branch in branches:
            if branch.kind != "union" and _fits(branch, union.inner):
                union.inner.append(branch)
        union.inner = self.draw(st.permutations(union.inner or [Type("null")]))
        return union

    def record(self, depth: int) -> Type:
        record = self.named_type("record")
        self.open.append(record)
        label = f"r{self.count}"
        count = self.draw(st.integers(0, 4))
        record.fields = [Field(f"{label}f{n}", self.type(depth)) for n in range(count)]
        self.open.remove(record)
        return record


def _fits(branch: Type, others: list[Type]) -> bool:
    def group(one: Type) -> str:
        return GROUPS.get(one.kind, one.kind)

    if branch.kind == "record":
        return all(one.kind != "map" and one.name != branch.name for one in others)
    named = branch.kind in ("enum", "fixed")
    return all(group(one) != group(branch) or (named and one.name != branch.name) for one in others)


class Evolution:
    """Makes a reader's schema of a writer's: each named type becomes one."""

    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.became: dict[Type, Type] = {}

    def of(self, writer: Type, *, in_union: bool = False) -> Type:
        reader = self.named(writer) if writer.name else self._unnamed(writer)
        if not in_union and reader.kind not in ("union", "null") and self.drawing.chance(15):
            other = Type("null") if self.drawing.chance(70) else Type("boolean")
            if _fits(other, [reader]):
                branches = [reader, other]
                return Type("union", inner=self.drawing.draw(st.permutations(branches)))
        return reader

    def _unnamed(self, writer: Type) -> Type:
        drawing = self.drawing
        if writer.kind in ("array", "map"):
            return Type(writer.kind, inner=[self.of(writer.inner[0])])
        if writer.kind == "union":
            branches = [self.of(one, in_union=True) for one in writer.inner]
            if drawing.chance(15):
                return drawing.one_of(*branches)  # type: ignore[no-any-return]
            if len(branches) > 1 and drawing.chance(15):
                branches.pop()
            return Type("union", inner=drawing.draw(st.permutations(branches)))
        kind = writer.kind
        if drawing.chance(30) and kind in PROMOTIONS:
            kind = drawing.one_of(*PROMOTIONS[kind])
            writer.text_only = True
        return Type(kind)

    def named(self, writer: Type) -> Type:
        drawing = self.drawing
        if writer in self.became:
            return self.became[writer]
        reader = Type(writer.kind, writer.name, writer.space, form=drawing.draw(st.integers(0, 2)))
        self.became[writer] = reader
        if drawing.chance(25):
            reader.name, reader.aliases = f"New{len(self.became)}", [writer.full_name]
        reader.size = writer.size
        if writer.kind == "enum":
            self._enum(writer, reader)
        if writer.kind == "record":
            self._fields(writer, reader)
        return reader

    def _enum(self, writer: Type, reader: Type) -> None:
        reader.symbols = self.drawing.draw(st.permutations(writer.symbols))
        if self.drawing.chance(30):
            reader.symbols = [*reader.symbols[1:], "OTHERWISE"]
            reader.default = self.drawing.one_of("OTHERWISE", None)

    def _fields(self, writer: Type, reader: Type) -> None:
        drawing = self.drawing
        for one in writer.fields:
            if drawing.chance(20):
                continue
            name, aliases = one.name, []
            if drawing.chance(20):
                name, aliases = f"{one.name}new", [one.name]
            reader.fields.append(Field(name, self.of(one.type), aliases=aliases))
        if drawing.chance(40):
            added = Drawing(drawing.draw)
            added.count = 100 * (1 + len(self.became))
            kind = added.type(1)
            for n, named in enumerate(added.named):  # apart from all others
                named.name = f"Added{added.count}_{n}"
            if not _has_nothing(kind):
                default = default_value(drawing.draw, kind)
                reader.fields.append(Field(f"{writer.name}added", kind, (default,)))
        reader.fields = drawing.draw(st.permutations(reader.fields))


def _has_nothing(kind: Type) -> bool:
    return kind.kind == "union" and not kind.inner


_FLOATS = st.floats(width=32, allow_nan=False)
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
_PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": _FLOATS,
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=5),
    "string": _TEXTS,
}


def default_value(draw: Draw, kind: Type) -> Any:
    """JSON of a value of a type that does not have itself; of a union, of its first branch."""
    if kind.kind == "union":
        return default_value(draw, kind.inner[0])
    if kind.kind == "record":
        return {one.name: default_value(draw, one.type) for one in kind.fields}
    if kind.kind == "array":
        return [default_value(draw, kind.inner[0]) for _ in range(draw(st.integers(0, 2)))]
    if kind.kind == "map":
        return {f"k{n}": default_value(draw, kind.inner[0]) for n in range(draw(st.integers(0, 2)))}
    if kind.kind in ("float", "double"):
        return draw(st.floats(width=32, allow_nan=False, allow_infinity=False))
    value = draw(_simple(kind))
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _simple(kind: Type) -> st.SearchStrategy[Any]:
    if kind.kind == "enum":
        return st.sampled_from(kind.symbols)
    if kind.kind == "fixed":
        return st.binary(min_size=kind.size, max_size=kind.size)
    if kind.kind == "bytes" and kind.text_only:
        return _TEXTS.map(str.encode)
    if kind.kind == "long" and kind.text_only:
        return st.integers(-(2**24), 2**24)  # fastavro reads larger ones less exactly as float
    if kind.kind == "int" and kind.text_only:
        return st.integers(-(2**24), 2**24)
    return _PLAIN[kind.kind]


def value_of(draw: Draw, kind: Type, depth: int = 6) -> Any:
    """A value: records as dictionaries, of unions the number of the branch and its value."""
    if kind.kind == "union":
        flat = [n for n, one in enumerate(kind.inner) if one.kind != "record"]
        numbers = flat if depth <= 0 and flat else range(len(kind.inner))
        number = draw(st.sampled_from(list(numbers)))
        return number, value_of(draw, kind.inner[number], depth - 1)
    if kind.kind == "record":
        if depth < -20:
            reject()  # a record that has itself in every branch: there is no value of it
        return {one.name: value_of(draw, one.type, depth - 1) for one in kind.fields}
    if kind.kind in ("array", "map"):
        count = draw(st.integers(0, 2)) if depth > 0 else 0
        items = [value_of(draw, kind.inner[0], depth - 1) for _ in range(count)]
        return items if kind.kind == "array" else {f"k{n}": one for n, one in enumerate(items)}
    return draw(_simple(kind))


@dataclass(repr=False)
class Pair:
    """A writer's type, a reader's, and a value of the writer's."""

    writer: Type
    reader: Type
    value: Any
    writer_json: Any
    reader_json: Any

    def __repr__(self) -> str:
        """As somebody can try it elsewhere."""
        return (
            f"writer {json.dumps(self.writer_json)}\nreader {json.dumps(self.reader_json)}\n"
            f"body {self.body().hex()}"
        )

    def body(self, *, sized: bool = False) -> bytes:
        return body_of(self.writer, self.value, sized)


@st.composite
def pairs(draw: Draw) -> Pair:
    """Every kind of pair; the outermost types are records."""
    drawing = Drawing(draw)
    writer = drawing.record(3)
    reader = Evolution(drawing).named(writer)
    value = value_of(draw, writer)
    return Pair(writer, reader, value, json_of(writer), json_of(reader))
