"""The guards of the ledger, each switched off by a change of its own.

Owns: a name for each guard, and the text that switches it off.
Does not own: the guards of the engine (simulator/guards.py), mutants by rule (sowing.py).
Invariant: a guard's text is in its module exactly once, so a change of the module that moves a
guard away is an error here and no silent gap.

Many of these changes are among the mutants by rule as well. They stand here by name, so that it is
seen that none is missing, and because their modules are not all mutated.
"""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mutants.mutant import Mutant, planted
from mutants.targets import Target, Tests

RULES: Final = Tests(("tests/core", "tests/oracle"))
BYTES: Final = Tests(("tests/codec/test_inputs.py",))


class GuardMovedError(Exception):
    """A guard's text is not in its module, or not once.

    Operator action: look up where the guard went, and name its text in mutants/guards.py.
    """


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard.

    Attributes:
        name: what it does.
        module: dotted name.
        text, instead: what is in the module, and what takes its place.
        judge: who notices.
    """

    name: str
    module: str
    text: str
    instead: str
    judge: Tests = RULES


GUARDS: Final = (
    Guard(
        "an id that is known counts no more",
        "pipeline.core.dedupe",
        "original = seen.by_id(user_id, completion.completion_id)",
        "original = None",
    ),
    Guard(
        "a session that is known counts no more",
        "pipeline.core.dedupe",
        "original = seen.by_session(user_id, completion.session_id)",
        "original = None",
    ),
    Guard(
        "an id with other content is a collision",
        "pipeline.core.dedupe",
        'return ("exact" if same else "collision"), original',
        'return "exact", original',
    ),
    Guard(
        "sessions that cross are told",
        "pipeline.core.dedupe",
        "if other.start < session.end and session.start < other.end:",
        "if False:",
    ),
    Guard(
        "a cover takes a session in",
        "pipeline.core.dedupe",
        "changed.append((cell, extended))",
        "pass",
    ),
    Guard(
        "what may be seen is looked up",
        "pipeline.core.fold",
        "if may_be_seen(traces, trace):",
        "if False:",
    ),
    Guard(
        "traces that may have been dropped count as seen",
        "pipeline.core.traces",
        "if recent is None or before is None:",
        "if False:",
    ),
    Guard(
        "an accepted completion leaves its traces",
        "pipeline.core.traces",
        "recent = recent + trace if len(recent) < _BYTES_MAX else None",
        "pass",
    ),
    Guard(
        "too many traces are no traces",
        "pipeline.core.traces",
        "if len(recent) < _BYTES_MAX else None",
        "if len(recent) < _BYTES_MAX else recent",
    ),
    Guard(
        "a portal that is unlocked is not due",
        "pipeline.core.portals",
        "if portal is None or is_unlocked(sets, lap, portal.slug):",
        "if portal is None:",
    ),
    Guard(
        "a portal that is told is in the sets",
        "pipeline.core.settling",
        "sets = _with_all(sets, due)",
        "pass",
    ),
    Guard(
        "every change is a revision",
        "pipeline.core.settling",
        "before.revision + 1,",
        "before.revision,",
    ),
    Guard(
        "what is too late or too early does not count",
        "pipeline.core.completion",
        "if not -policy.late_ms <= completed_at - append_time <= policy.future_skew_ms:",
        "if False:",
    ),
    Guard(
        "a clock that is too far ahead is not put right",
        "pipeline.core.completion",
        "if ahead_ms > policy.clock_ahead_ms_max:",
        "if False:",
    ),
    Guard(
        "the window outlives what may come late",
        "pipeline.core.policy",
        "form.window_days * day_s >= needed_s,",
        "True,",
    ),
    Guard(
        "a request that was taken in changes nothing again",
        "pipeline.core.commands",
        "if earlier == (request.kind, request.about):",
        "if False:",
    ),
    Guard(
        "a request id names one request",
        "pipeline.core.commands",
        "if earlier is not None:",
        "if False:",
    ),
    Guard(
        "a key that nothing can grant is not claimed",
        "pipeline.core.commands",
        "not can_exist(book, command.user_id, key_id, append_time)",
        "False",
    ),
    Guard(
        "a credit is explained",
        "pipeline.core.commands",
        "if not (command.reason and command.ticket):",
        "if False:",
    ),
    Guard(
        "a revocation wins over a credit",
        "pipeline.core.sets",
        "return difference(given, live_dates(sets.revocations, cancelled))",
        "return given",
    ),
    Guard(
        "an entry of the audit that is missing is found",
        "pipeline.core.audit",
        "if entry.sequence != head.next_sequence:",
        "if False:",
    ),
    Guard(
        "an entry of the audit names the one before it",
        "pipeline.core.audit",
        "if entry.prev_hash != head.hash:",
        "if False:",
    ),
    Guard(
        "an entry of the audit that was edited is found",
        "pipeline.core.audit",
        "if entry.hash != link(entry.prev_hash, entry.body):",
        "if False:",
    ),
    Guard(
        "an audit that was cut off is found",
        "pipeline.core.audit",
        "if found.next_sequence < expected.next_sequence:",
        "if False:",
    ),
    Guard(
        "a record in the wrong partition is a dead letter",
        "pipeline.codec.inputs",
        "if home != partition:",
        "if False:",
        BYTES,
    ),
)
"""The guards that a test without servers can miss. With servers: a fold that raises costs its own
event, and the breaker (tests/integration/test_rejects.py); the chain's head moves with the
transaction (the chains that tests/integration/ledger.py follows)."""


def switched_off(root: Path) -> list[tuple[Mutant, Target]]:
    """A mutant for each guard, with who has to notice.

    Raises:
        GuardMovedError: a guard's text is not in its module once.
    """
    found = []
    for guard in GUARDS:
        original = (root / f"{guard.module.replace('.', '/')}.py").read_text()
        if original.count(guard.text) != 1:
            raise GuardMovedError(f"{guard.module}: {guard.name}: {guard.text}")
        source = original.replace(guard.text, guard.instead)
        line = original[: original.index(guard.text)].count("\n") + 1
        mutant = planted(guard.module, original, source, _scope(original, line), guard.name)
        found.append((mutant, Target(guard.module, (guard.judge,))))
    return found


def _scope(source: str, line: int) -> str:
    """The function that a line is in, by its qualified name."""
    names = []
    owner: ast.AST = ast.parse(source)
    while True:
        for node in ast.iter_child_nodes(owner):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            if node.lineno <= line <= (node.end_lineno or line):
                names.append(node.name)
                owner = node
                break
        else:
            return ".".join(names)
