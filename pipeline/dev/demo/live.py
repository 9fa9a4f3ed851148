"""The view of a run while it runs.

Owns: a panel that is redrawn in place on a terminal; a line now and then elsewhere.
Does not own: what is shown in it (watching.py).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.dev.demo.watching import View
from pipeline.dev.workload.ground_truth import DUPLICATES

WIDTH_MAX: Final = 80
_LINE_EVERY_S: Final = 5.0
_REDRAWS_PER_S: Final = 8
_COLUMNS: Final = 4
_DIGITS: Final = 6
_NAME: Final = 8


class LiveView:
    """Shows views; as quickly as it is worth looking at them.

    Args:
        console: on stderr.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._line_at = 0.0

    @contextmanager
    def open(self) -> Iterator["LiveView"]:
        """Keep the panel on the terminal, if it is one, while inside."""
        if not self._console.is_terminal:
            yield self
            return
        with Live(
            console=self._console, refresh_per_second=_REDRAWS_PER_S, transient=True
        ) as self._live:
            yield self
        self._live = None

    def show(self, view: View) -> None:
        """Show a view."""
        if self._live is not None:
            self._live.update(panel(view, min(self._console.width, WIDTH_MAX)))
            return
        now = time.monotonic()
        if now - self._line_at >= _LINE_EVERY_S:
            self._line_at = now
            self._console.print(line(view), markup=False)


def line(view: View) -> str:
    """Return a view as one line."""
    lag = "?" if view.lag is None else f"{view.lag:,}"
    return (
        f"{view.done:,} of {view.total:,} inputs, {view.rate:,.0f} a second, lag {lag}, "
        f"{view.portals:,} portals"
    )


def panel(view: View, width: int) -> Panel:
    """Return a view as a panel of `width` columns."""
    verdicts = view.verdicts
    head = Text.assemble(
        (f"{view.done:,}", "bold"),
        f" of {view.total:,} inputs   ",
        (f"{view.rate:,.0f}", "bold cyan"),
        " a second   lag ",
        ("?" if view.lag is None else f"{view.lag:,}", "bold"),
    )
    if view.kills:
        head.append(f"   {view.kills} kills", "bright_red")
    figures = Table.grid(padding=(0, 1))
    for _ in range(_COLUMNS):
        figures.add_column(justify="right", no_wrap=True, min_width=_DIGITS)
        figures.add_column(no_wrap=True, min_width=_NAME)
    rows = (
        [
            ("accepted", verdicts["accepted"], "green"),
            ("portals", view.portals, "magenta"),
            ("commands", verdicts["applied"] + verdicts["repeated"], "blue"),
            ("dead letters", verdicts["dead_letter"], "red"),
        ],
        [(name, verdicts[name], "yellow") for name in DUPLICATES],
    )
    for row in rows:
        cells = []
        for name, count, style in row:
            cells += [Text(f"{count:,}", f"bold {style}"), Text(name)]
        figures.add_row(*cells)
    bar = ProgressBar(total=view.total, completed=view.done, width=width - 4)
    body = Group(head, bar, Text(), figures)
    days = "1 day" if view.days == 1 else f"{view.days} days"
    return Panel(body, title=f"{days} of practice", width=width, border_style="dim")
