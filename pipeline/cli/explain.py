"""`awaway explain`: why a user's day counts or not.

Owns: the command's options, how an explanation is printed.
Does not own: the explanation (ops/explain/explanation.py), reading the log (ops/explain/log.py).
Invariant: it reads, and changes nothing; lines have at most 80 columns where their words allow it.
"""

import re
import textwrap
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock
from pipeline.cli.configuration import ConfigOption
from pipeline.cli.output import Output, OutputOption, ProgressLine, show
from pipeline.errors import EXIT_FAILED, EXIT_OK, UsageError

if TYPE_CHECKING:
    from typing import Protocol

    from rich.console import Console

    from pipeline.ops.explain.records import Explanation, Story

    class Line(Protocol):
        """Prints one paragraph."""

        def __call__(self, text: str = "", indent: int = 0, style: str | None = None) -> None: ...


_COLUMNS = 80
_LABEL = "policy    "
"""As wide as every label of a paragraph; its further lines stand under the first."""

_KINDS = {
    "practised": "practised",
    "bridged": "bridged over the date line",
    "credited": "credited by support",
    "revoked": "revoked by support",
    "nothing": "there is nothing for it",
}
_AGE = re.compile(r"(\d{1,5})([dh])")


def command(
    *,
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id.")],
    day: Annotated[
        str | None, typer.Argument(metavar="[DATE]", help="A local date, such as 2026-03-01.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Read no further back: 30d, 12h, or a date. Default: everything."),
    ] = None,
    no_index: Annotated[
        bool, typer.Option("--no-index", help="Read the whole log, and keep nothing on disk.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Explain why a user's day counts or not; without a date, the latest inputs.

    Reads Kafka and the registry as any consumer of committed records does: the user's partition of
    audit, reconciliation, deadletters, portals and progress, then the inputs that they name. Each
    statement names the record that it comes from; if nothing is found, the command says where it
    looked.

    The first time it indexes the partition, which takes a while for a long log (some 33 bytes a
    record, in AWAWAY_DATA_DIR/explain); from then on only what came since. The folder may be
    deleted. With --since or --no-index the log is read instead.

    Examples: `awaway explain ada`; `awaway explain ada 2026-03-01`; `awaway explain ada --since 30d
    -o json`.

    Exit codes: 0 something was found, 1 nothing was found or an error (it is printed), 2 usage.
    """
    from pipeline.codec.registry import SchemaResolver, connect  # noqa: PLC0415 - slow to import
    from pipeline.codec.schemas import load_schemas  # noqa: PLC0415
    from pipeline.ops.explain.explanation import explain  # noqa: PLC0415
    from pipeline.ops.explain.indexed_log import IndexedEvidence  # noqa: PLC0415
    from pipeline.ops.explain.log import LogEvidence  # noqa: PLC0415
    from pipeline.settings.load import load_settings, read_policy  # noqa: PLC0415

    wanted = None if day is None else _date(day)
    since_ms = None if since is None else _since_ms(since)
    settings = load_settings(config)
    policies = read_policy(settings)
    client, prefix = settings.kafka_client(), settings.topic_prefix
    writer_schema = SchemaResolver(connect(settings.registry_client())).writer_schema
    schemas = (load_schemas(settings.schemas_dir), writer_schema)
    evidence: LogEvidence
    with ProgressLine() as progress:
        if no_index or since_ms is not None:
            evidence = LogEvidence(client, prefix, *schemas, since_ms, progress)
        else:
            folder = settings.data_dir / "explain"
            evidence = IndexedEvidence(client, prefix, schemas, folder, policies, progress)
        home = (evidence.partition(user), evidence.partitions)
        found = explain(evidence, policies, user, wanted, clock.now_ms(), home)
    show(found, output, lambda console: render(found, console))
    return EXIT_OK if found.stories or found.standing else EXIT_FAILED


def _date(text: str, what: str = "date", form: str = "2026-03-01") -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no {what}", fix=f"write it as {form}") from None


def _since_ms(text: str) -> int:
    age = _AGE.fullmatch(text)
    if age is not None:
        length = timedelta(**{"d": {"days": int(age[1])}, "h": {"hours": int(age[1])}}[age[2]])
        return clock.now_ms() - length // timedelta(milliseconds=1)
    day = _date(text, "date and no age", "2026-03-01, or an age as 30d or 12h")
    start = datetime.combine(day, datetime.min.time(), UTC)
    return int(start.timestamp() * 1000)


def render(found: "Explanation", console: "Console") -> None:
    """Print an explanation for a person."""

    def line(text: str = "", indent: int = 0, style: str | None = None) -> None:
        hanging = (
            " " * (indent + len(_LABEL)) if text[:1].islower() and "  " in text else " " * indent
        )
        lines = textwrap.wrap(
            text,
            _COLUMNS,
            initial_indent=" " * indent,
            subsequent_indent=hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for each in lines or [""]:
            console.print(each, style=style, markup=False)

    about = f"{found.user_id}, {found.date}" if found.date else f"{found.user_id}, latest inputs"
    line(about, style="bold")
    line(f"partition {found.partition} of {found.partitions}", style="dim")
    if found.day is not None:
        line()
        counts = "counts" if found.day.counts else "does not count"
        line(f"{found.day.date} {counts}: {_KINDS[found.day.kind]}", style="bold")
        line(found.day.reason, 2)
        if found.day.run is not None:
            first, last = found.day.run
            line(f"Day {found.day.day} of the run from {first} to {last}.", 2)
    policies = {story.policy_version: story.policy for story in found.stories}
    for story in found.stories:
        line()
        _story(story, line)
        if len(policies) > 1:
            line(f"policy    {story.policy_version}", 2, "dim")
    if policies:
        line()
    for version, policy in policies.items():
        line(f"policy    {version}: {policy}", 0, "dim")
    if found.left_out:
        line(f"{found.left_out} more are left out; name a date to see those of a day.", 0, "dim")
    line()
    if found.standing is not None:
        now = found.standing
        place = "" if now.tz_known else ", where a date ends last: no zone is known"
        safe = f", safe until the end of {now.safe_until}" if now.safe_until else ""
        line(
            f"Now: {_days(now.streak_days)} in a row{safe}; longest {now.longest_days}, lifetime "
            f"{now.lifetime_days}. It is {now.today} in {now.tz}{place}."
        )
        line(f"revision {now.revision} ({now.generation}) at {now.place}", 2, "dim")
    for hint in found.hints:
        line(hint)
    line("Looked at:", style="dim")
    for one in found.looked:
        since = f", since {clock.rfc3339(one.since_ms)}" if one.since_ms is not None else ""
        note = f" ({one.note})" if one.note else ""
        line(
            f"{one.topic}[{one.partition}] {one.first} to {one.next_offset}{since}{note}", 2, "dim"
        )


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _story(story: "Story", line: "Line") -> None:
    beside = " (the date beside)" if story.role == "beside" else ""
    line(f"{story.verdict.upper()} {story.action} {story.id}{beside}".rstrip(), style="bold")
    line(f"input     {story.place}", 2)
    line(f"appended  {clock.rfc3339(story.append_time)}, {story.form}", 2)
    for name, value in story.sent.items():
        line(f"{name:13} {value}", 4, "dim")
    line(f"why       {story.reason}", 2)
    if story.repeats is not None:
        one = story.repeats
        line(f"original  {one.completion_id} at {one.place}", 2)
        if one.local_date is not None:
            line(f"which counts for {one.local_date}", 12)
        if one.own_date is not None and one.own_date != one.local_date:
            line(f"this one is of {one.own_date}: a date was at stake", 12)
        if one.differing_fields:
            line(f"differs in {', '.join(one.differing_fields)}", 12)
    if story.counts_for is not None:
        line(f"date      {story.counts_for}", 2)
    if story.revision:
        line(f"progress  revision {story.revision}", 2)
    for published in story.told:
        line(f"{published.kind:9} {published.text}", 2)
        line(str(published.place), 12, "dim")
