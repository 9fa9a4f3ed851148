"""`awaway validate`: what the pipeline would say of inputs.

Owns: the command's options, how verdicts are printed.
Does not own: the verdicts (ops/validate/verdicts.py), the forms of files (ops/validate/files.py).
Invariant: it asks no server and changes nothing but the file that `--save` names.
"""

import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from pipeline import clock
from pipeline.cli.output import Output, OutputOption, stdout
from pipeline.errors import EXIT_FAILED, EXIT_OK, ConfigError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.ops.validate.files import Batch
    from pipeline.ops.validate.verdicts import Reading, Said, Topic, Validator
    from pipeline.settings.worker import Settings

_COLOURS = {"dead_letter": "red", "exact": "yellow", "twin": "yellow", "collision": "red"}
StateOption = Annotated[
    Path | None,
    typer.Option(help="Begin with this: a file of --save, or published progress as JSON."),
]
SaveOption = Annotated[
    Path | None, typer.Option(help="Write here what the inputs leave behind, for --state.")
]
_STDIN = "-"
_COLUMNS = 80
_escaped = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]").sub


def command(  # noqa: PLR0913 - its parameters are the options
    *,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Files of inputs, in their order; - is stdin."),
    ],
    at: Annotated[
        str | None,
        typer.Option(help="Append time of inputs that do not say, RFC 3339. Default: now."),
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option(help="completions or commands. Default: what has a request_id is a command."),
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(help="The .avsc that framed Avro values were written with; else ours."),
    ] = None,
    state: StateOption = None,
    save: SaveOption = None,
    read_at: Annotated[
        list[str] | None,
        typer.Option(help="Also say where the users stand at this instant. Repeatable."),
    ] = None,
    tz: Annotated[
        str | None, typer.Option(help="With --read-at: the zone of who reads, not the user's own.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file of settings; else AWAWAY_CONFIG's."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Say what the pipeline would say of completions and commands, without a server.

    A file holds one JSON object, an array of them, one a line, an Avro container, or one framed
    Avro value. Inputs are judged in their order by the worker's own code, so that duplicates,
    streaks and portals come out. An input may be wrapped as an entry of a log, to say when it is
    appended: {"topic": "completions", "append_time": "2026-03-01T06:30:05Z", "key": "ada",
    "value": {...}}.

    With -o json there is one object a line for each input: name, verdict, stage, reason, detail,
    local_date, streak_days, portals and more.

    Exit codes: 0 no input would be a dead letter, 1 one would, or an error, 2 usage.
    """
    from pipeline.ops.validate.state import decode  # noqa: PLC0415 - the same
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - slow to import

    kind = _topic(topic)
    settings = load_settings(config)
    at_ms = clock.now_ms() if at is None else _instant(at, "--at")
    reads = [_instant(one, "--read-at") for one in read_at or ()]
    zone = None if tz is None else _zone(tz)
    schemas_by_id: dict[int, Any] = {}
    validator = _validator(settings, schema, schemas_by_id)
    if state is not None:
        window_ms = validator.left.seen.window_ms
        validator.left = decode(_read(str(state)), window_ms, str(state))
    failed = 0
    for batch in _batches(files, kind, at_ms, schemas_by_id):
        said = [validator.judge(entry) for entry in batch.entries]
        failed += sum(one.verdict == "dead_letter" for one in said)
        users = dict.fromkeys(one.user_id for one in said if one.user_id is not None)
        instants = [*batch.read_at, *reads]
        found = [(when, validator.read(user, when, zone)) for user in users for when in instants]
        _show(said, found, output)
    if save is not None:
        _save(save, validator.left.encode())
    return EXIT_FAILED if failed else EXIT_OK


def _batches(
    files: Sequence[str], topic: "Topic | None", at_ms: int, schemas_by_id: dict[int, Any]
) -> "list[Batch]":
    """What the files hold; all are read before the first is judged."""
    from pipeline.ops.validate.files import entries_of  # noqa: PLC0415 - slow to import

    batches = []
    for n, file in enumerate(files, 1):
        name = "stdin" if file == _STDIN else Path(file).stem
        batch = entries_of(_read(file), name, topic, at_ms, -n)
        if batch.schema is not None:
            schemas_by_id[-n] = batch.schema
        batches.append(batch)
    return batches


def _validator(settings: "Settings", schema: Path | None, by_id: dict[int, Any]) -> "Validator":
    """What judges, of the release's schemas, policy and catalogue.

    Args:
        schema: of framed values; None: ours.
        by_id: schemas of containers, filled in as they are read.
    """
    from pipeline.codec.errors import UnknownSchemaIdError  # noqa: PLC0415 - slow to import
    from pipeline.codec.inputs import InputDecoder  # noqa: PLC0415 - the same
    from pipeline.codec.schemas import load_schema, load_schemas  # noqa: PLC0415 - the same
    from pipeline.core.fold import World  # noqa: PLC0415 - the same
    from pipeline.core.geometry.catalogue import GoldenCatalogue  # noqa: PLC0415 - the same
    from pipeline.ops.validate.verdicts import Validator  # noqa: PLC0415 - the same
    from pipeline.settings.load import read_policy  # noqa: PLC0415 - the same

    schemas = load_schemas(settings.schemas_dir)
    given = None if schema is None else load_schema(schema).tree

    def writer(record: str) -> Any:
        def find(schema_id: int) -> Any:
            if schema_id < 0 and schema_id not in by_id:
                raise UnknownSchemaIdError(
                    f"no registry has a schema {schema_id}", fix="send an id that one gave"
                )
            return by_id.get(schema_id, given or schemas[record].tree)

        return find

    decoder = InputDecoder(schemas, writer("PracticeCompleted"), writer("Command"))
    world = World(read_policy(settings), GoldenCatalogue(settings.assets_url), settings.generation)
    return Validator(world, decoder)


def _topic(text: str | None) -> "Topic | None":
    if text in (None, "completions", "commands"):
        return text  # type: ignore[return-value]
    raise UsageError(f"{text!r} is no topic of inputs", fix="say completions or commands")


def _instant(text: str, option: str) -> int:
    from pipeline.codec.instants import NotAnInstantError, instant_ms  # noqa: PLC0415

    try:
        return instant_ms(text)
    except NotAnInstantError as error:
        raise UsageError(
            f"{option} {text!r} is no instant: {error}", fix="write it as 2026-03-01T06:30:00Z"
        ) from None


def _zone(text: str) -> str:
    from pipeline.core.zones import zone_of  # noqa: PLC0415

    zone = zone_of(text)
    if zone is None:
        raise UsageError(f"nobody knows the zone {text!r}", fix="write it as Europe/Berlin")
    return zone.name


def _read(file: str) -> bytes:
    from pipeline.ops.validate.files import read_file  # noqa: PLC0415

    return sys.stdin.buffer.read() if file == _STDIN else read_file(Path(file))


def _save(file: Path, state: bytes) -> None:
    try:
        file.write_bytes(state)
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written",
            why=str(error),
            fix="give --save a file in a folder that is there",
            path=str(file),
        ) from error


def _show(said: "Sequence[Said]", found: "Sequence[tuple[int, Reading]]", output: Output) -> None:
    if output is Output.JSON:
        for n, one in enumerate(said, 1):
            made = msgspec.to_builtins(one)
            if n == len(said) and found:
                made["reads"] = [
                    {"read_at": clock.rfc3339(when)} | msgspec.to_builtins(reading)
                    for when, reading in found
                ]
            print(msgspec.json.encode(made).decode())
        return
    console = stdout()
    for one in said:
        _render(console, one)
    for when, reading in found:
        safe = f", safe until the end of {reading.streak_safe_until}" * (
            reading.streak_safe_until is not None
        )
        _print(
            console,
            f"{reading.user_id} at {clock.rfc3339(when)}: {_days(reading.streak_days)} in a row"
            f"{safe}; longest {reading.longest_days}. It is {reading.today} in {reading.tz}.",
        )


def _render(console: "Console", one: "Said") -> None:
    verdict = one.verdict if one.reason is None else f"{one.verdict} {one.stage}.{one.reason}"
    who = " ".join(word for word in (one.user_id, one.id) if word)
    colour = _COLOURS.get(one.verdict, "green")
    _print(console, f"{one.name}  {verdict}", 0, f"bold {colour}")
    if who:
        _print(console, who, 2, "dim")
    _print(console, one.detail, 2)
    if one.ignored_fields:
        _print(console, f"fields that are not known, and ignored: {one.ignored_fields}", 2)
    if one.streak_days is not None:
        unlocked = f", unlocks {', '.join(one.portals)}" if one.portals else ""
        _print(console, f"{_days(one.streak_days)} in a row{unlocked}", 2)


def _print(console: "Console", text: str, indent: int = 0, style: str | None = None) -> None:
    """Print a paragraph, of at most 80 columns where its words allow it.

    Ids and names are the inputs' own: what would steer the terminal is shown as its code point.
    """
    text = _escaped(lambda found: ascii(found[0])[1:-1], text)
    space = " " * indent
    for line in textwrap.wrap(
        text, _COLUMNS, initial_indent=space, subsequent_indent=space, break_long_words=False
    ):
        console.print(line, style=style, markup=False)


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
