"""How `awaway audit` prints entries and findings.

Owns: the text for people, and the objects for programs.
Does not own: what they say (ops/audit/), the commands (audit.py).
Invariants: for people lines have at most 80 columns where their words allow it, and nothing of a
record can steer the terminal. A field that this release does not know by name is printed all the
same.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipeline import clock
from pipeline.cli.output import printable
from pipeline.core.calendar import maybe_day_of
from pipeline.core.records import AuditEntry
from pipeline.ops.audit.findings import MEANINGS, Finding
from pipeline.ops.audit.show import ShownEntry
from pipeline.ops.audit.sightings import Judged
from pipeline.ops.audit.verify import PartitionReport

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS: Final = 80
_LABEL: Final = 16
SHOWN_MAX: Final = 20
"""Findings that are printed for people; `-o json` has them all."""

_IN_HEAD: Final = frozenset(
    [
        "audit_id",
        "generation",
        "partition",
        "sequence",
        "user_id",
        "action",
        "verdict",
        "append_time",
        "hash",
        "prev_hash",
    ]
)
"""Fields that the first and the last line of an entry tell."""


def entry_of(shown: ShownEntry) -> dict[str, Any]:
    """An entry for programs: its fields by name, hashes in hexadecimal."""
    entry = shown.entry
    fields = msgspec.structs.asdict(entry)
    return {
        "offset": shown.offset,
        **fields,
        "append_time": clock.rfc3339(entry.append_time),
        "local_date": maybe_day_of(entry.local_date),
        "prev_hash": entry.prev_hash.hex(),
        "hash": entry.hash.hex(),
        "is_sealed": shown.is_sealed,
    }


def show_entry(console: "Console", shown: ShownEntry) -> None:
    """Print an entry for a person."""
    entry = shown.entry
    about = entry.user_id or "nobody"
    head = f"{entry.sequence}  {entry.verdict.upper()} {entry.action}  {about}"
    console.print(printable(head), style="bold", markup=False)
    _line(console, "chain", f"{entry.generation}/{entry.partition}, offset {shown.offset}")
    _line(console, "input", f"appended {clock.rfc3339(entry.append_time)}")
    for name, value in _fields(entry):
        _line(console, name, value)
    if shown.is_sealed:
        _line(console, "hash", f"{entry.hash.hex()[:16]}… is that of its bytes")
    else:
        _line(console, "hash", "ALTERED: the hash is not that of its bytes", "bold red")


def _fields(entry: AuditEntry) -> Iterator[tuple[str, str]]:
    """The fields that say something, as texts."""
    for name, value in msgspec.structs.asdict(entry).items():
        if name in _IN_HEAD or value in (None, "", (), [], False):
            continue
        if name == "local_date":
            yield name, str(maybe_day_of(value))
        elif name == "cause":
            yield name, f"{value.topic}[{value.partition}] {value.offset} {value.id}".rstrip()
        elif isinstance(value, msgspec.Struct):
            yield name, str(msgspec.to_builtins(value))
        elif isinstance(value, tuple | list):
            yield name, ", ".join(map(str, value))
        else:
            yield name, str(value)


def _show_finding(console: "Console", finding: Finding) -> None:
    what = finding.kind.replace("_", " ").upper()
    where = "" if finding.sequence < 0 else f", sequence {finding.sequence}"
    of = f" ({finding.generation}{where})" if finding.generation else ""
    _wrapped(console, f"{what}  {finding.place}{of}", "", "bold red")
    _line(console, "means", MEANINGS[finding.kind])
    _line(console, "expected", finding.expected)
    _line(console, "found", finding.found)


def newest(judged: Judged) -> list[dict[str, object]]:
    """The last checkpoint of each chain."""
    rows = [row[max(row)] for row in judged.rows.values() if row]
    return [
        {
            "chain": f"{one.generation}/{one.partition}",
            "number": one.number,
            "entries": one.entries,
            "time": one.time,
            "key": one.key,
        }
        for one in rows
    ]


def show_verified(
    console: "Console",
    shown: Mapping[str, Any],
    reports: Sequence[PartitionReport],
) -> None:
    """Print what a verification found for a person."""
    for report in reports:
        chains = ", ".join(f"{name} {count:,}" for name, count in report.chains.items())
        from_where = f", went on from offset {report.went_on_from}" if report.went_on_from else ""
        console.print(f"partition {report.partition}", style="bold", markup=False)
        show_fields(
            console,
            {
                "entries": (chains or "none") + from_where,
                "workers' state": report.state,
            },
        )
        if report.left_out:
            show_fields(console, {"left out": f"{report.left_out} findings more"})
    for one in shown["checkpoints"]:
        text = "{chain} number {number}: {entries:,} entries at {time}, key {key}"
        show_fields(console, {"checkpoint": text.format(**one)})
    if shown["first_key"]:
        show_fields(console, {"first key": f"{shown['first_key']}: compare it with what you know"})
    read, seconds = shown["entries_read"], shown["seconds"]
    console.print(f"{read:,} entries read in {seconds} s", markup=False)
    show_findings(console, shown["findings"])


def show_findings(console: "Console", findings: Sequence[Finding]) -> None:
    """Print what is wrong for a person, or that nothing is."""
    if not findings:
        console.print("nothing is wrong", style="bold green")
        return
    for finding in findings[:SHOWN_MAX]:
        _show_finding(console, finding)
    if len(findings) > SHOWN_MAX:
        console.print(f"and {len(findings) - SHOWN_MAX} more: `-o json` has them all")
    console.print(
        "leave the topic as it is, and see docs/AUDIT.md, What to do with a finding", style="bold"
    )


def show_fields(console: "Console", fields: Mapping[str, object]) -> None:
    """Print names and values, one a line."""
    for name, value in fields.items():
        _line(console, name, str(value))


def _line(console: "Console", name: str, text: str, style: str | None = None) -> None:
    _wrapped(console, text, f"  {name:<{_LABEL - 1}} ", style)


def _wrapped(console: "Console", text: str, label: str, style: str | None) -> None:
    lines = textwrap.wrap(
        printable(text),
        COLUMNS,
        initial_indent=label,
        subsequent_indent=" " * max(2, len(label)),
        break_on_hyphens=False,
        break_long_words=False,
    )
    for line in lines or [label.rstrip()]:
        console.print(line, style=style, markup=False)
