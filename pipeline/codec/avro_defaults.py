"""The default values of fields that a writer's schema does not have.

Owns: defaults from their JSON to what a read of the same field would give.
Does not own: when a default is taken (avro_resolve.py).
Invariant: every default of a reader's schema gives a value of its type or UnresolvableSchemaError,
before any body is read.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

from pipeline.codec.avro_bounds import UnresolvableSchemaError
from pipeline.codec.avro_types import AvroType, Field
from pipeline.codec.avro_wire import single

VALUES_MAX: Final = 10_000
"""Max values within one default."""

_DEPTH_MAX: Final = 64
_INT_BITS: Final = {"int": 31, "long": 63}
_LARGEST: Final = {"float": (2 - 2.0**-23) * 2.0**127, "double": sys.float_info.max}


class _MisfitError(ValueError):
    """The JSON is no value of the type."""


def default_of(field: Field) -> Any:
    """Return the value of a field's default.

    Args:
        field: of a reader's record.

    Returns:
        As a read would give it: records as lists of their values.

    Raises:
        UnresolvableSchemaError: the field has none, or one that does not fit its type.
    """
    if not field.has_default:
        raise UnresolvableSchemaError(f"it lacks the field {field.name}, which has no default")
    try:
        return _Defaults().value(field.type, field.default)
    except _MisfitError as error:
        raise UnresolvableSchemaError(
            f"the default of our field {field.name} is no value of its type"
        ) from error


def fresh(value: Any) -> Any:
    """Return a copy that shares nothing mutable with the value."""
    if isinstance(value, list):
        return [fresh(item) for item in value]
    if isinstance(value, dict):
        return {key: fresh(item) for key, item in value.items()}
    return value


class _Defaults:
    """Converts one default from its JSON."""

    def __init__(self) -> None:
        self._depth = 0
        self._values = 0
        self._of_kind: dict[str, Callable[[AvroType, Any], Any]] = {
            "record": self._record,
            "union": self._union,
            "array": self._array,
            "map": self._map,
        }

    def value(self, kind: AvroType, node: Any) -> Any:
        self._values += 1
        self._depth += 1
        if self._depth > _DEPTH_MAX or self._values > VALUES_MAX:
            raise _MisfitError
        found = self._of_kind.get(kind.kind, _simple)(kind, node)
        self._depth -= 1
        return found

    def _record(self, kind: AvroType, node: Any) -> list[Any]:
        if not isinstance(node, dict):
            raise _MisfitError
        for field in kind.fields:
            if field.name not in node and not field.has_default:
                raise _MisfitError
        return [self.value(one.type, node.get(one.name, one.default)) for one in kind.fields]

    def _union(self, kind: AvroType, node: Any) -> Any:
        depth = self._depth
        for branch in kind.branches:
            try:
                return self.value(branch, node)
            except _MisfitError:
                self._depth = depth
        raise _MisfitError

    def _array(self, kind: AvroType, node: Any) -> list[Any]:
        if not isinstance(node, list):
            raise _MisfitError
        return [self.value(kind.branches[0], item) for item in node]

    def _map(self, kind: AvroType, node: Any) -> dict[str, Any]:
        if not isinstance(node, dict):
            raise _MisfitError
        return {key: self.value(kind.branches[0], item) for key, item in node.items()}


def _simple(kind: AvroType, node: Any) -> Any:
    name = kind.kind
    if name == "null" and node is None:
        return None
    if name == "boolean" and isinstance(node, bool):
        return node
    if isinstance(node, str):
        return _text(kind, node)
    if isinstance(node, (int, float)) and not isinstance(node, bool):
        return _number(name, node)
    raise _MisfitError


def _text(kind: AvroType, node: str) -> str | bytes:
    if kind.kind == "string" or (kind.kind == "enum" and node in kind.symbols):
        return node
    if kind.kind in ("bytes", "fixed") and all(ord(char) < 256 for char in node):
        content = node.encode("latin-1")  # one character a byte, as the specification has it
        if kind.kind == "bytes" or len(content) == kind.size:
            return content
    raise _MisfitError


def _number(name: str, node: float) -> int | float:
    if name in _INT_BITS and isinstance(node, int) and -1 <= node >> _INT_BITS[name] <= 0:
        return node
    if abs(node) <= _LARGEST.get(name, -1):
        return single(node) if name == "float" else float(node)
    raise _MisfitError
