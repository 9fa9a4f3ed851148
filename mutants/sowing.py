"""Mutants of a module's functions.

Owns: which nodes of a source are mutated, and the operators that mutmut does not have.
Does not own: mutmut's operators, which module is mutated (targets.py).
Invariants: a mutant compiles; no two of a module are alike; the same source has the same mutants in
the same order.

Not mutated, because a change there is no fault that a test should notice: annotations, docstrings,
decorators, defaults of parameters and what stands outside of functions (as in mutmut); what an
error or the observer is told, which is text for a person; the names of the observer's steps.
Whether an error is raised and whether the observer is told is mutated.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from textwrap import dedent
from typing import Any, Final, TypeAlias

import libcst as cst
import libcst.matchers as m
from libcst.metadata import CodePosition, MetadataWrapper, PositionProvider
from mutmut.mutation import mutators

from mutants.mutant import Mutant, planted

Operator: TypeAlias = tuple[type, str, Callable[[Any], Iterable[cst.CSTNode]]]

PASS: Final = cst.Pass()
_REMOVED: Final = m.Expr(value=m.Call()) | m.Raise() | m.Return() | m.Continue() | m.Del()
_PLAIN: Final = m.Name("None") | m.Name("True") | m.Name("False")
_SILENT: Final = {"len", "isinstance"}
_TELLING: Final = {"fix", "why"}


def _numbers(node: cst.BaseNumber) -> Iterator[cst.CSTNode]:
    yield from mutators.operator_number(node)


def _strings(node: cst.SimpleString) -> Iterator[cst.CSTNode]:
    """The first of mutmut's three: another string; the others are the same fault again."""
    for mutated in mutators.operator_string(node):
        yield mutated
        return


def _arguments(node: cst.Call) -> Iterator[cst.CSTNode]:
    """None for each argument, and each named one left out; an unnamed one left out is a crash."""
    for mutated in mutators.operator_arg_removal(node):
        if isinstance(mutated, cst.Call) and (
            len(mutated.args) == len(node.args) or _lacks_a_named_one(node, mutated)
        ):
            yield mutated


def _lacks_a_named_one(node: cst.Call, mutated: cst.Call) -> bool:
    kept = {id(argument) for argument in mutated.args}
    return any(arg.keyword is not None and id(arg) not in kept for arg in node.args)


def _assignments(node: cst.Assign | cst.AnnAssign) -> Iterator[cst.CSTNode]:
    """None in a value's place, but for truth values, which have an operator of their own."""
    if not m.matches(node, m.TypeOf(m.Assign, m.AnnAssign)(value=_PLAIN)):
        yield from mutators.operator_assignment(node)


def _removed(node: cst.BaseSmallStatement) -> Iterator[cst.CSTNode]:
    if m.matches(node, _REMOVED):
        yield PASS


def _conditions(_: cst.If | cst.IfExp) -> Iterator[cst.CSTNode]:
    yield cst.Name("True")
    yield cst.Name("False")


def _filters(_: cst.CompIf) -> Iterator[cst.CSTNode]:
    yield cst.Name("True")


def _loops(_: cst.While) -> Iterator[cst.CSTNode]:
    yield cst.Name("False")


OPERATORS: Final[Sequence[Operator]] = (
    (cst.BaseNumber, "number", _numbers),
    (cst.SimpleString, "string", _strings),
    (cst.Name, "name", mutators.operator_name),
    (cst.Assign, "assignment", _assignments),
    (cst.AnnAssign, "assignment", _assignments),
    (cst.AugAssign, "assignment", mutators.operator_augmented_assignment),
    (cst.UnaryOperation, "unary", mutators.operator_remove_unary_ops),
    (cst.Call, "argument", _arguments),
    (cst.Call, "method", mutators.operator_symmetric_string_methods_swap),
    (cst.Lambda, "lambda", mutators.operator_lambda),
    (cst.CSTNode, "keyword", mutators.operator_keywords),
    (cst.CSTNode, "swap", mutators.operator_swap_op),
    (cst.BaseSmallStatement, "removed", _removed),
    (cst.If, "condition", _conditions),
    (cst.IfExp, "condition", _conditions),
    (cst.CompIf, "condition", _filters),
    (cst.While, "condition", _loops),
)
"""Node type, name, and the operator: mutmut's first, ours from `removed` on. An operator on a node
with a `test` says what becomes of the test."""

_ON_ITS_TEST: Final = (cst.If, cst.IfExp, cst.CompIf, cst.While)


class _Sower(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        self.changes: list[tuple[str, str, cst.CSTNode, cst.CSTNode, cst.CSTNode]] = []
        self._function: cst.CSTNode = PASS
        self._scope: list[str] = []
        self._functions = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Param) or _is_docstring(node):
            return False
        if isinstance(node, cst.Call) and _is_text_for_a_person(node):
            return False
        if isinstance(node, cst.Arg) and node.keyword and node.keyword.value in _TELLING:
            return False
        if isinstance(node, cst.ClassDef | cst.FunctionDef):
            self._scope.append(node.name.value)
            if isinstance(node, cst.FunctionDef) and not self._functions:
                self._function = node
            self._functions += isinstance(node, cst.FunctionDef)
        if self._functions and not _is_step(node):
            self._change(node)
        return not isinstance(node, cst.Raise) and not _is_to_observer(node)

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.ClassDef | cst.FunctionDef):
            self._scope.pop()
            self._functions -= isinstance(original_node, cst.FunctionDef)

    def _change(self, node: cst.CSTNode) -> None:
        for kind, name, operator in OPERATORS:
            if isinstance(node, kind):
                location = (
                    node.test if isinstance(node, _ON_ITS_TEST) and name == "condition" else node
                )
                for mutated in operator(node):
                    scope = ".".join(self._scope)
                    self.changes.append((scope, name, location, mutated, self._function))


def _is_docstring(node: cst.CSTNode) -> bool:
    return m.matches(node, m.Expr(value=m.SimpleString() | m.Ellipsis()))


def _is_text_for_a_person(node: cst.Call) -> bool:
    """Whether a call makes an error; of `len` and its like nothing is changed either."""
    called = node.func.value if isinstance(node.func, cst.Name) else ""
    return called in _SILENT or called.endswith("Error")


def _is_to_observer(node: cst.CSTNode) -> bool:
    return m.matches(
        node, m.Expr(value=m.Call(func=m.Attribute(value=m.Attribute(attr=m.Name("_observer")))))
    )


def _is_step(node: cst.CSTNode) -> bool:
    at = m.Attribute(value=m.Attribute(attr=m.Name("_observer")), attr=m.Name("at"))
    return m.matches(node, m.Expr(value=m.Call(func=at)))


def sown(module: str, original: str) -> list[Mutant]:
    """The mutants of a module, in the order of its lines.

    Args:
        module: dotted name.
        original: its source.
    """
    wrapper = MetadataWrapper(cst.parse_module(original))
    sower = _Sower()
    wrapper.visit(sower)
    positions = wrapper.resolve(PositionProvider)
    lines = original.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def at(edge: CodePosition) -> int:
        return starts[edge.line - 1] + edge.column

    seen = {original}
    found = []
    for scope, operator, node, mutated, function in sower.changes:
        start, end = (at(edge) for edge in (positions[node].start, positions[node].end))
        last = at(positions[function].end)
        code = wrapper.module.code_for_node(mutated)
        source = original[:start] + code + original[end:]
        changed = original[starts[positions[function].start.line - 1] : start] + code
        if source not in seen and _compiles(changed + original[end:last]):
            found.append(planted(module, original, source, scope, operator))
        seen.add(source)
    return sorted(found, key=lambda mutant: mutant.line)


def _compiles(function: str) -> bool:
    try:
        compile(dedent(function), "mutant", "exec")
    except SyntaxError:
        return False
    return True
