"""How a correction and its effect are printed for people.

Owns: the lines, their order and words.
Does not own: what would change (ops/adjust/preview.py), the command (adjust.py).
Invariant: what is printed is in the result that programs get; nothing is worked out here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.cli.output import printable

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.ops.adjust.preview import AdjustmentPreview, Figures
    from pipeline.ops.adjust.send import Effect

VERDICTS = {
    "applied": "will be applied",
    "repeated": "was taken before; asked again it changes nothing",
    "dead_letter": "would be rejected, so it is not sent",
}


def render(found: "AdjustmentPreview", console: "Console") -> None:
    """Print a preview."""

    def line(label: str, text: str, style: str | None = None) -> None:
        console.print(f"  {label:9} {printable(text)}", style=style, markup=False)

    console.print(
        f"{found.kind} for {printable(found.user_id)}: {VERDICTS[found.verdict]}",
        style="bold",
        markup=False,
    )
    line("request", found.request_id)
    line("by", found.actor)
    if found.rejection is not None:
        line("rejected", f"{found.rejection.reason}: {found.rejection.detail}", "red")
    for label, dates in (("adds", found.dates_added), ("removes", found.dates_removed)):
        if dates:
            line(label, ", ".join(map(str, dates)))
    for label, before, after in _figures(found.before, found.after):
        line(label, before if before == after else f"{before} -> {after}")
    for portal in found.portals:
        line("portal", f"{portal.title}, lap {portal.lap + 1}, reached on {portal.reached_on}")
        for key in portal.keys:
            line("", f"Field Key {key}")
    for label, keys in (("claims", found.keys_claimed), ("returns", found.keys_returned)):
        if keys:
            line(label, ", ".join(keys))
    for note in found.notes:
        line("note", note, "yellow")


def _figures(before: "Figures", after: "Figures") -> Sequence[tuple[str, str, str]]:
    return [
        ("streak", _days(before.streak_days), _days(after.streak_days)),
        ("longest", _days(before.longest_days), _days(after.longest_days)),
        ("lifetime", _days(before.lifetime_days), _days(after.lifetime_days)),
        ("frame", _frame(before), _frame(after)),
        ("keys", _keys(before), _keys(after)),
    ]


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _frame(one: "Figures") -> str:
    return f"{one.cycle_day} ({one.figure}, lap {one.lap + 1})" if one.figure else "none"


def _keys(one: "Figures") -> str:
    return f"{one.keys_granted} granted, {one.keys_pending} not claimed"


def effect_of(effect: "Effect", console: "Console") -> None:
    """Print what became of a request."""
    verdict = "rejected" if effect.verdict == "dead_letter" else effect.verdict
    why = f" ({effect.rejection})" if effect.rejection else ""
    console.print(
        f"{verdict}{why}: revision {effect.revision}, read back after {effect.seconds:.2f} s",
        style="bold red" if effect.verdict == "dead_letter" else "bold green",
        markup=False,
    )
    console.print(f"  request   {printable(effect.request_id)}", markup=False)
    console.print(f"  input     {effect.place}", markup=False)
