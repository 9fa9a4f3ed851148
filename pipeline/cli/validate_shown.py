"""How `awaway validate` prints its verdicts.

Owns: one verdict for people and for programs, the reads after a file, the summary.
Does not own: the verdicts (ops/validate/verdicts.py), the command (validate.py).
Invariants: for people lines have at most 80 columns where their words allow it, and nothing of an
input can steer the terminal; for programs there is one JSON object a line.
"""

import textwrap
from collections import Counter
from collections.abc import Sequence
from datetime import date
from types import TracebackType
from typing import Final, Self

import msgspec

from pipeline import clock
from pipeline.cli.output import Output, printable, stdout, write
from pipeline.ops.validate.verdicts import Reading, Said

Reads = Sequence[tuple[int, Reading]]
"""Instants, and where somebody stood at each."""

COLUMNS: Final = 80
_AT_ONCE: Final = 500
_WORDS: Final = {
    "exact": "duplicate (exact)",
    "twin": "duplicate (twin)",
    "collision": "duplicate (collision)",
    "overlap": "accepted (overlap)",
}
"""Of verdicts that do not say by themselves whether the input counts."""

_COLOURS: Final = {"dead_letter": "red", "exact": "yellow", "twin": "yellow", "collision": "red"}


class Shown:
    """Prints verdicts as they come; a context manager.

    Args:
        output: for whom.
        tz: the zone of who reads, as it was given.
    """

    def __init__(self, output: Output, tz: str | None) -> None:
        self._output = output
        self._tz = tz
        self._console = stdout()
        self._is_plain = output is Output.JSON or not self._console.is_terminal
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._flush()

    def add(self, said: Said, reads: Reads, today: date | None) -> None:
        """Print a verdict, and where users stand after it.

        Args:
            today: the user's date at which no day in a row was left; None for another verdict.
        """
        if self._output is Output.JSON:
            made = msgspec.to_builtins(said)
            if reads:
                made["reads"] = [
                    {"read_at": clock.rfc3339(when)} | msgspec.to_builtins(reading)
                    for when, reading in reads
                ]
            self._line(msgspec.json.encode(made).decode())
        else:
            self._verdict(said, today)
            for when, reading in reads:
                self._reading(when, reading)
        if len(self._lines) >= _AT_ONCE:
            self._flush()

    def _verdict(self, said: Said, today: date | None) -> None:
        verdict = _WORDS.get(said.verdict, said.verdict)
        if said.reason is not None:
            verdict = f"{verdict} {said.stage}.{said.reason}"
        colour = _COLOURS.get(said.verdict, "green")
        self._paragraph(f"{said.name}  {verdict}", 0, f"bold {colour}")
        if who := " ".join(word for word in (said.user_id, said.id) if word):
            self._paragraph(who, 2, "dim")
        self._paragraph(said.detail, 2)
        if said.ignored_fields:
            self._paragraph(f"fields that are not known, and ignored: {said.ignored_fields}", 2)
        if said.streak_days is not None:
            on = f" on {today}, when it was appended" if today else ""
            unlocked = f", unlocks {', '.join(said.portals)}" if said.portals else ""
            self._paragraph(f"{_days(said.streak_days)} in a row{on}{unlocked}", 2)

    def _reading(self, when: int, reading: Reading) -> None:
        end = reading.streak_safe_until
        safe = "" if end is None else f", safe until the end of {end}"
        self._paragraph(
            f"{reading.user_id} at {clock.rfc3339(when)}: {_days(reading.streak_days)} in a row"
            f"{safe}; longest {reading.longest_days}. It is {reading.today} in "
            f"{self._tz or reading.tz}."
        )

    def _paragraph(self, text: str, indent: int = 0, style: str | None = None) -> None:
        text = printable(text).replace("\n", "\\n")
        space = " " * indent
        if len(text) + indent <= COLUMNS:
            self._line(space + text, style)
            return
        for line in textwrap.wrap(
            text, COLUMNS, initial_indent=space, subsequent_indent=space, break_long_words=False
        ):
            self._line(line, style)

    def _line(self, line: str, style: str | None = None) -> None:
        if self._is_plain:
            self._lines.append(line)
        else:
            self._console.print(line, style=style, markup=False)

    def _flush(self) -> None:
        if self._lines:
            write("\n".join(self._lines) + "\n")
            self._lines.clear()


def summary(verdicts: Counter[str]) -> str:
    """How many inputs there were, and of each verdict."""
    letters = "dead letter" if verdicts["dead_letter"] == 1 else "dead letters"
    words = _WORDS | {"dead_letter": letters}
    found = ", ".join(
        f"{count:,} {words.get(verdict, verdict)}" for verdict, count in verdicts.most_common()
    )
    return f"{verdicts.total():,} inputs: {found}"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
