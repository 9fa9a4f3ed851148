"""How dead letters are printed, for people and for programs.

Owns: the rows of a list, one letter's page, plans and results in numbers.
Does not own: what they say (ops/deadletters), the commands (deadletters.py).
Invariants: for people lines have at most 80 columns where the words allow it, and nothing of an
input can steer the terminal; nothing is worked out here but counts.
"""

import textwrap
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from pipeline import clock
from pipeline.cli.output import printable
from pipeline.codec.inputs import InputDecoder
from pipeline.core.records import DeadLetter
from pipeline.ops.deadletters.handled import Handled, Told
from pipeline.ops.deadletters.letters import STATES, About, Letter, State
from pipeline.ops.deadletters.plan import Numbers, Planned
from pipeline.ops.deadletters.readable import Shown, one_line, shown_of
from pipeline.ops.deadletters.send import Result
from pipeline.ops.validate.verdicts import Said

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS: Final = 80
_KEY_CHARS: Final = 60


class Row(msgspec.Struct, frozen=True):
    """A letter in a list.

    Attributes:
        letter: its place. verdict, rejection: of its redrive. reason, stage: why it was rejected.
        input: where the input is. value_bytes: of the input.
    """

    letter: str
    state: State
    verdict: str | None
    rejection: str | None
    stage: str
    reason: str
    detail: str
    user_id: str
    input: str
    input_id: str
    append_time: str
    published_at: str
    value_bytes: int


def row_of(letter: Letter, handled: Handled) -> Row:
    """The row of a letter."""
    record, origin = letter.record, letter.origin
    return Row(
        str(letter.place),
        handled.state,
        handled.verdict,
        handled.rejection,
        record.stage,
        record.reason,
        record.detail,
        letter.user_id,
        str(origin.place),
        origin.input_id,
        clock.rfc3339(origin.append_time),
        clock.rfc3339(letter.published_ms),
        len(origin.value or b""),
    )


class Counts:
    """How many letters there are of each reason, by state."""

    def __init__(self) -> None:
        self._states: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def add(self, record: DeadLetter, handled: Handled) -> None:
        """Count one letter."""
        self._states[record.stage, record.reason][handled.state] += 1

    def lines(self) -> list[str]:
        """A table, the most frequent reason first."""
        if not self._states:
            return []
        names = {key: printable(".".join(key)) for key in self._states}
        width = min(44, max(map(len, names.values())))
        lines = [f"{'rejected for':{width}} {'all':>9}" + "".join(f"{s:>10}" for s in STATES)]
        for key, states in sorted(self._states.items(), key=lambda one: (-one[1].total(), one[0])):
            numbers = "".join(f"{states[state]:>10,}" for state in STATES)
            lines.append(f"{names[key][:width]:{width}} {states.total():>9,}{numbers}")
        return lines


def render_list(
    counts: Counts,
    latest: Sequence[object],
    unreadable: int,
    console: "Console",
    *,
    is_filtered: bool = False,
) -> None:
    """Print the counts, then the latest letters."""
    lines = counts.lines()
    for n, line in enumerate(lines):
        console.print(line, style=None if n else "bold", markup=False)
    if not lines:
        like = " fit the filters; a reason has to be spelled as `list` shows it"
        _paragraph(f"no dead letters{like * is_filtered}", console, 0, "green")
    for row in latest:
        if isinstance(row, Row):
            _row(row, console)
    if latest:
        console.print(
            "\n`awaway deadletters show PLACE` shows one whole", style="dim", markup=False
        )
    if unreadable:
        console.print(
            f"{unreadable:,} records of the topic are no dead letters: see who writes there",
            style="yellow",
            markup=False,
        )


def _row(row: Row, console: "Console") -> None:
    said = Handled(row.state, row.verdict, row.rejection).text  # type: ignore[arg-type]
    when = row.append_time[:19].replace("T", " ")
    console.print(
        printable(f"\n{row.letter}  {row.stage}.{row.reason}"), style="bold", markup=False
    )
    _paragraph(f"{when} UTC, {row.user_id or 'no user'}: {said}", console)


def _paragraph(text: str, console: "Console", indent: int = 2, style: str | None = None) -> None:
    space = " " * indent
    for line in textwrap.wrap(
        printable(text).replace("\n", "\\n"),
        COLUMNS,
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    ):
        console.print(line, style=style, markup=False)


# --- one letter ----------------------------------------------------------------------------------


class ToldShown(msgspec.Struct, frozen=True):
    """A request about a letter. verdict, rejection: None while no worker has reached it."""

    request_id: str
    about: About
    at: str
    place: str
    actor: str
    reason: str
    ticket: str
    verdict: str | None
    rejection: str | None


class LetterShown(msgspec.Struct, frozen=True):
    """Everything about a letter.

    Attributes:
        letter: its place. input: where the input is; of a redrive that was rejected again, where
            the input behind it is, and `rejected_as` where the redrive is.
        value_base64: the bytes of the input's value. value: the same for a person.
        told: what was asked about it. now: what the pipeline would say of the input.
    """

    letter: str
    topic: str
    published_at: str
    stage: str
    reason: str
    detail: str
    user_id: str
    input: str
    input_id: str
    rejected_as: str | None
    append_time: str
    schema_id: int | None
    key: str
    headers: tuple[tuple[str, str], ...]
    value: Shown
    value_base64: str | None
    is_whole: bool
    told: tuple[ToldShown, ...]
    now: Said


def shown_letter(
    letter: Letter, told: Sequence[Told], said: Said, decoder: InputDecoder
) -> LetterShown:
    """Everything about a letter, for people and programs."""
    record, origin = letter.record, letter.origin
    is_command = origin.topic == "commands"
    decode = decoder.decode_command if is_command else decoder.decode_completion
    own = record.cause.coordinates
    return LetterShown(
        str(letter.place),
        letter.topic,
        clock.rfc3339(letter.published_ms),
        record.stage,
        record.reason,
        record.detail,
        letter.user_id,
        str(origin.place),
        origin.input_id,
        None if own == origin.place else str(own),
        clock.rfc3339(origin.append_time),
        record.schema_id,
        one_line(origin.key, _KEY_CHARS),
        tuple([(one.key, one_line(one.value, _KEY_CHARS)) for one in origin.headers]),
        shown_of(origin.value, decode),
        None if origin.value is None else b64encode(origin.value).decode(),
        not letter.is_cut,
        tuple(map(_told, told)),
        said,
    )


def _told(told: Told) -> ToldShown:
    command, entry = told.sent.command, told.entry
    return ToldShown(
        command.request_id,
        "redrive" if command.kind == "redrive" else "discard",
        clock.rfc3339(told.sent.append_time),
        str(told.sent.place),
        command.actor,
        command.reason or "",
        command.ticket or "",
        None if entry is None else entry.verdict,
        None if entry is None else entry.rejection,
    )


def render_letter(found: LetterShown, console: "Console") -> None:
    """Print one letter."""

    def line(label: str, text: str) -> None:
        head = f"  {label:11}"
        width = COLUMNS - len(head)
        # A detail can be a traceback, which is read by its lines.
        lines = [
            part
            for each in printable(text).split("\n")
            for part in textwrap.wrap(each, width, break_on_hyphens=False) or [""]
        ]
        for n, each in enumerate(lines):
            console.print(f"{head if n == 0 else ' ' * len(head)}{each}", markup=False)

    console.print(
        printable(f"{found.letter}  {found.stage}.{found.reason}"), style="bold", markup=False
    )
    line("why", found.detail)
    line("input", f"{found.input} {found.input_id}".rstrip())
    if found.rejected_as:
        line("rejected as", f"the redrive {found.rejected_as}")
    line("appended", found.append_time)
    line("published", f"{found.published_at} in {found.topic}")
    line("user", found.user_id or "none has this key")
    line("key", found.key)
    if found.schema_id is not None:
        line("schema", str(found.schema_id))
    for name, value in found.headers:
        line("header", f"{name}: {value}")
    whole = "" if found.is_whole else "; only its beginning is in the letter"
    line("value", f"{found.value.size:,} bytes, {found.value.form}{whole}")
    for text in found.value.lines:
        console.print(f"    {printable(text)}", style="dim", markup=False)
    if found.value.left_out:
        line("", f"{found.value.left_out}; --raw FILE saves all of it")
    for one in found.told:
        line(one.about, f"{one.at} by {one.actor}: {one.reason} ({one.ticket})")
        became = "not processed yet" if one.verdict is None else one.verdict
        line("", f"{became}{f', {one.rejection}' if one.rejection else ''}, {one.place}")
    now = found.now
    why = f" {now.stage}.{now.reason}" if now.reason else ""
    console.print("  if it were redriven now:", style="bold", markup=False)
    line("verdict", f"{now.verdict}{why}")
    line("", now.detail)


# --- many letters --------------------------------------------------------------------------------


def plan_rows(planned: Sequence[Planned]) -> list[dict[str, object]]:
    """What is planned for each letter, for programs."""
    return [
        {
            "letter": str(one.letter.place),
            "would_be": None if one.said is None else one.said.verdict,
            "rejection": None if one.said is None else one.said.reason,
            "passed_over": one.passed_over or None,
        }
        for one in planned
    ]


def result_rows(
    about: About, planned: Sequence[Planned], results: Mapping[str, Result]
) -> list[dict[str, object]]:
    """What became of each letter, for programs."""
    rows: list[dict[str, object]] = []
    for one in planned:
        result = results.get(one.letter.request_id(about))
        row: dict[str, object] = {"letter": str(one.letter.place)}
        if result is None:
            row |= {"passed_over": one.passed_over}
        else:
            row |= msgspec.to_builtins(result)
        rows.append(row)
    return rows


def render_plan(doing: str, numbers: Numbers, yes: bool, console: "Console") -> None:
    """Print what would be done."""
    _numbers(doing, numbers, console)
    if numbers.to_send and not yes:
        console.print("nothing was sent: add --yes, --reason and --ticket", style="bold yellow")
    elif not numbers.to_send:
        console.print("there is nothing to send", style="bold green")


def render_results(
    doing: str, numbers: Numbers, results: Mapping[str, Result], console: "Console"
) -> None:
    """Print what was done, and what became of it."""
    _numbers(doing, numbers, console)
    counts = Counter((one.became, one.rejection) for one in results.values())
    console.print("what became of them", style="bold")
    for (became, rejection), count in counts.most_common():
        word = "rejected again" if became == "dead_letter" else became.replace("_", " ")
        _number(f"{word}: {rejection}" if rejection else word, count, console, 2)
    late = next((one for one in results.values() if one.became == "not_read_back"), None)
    if late is not None:
        _paragraph(f"stopped: {late.why}", console, 0, "bold red")
        _paragraph("See whether workers run; type the same again to go on.", console, 0)


def _numbers(doing: str, numbers: Numbers, console: "Console") -> None:
    console.print(f"{doing}: {numbers.letters:,} dead letters", style="bold", markup=False)
    _number("to send", numbers.to_send, console, 2)
    for word, count in numbers.would_be.items():
        _number(f"now {word}", count, console, 4)
    if numbers.passed_over:
        _number("passed over", sum(numbers.passed_over.values()), console, 2)
    for word, count in numbers.passed_over.items():
        _number(word, count, console, 4)
    if numbers.more:
        _number("not looked at", numbers.more, console, 2)
        text = (
            "Those that are sent make room for the next; filters, as --rejection, lead to others."
        )
        _paragraph(text, console)


def _number(label: str, count: int, console: "Console", indent: int) -> None:
    text = printable(f"{' ' * indent}{label}")
    console.print(f"{text:66} {count:>9,}", markup=False)
