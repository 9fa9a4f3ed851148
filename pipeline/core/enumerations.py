"""The closed sets of words that inputs and records carry.

Owns: verdicts, actions, kinds of commands, origins, severities and stages, each once.
Does not own: when a word applies (fold.py, dedupe.py, commands.py), how it is shown (api/, ops/).
Invariants: the words are published, so none is ever renamed; the schemas list the same ones, with
`unknown` in front; mypy checks each use of a word.
"""

from typing import Final, Literal, TypeAlias, TypeGuard, get_args

CountedVerdict: TypeAlias = Literal["accepted", "overlap"]
"""Verdicts on a completion that counts."""

DuplicateVerdict: TypeAlias = Literal["exact", "twin", "collision"]
"""Verdicts on a completion that repeats an accepted one, and does not count."""

CompletionVerdict: TypeAlias = Literal[
    "accepted", "exact", "twin", "collision", "overlap", "dead_letter"
]
"""Verdicts on a completion, in the order of the metrics."""

CommandVerdict: TypeAlias = Literal["applied", "repeated", "dead_letter"]
"""Verdicts on a command."""

Verdict: TypeAlias = Literal[CompletionVerdict, CommandVerdict]
"""What became of an input."""

DedupeVerdict: TypeAlias = Literal[DuplicateVerdict, "overlap"]
"""Verdicts on a completion that repeats or overlaps an accepted one; each has an alert of the same
verdict."""

AlertVerdict: TypeAlias = Literal[DedupeVerdict, "assumed_zone"]
"""What a reconciliation alert is about."""

Severity: TypeAlias = Literal["info", "notice", "error"]
"""How much an alert matters."""

DatedKind: TypeAlias = Literal["credit", "revoke"]
"""Kinds of commands that are about a date."""

RequestKind: TypeAlias = Literal[DatedKind, "withdraw", "claim_key"]
"""Kinds of commands that a user's sets remember by their request ids."""

CommandKind: TypeAlias = Literal[RequestKind, "redrive", "erase", "repair", "operation"]
"""Kinds of commands that are known: those of `RequestKind`; a redrive, which has a rejected input
judged once more; a repair, which an approved rebuild sends (fold_command.py: `fold_repair`); an
operation, which the audit records and which changes nothing. Erase is for a later release."""

WorldOrigin: TypeAlias = Literal["live", "rebuild"]
"""How a worker comes to process an input: as it arrives, or again, to rebuild the state."""

Origin: TypeAlias = Literal[WorldOrigin, "adjustment"]
"""Why a portal was unlocked: adjustment is a command that was processed live."""

Stage: TypeAlias = Literal["transport", "decode", "validate", "fold", "operator"]
"""Where an input was refused."""

Unknown: TypeAlias = Literal["unknown"]
"""What Avro gives a reader for a word that a newer release wrote: each enumeration's default."""

Action: TypeAlias = Literal["completion", CommandKind, Unknown]
"""What an input asked for; unknown also where an input cannot be read."""

PublishedVerdict: TypeAlias = Literal[Verdict, Unknown]
PublishedAlertVerdict: TypeAlias = Literal[AlertVerdict, Unknown]
PublishedSeverity: TypeAlias = Literal[Severity, Unknown]
PublishedOrigin: TypeAlias = Literal[Origin, Unknown]
PublishedStage: TypeAlias = Literal[Stage, Unknown]

COMPLETION_VERDICTS: Final[tuple[CompletionVerdict, ...]] = get_args(CompletionVerdict)
COUNTED: Final[tuple[CountedVerdict, ...]] = get_args(CountedVerdict)
CHANGING: Final[tuple[Verdict, ...]] = (*COUNTED, "applied")
"""Verdicts on an input that changes its user."""

DEDUPE_VERDICTS: Final[tuple[DedupeVerdict, ...]] = get_args(DedupeVerdict)
COMMAND_KINDS: Final[tuple[CommandKind, ...]] = get_args(CommandKind)
REQUEST_KINDS: Final[tuple[RequestKind, ...]] = get_args(RequestKind)
SENDABLE: Final[tuple[CommandKind, ...]] = (*REQUEST_KINDS, "redrive", "operation")
"""Kinds of commands that are carried out whoever sends them."""

DATED: Final[tuple[DatedKind, ...]] = get_args(DatedKind)
"""Kinds of commands that are about a local date."""


def is_command_kind(text: str) -> TypeGuard[CommandKind]:
    """Tell whether a text is a kind of command that is known."""
    return text in COMMAND_KINDS


def is_request_kind(text: str) -> TypeGuard[RequestKind]:
    """Tell whether a text is a kind of command that a user's sets remember."""
    return text in REQUEST_KINDS
