"""A run in numbers.

Owns: the result, its form for programs, its table for people.
Does not own: how the numbers came about (comparing.py, run.py).
Invariant: with `-o json` the names in `as_dict` stay; new ones are added.
"""

from collections import Counter
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.dev.demo.comparing import Differences
from pipeline.dev.demo.live import WIDTH_MAX
from pipeline.dev.demo.rebuild import Rebuilt
from pipeline.dev.workload.ground_truth import DUPLICATES, GroundTruth
from pipeline.settings.worker import ENV_PREFIX, Settings

WORDS = ("accepted", *DUPLICATES, "applied", "repeated", "dead_letter")


class Result(msgspec.Struct, frozen=True):
    """What became of a run.

    Attributes:
        verdicts: of the pipeline. judged: of the oracle. ground_truth: of the generator.
        alerts, dead_letters, portals: records in these topics.
        assets: different figures that outputs refer to.
        pipeline_s: from the worker's start to lag 0. seconds: all of it.
        settings: of the worker. console: its address, where one was started.
        rebuilt: what became of the damage, if states were damaged.
        telling: a user of the run about whom there is much to explain; None where there is none.
    """

    users: int
    days: int
    seed: int
    verdicts: Counter[str]
    judged: Counter[str]
    ground_truth: GroundTruth
    alerts: int
    dead_letters: int
    portals: int
    assets: int
    kills: int
    differences: Differences
    page: str
    pipeline_s: float
    seconds: float
    settings: Settings
    console: str | None = None
    rebuilt: Rebuilt | None = None
    telling: str | None = None

    @property
    def right(self) -> bool:
        """Whether pipeline, oracle and plan agree in everything."""
        return self.differences.total == 0

    def as_dict(self) -> dict[str, Any]:
        """Return the result for programs."""
        counts = self.differences.counts
        return {
            "accepted": self.verdicts["accepted"],
            "duplicates": {name: self.verdicts[name] for name in DUPLICATES},
            "dead_letters": self.dead_letters,
            "alerts": self.alerts,
            "portals": self.portals,
            "assets": self.assets,
            "oracle": {
                name: counts[name] for name in ("portals_missing", "portals_extra", "users_wrong")
            },
            "seconds": round(self.seconds, 1),
            "right": self.right,
            "differences": {name: count for name, count in counts.items() if count},
            "examples": self.differences.examples,
            "inputs": self.ground_truth.records,
            "commands": {name: self.verdicts[name] for name in ("applied", "repeated")},
            "planted": {
                "verdicts": {word: self.ground_truth.verdicts[word] for word in WORDS},
                "garbage": dict(sorted(self.ground_truth.garbage.items())),
                "odd": dict(sorted(self.ground_truth.odd.items())),
            },
            "kills": self.kills,
            "pipeline_seconds": round(self.pipeline_s, 1),
            "users": self.users,
            "days": self.days,
            "seed": self.seed,
            "page": self.page,
            "console": self.console,
            **({} if self.rebuilt is None else {"rebuild": self.rebuilt.as_dict()}),
        }


def render(result: Result, console: Console) -> None:
    """Print the result for people."""
    table = Table(
        title=f"{result.users:,} people, {result.days} days, seed {result.seed}",
        title_style="bold",
        width=min(console.width, WIDTH_MAX),
        border_style="dim",
    )
    table.add_column("inputs", ratio=2)
    for name in ("pipeline", "oracle", "planted"):
        table.add_column(name, justify="right", ratio=1)
    table.add_column("", justify="center", width=1)
    for word in WORDS:
        published, judged, meant = (
            counts[word]
            for counts in (result.verdicts, result.judged, result.ground_truth.verdicts)
        )
        _row(table, _NAMES[word], (published, judged, meant))
    table.add_section()
    totals = (result.verdicts, result.judged, result.ground_truth.verdicts)
    _row(table, "all", [sum(counts.values()) for counts in totals])
    console.print(table)
    console.print(
        f"{result.portals:,} portals, {result.assets:,} figures drawn, {result.alerts:,} alerts"
    )
    truth = result.ground_truth
    console.print(
        f"{len(truth.garbage)} kinds of garbage refused, {len(truth.odd)} of oddities taken"
    )
    if result.kills:
        console.print(f"the worker was killed {result.kills} times on the way")
    if result.rebuilt is not None:
        told = result.rebuilt.as_dict()
        console.print(
            f"{told['corrupted']} users damaged, {told['found']} found and put right meanwhile:\n"
            f"{told['rate']:,.0f} inputs a second replayed, no partition paused for more than"
            f" {told['pause_s']:.2f} s;\n{told['reads']:,} reads meanwhile,"
            f" {told['reader_errors']} errors, {told['steps_back']} steps back,"
            f" {told['duplicate_portals']} portals told twice"
        )
    console.print(_verdict(result))
    for example in result.differences.examples:
        console.print(f"  {example}", markup=False)
    console.print(f"figures   {result.page}", markup=False)
    if result.console is not None:
        console.print(f"console   {result.console}", markup=False)
    console.print(
        f"{result.seconds:.0f} s in all, {result.pipeline_s:.1f} s from the worker's start to lag 0"
    )


def kept_lines(result: Result, awaway: str, root: str) -> list[str]:
    """What to type to look around in a run whose stack stays up.

    Args:
        awaway: how the command is called from here. root: the stack's folder, seen from here.
    """
    settings = result.settings
    lines = [
        "Kafka and the registry stay up. To look around:",
        f"  export {ENV_PREFIX}BOOTSTRAP_SERVERS={settings.bootstrap_servers}",
        f"  export {ENV_PREFIX}REGISTRY_URL={settings.registry_url}",
        f"  export {ENV_PREFIX}TOPIC_PREFIX={settings.topic_prefix}",
    ]
    if result.telling is not None:
        lines.append(f"  {awaway} explain {result.telling}")
    if result.console is None:
        lines += [
            "The console did not start. To start it yourself, after these:",
            f"  export {ENV_PREFIX}API_AUTH_OFF=true {ENV_PREFIX}DEVELOPMENT_BROKER=true",
            f"  {awaway} api",
        ]
    return [*lines, "To end everything:", f"  {awaway} local down --root {root}"]


_NAMES = {
    "accepted": "accepted",
    "exact": "exact duplicate",
    "twin": "twin (two devices)",
    "collision": "collision of ids",
    "overlap": "overlap (counts too)",
    "applied": "commands applied",
    "repeated": "commands repeated",
    "dead_letter": "dead letters",
}


def _row(table: Table, name: str, counts: "list[int] | tuple[int, ...]") -> None:
    same = len(set(counts)) == 1
    mark = Text("✓", "green") if same else Text("✗", "bold red")
    table.add_row(name, *(f"{count:,}" for count in counts), mark)


def _verdict(result: Result) -> Text:
    if result.right:
        return Text.assemble(
            ("exact", "bold green"),
            ": every portal, every streak and every audit entry is as the oracle has it",
        )
    kinds = ", ".join(
        f"{count} {name}" for name, count in result.differences.counts.items() if count
    )
    return Text.assemble(("not exact", "bold red"), f": {kinds}")
