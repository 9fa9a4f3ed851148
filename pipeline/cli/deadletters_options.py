"""Which dead letters a command is about, as it is typed.

Owns: the options that choose letters, and what follows from their words.
Does not own: the choice itself (ops/deadletters/letters.py), the commands (deadletters.py).
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline import clock
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.ops.deadletters.letters import Wanted

PlaceArgument = Annotated[
    str, typer.Argument(metavar="PLACE", help="partition:offset, as `list` shows it.")
]
PlacesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PLACE]...", help="partition:offset each; else filters choose."),
]
RejectionsOption = Annotated[
    list[str] | None,
    typer.Option(help="Rejected for this: a reason, or stage.reason. May be repeated."),
]
StagesOption = Annotated[
    list[str] | None,
    typer.Option(help="transport, decode, validate, fold or operator. May be repeated."),
]
SinceOption = Annotated[
    str | None,
    typer.Option(help="Appended from then on: 7d, 12h, 2026-03-01 or 2026-03-01T06:30:00Z."),
]
UntilOption = Annotated[str | None, typer.Option(help="Appended before then; as --since.")]
UserOption = Annotated[str | None, typer.Option(help="With this user's key.")]
TopicOption = Annotated[
    str | None, typer.Option(help="Of this topic of inputs: completions or commands.")
]
PartitionsOption = Annotated[
    list[int] | None, typer.Option("--partition", help="Only this one; may be repeated.")
]
StatesOption = Annotated[
    list[str] | None, typer.Option(help="open, redriven or discarded. May be repeated.")
]

_age: Final = re.compile(r"(\d{1,5})([dh])").fullmatch


def wanted_of(
    rejections: Sequence[str] | None,
    stages: Sequence[str] | None,
    between: tuple[str | None, str | None],
    user: str | None,
    topic: str | None,
    where: tuple[Sequence[int] | None, Sequence[str] | None],
) -> "Wanted":
    """Which letters somebody wants.

    Args:
        between: --since and --until. where: --partition and --state.

    Raises:
        UsageError: a word is none of those that there are.
    """
    from typing import get_args  # noqa: PLC0415 - only needed here

    from pipeline.core.enumerations import Stage  # noqa: PLC0415 - slow to import
    from pipeline.ops.deadletters.letters import STATES, Wanted  # noqa: PLC0415 - the same
    from pipeline.ops.validate.files import topic_of  # noqa: PLC0415 - the same

    partitions, states = where
    since, until = between
    found = None if topic is None else topic_of(topic)
    if topic is not None and found is None:
        raise UsageError(f"{topic!r} is no topic of inputs", fix="say completions or commands")
    _check_words("--stage", stages, get_args(Stage))
    _check_words("--state", states, STATES)
    return Wanted(
        frozenset(rejections or ()),
        frozenset(stages or ()),  # type: ignore[arg-type]
        None if since is None else _instant(since, "--since"),
        None if until is None else _instant(until, "--until"),
        user,
        found,
        frozenset(partitions) if partitions else None,
        frozenset(states or ()),  # type: ignore[arg-type]
    )


def is_choice(wanted: "Wanted") -> bool:
    """Whether anything was asked about."""
    from pipeline.ops.deadletters.letters import Wanted  # noqa: PLC0415 - slow to import

    return wanted != Wanted()


def _check_words(option: str, given: Sequence[str] | None, known: Sequence[str]) -> None:
    for one in given or ():
        if one not in known:
            raise UsageError(f"{option}: {one!r} is none", fix=f"say one of {', '.join(known)}")


def _instant(text: str, option: str) -> int:
    from pipeline.codec.instants import NotAnInstantError, instant_ms  # noqa: PLC0415 - slow

    age = _age(text)
    if age is not None:
        length = timedelta(days=int(age[1])) if age[2] == "d" else timedelta(hours=int(age[1]))
        return clock.now_ms() - length // timedelta(milliseconds=1)
    try:
        if len(text) == len("2026-03-01"):
            return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
        return instant_ms(text)
    except (NotAnInstantError, ValueError):
        raise UsageError(
            f"{option}: {text!r} is no instant",
            fix="write it as 7d, 12h, 2026-03-01 or 2026-03-01T06:30:00Z",
        ) from None
