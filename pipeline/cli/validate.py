"""`awaway validate`: what the pipeline would say of inputs.

Owns: the command's options, the order of its steps.
Does not own: the verdicts (ops/validate/verdicts.py), the forms of files (ops/validate/files.py),
how verdicts are printed (validate_shown.py).
Invariants: it asks no server and changes nothing but the file that `--save` names. Every verdict
that can be given is given; the errors follow, and leave that file as it was.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline import clock
from pipeline.cli.output import Output, ProgressLine, show_error, stderr, stdout
from pipeline.errors import EXIT_FAILED, EXIT_OK, AwawayError, ConfigError, UsageError

if TYPE_CHECKING:
    from pipeline.cli.validate_shown import Reads
    from pipeline.ops.validate.files import Batch
    from pipeline.ops.validate.verdicts import Topic, Validator
    from pipeline.settings.worker import Settings

FilesArgument = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="Files of inputs, in their order; - is stdin."),
]
AtOption = Annotated[
    str | None,
    typer.Option(help="Append time of inputs that do not say, RFC 3339. Default: now."),
]
TopicOption = Annotated[
    str | None,
    typer.Option(
        help="completions or commands, with or without a prefix. Default: what has a request_id is "
        "a command."
    ),
]
SchemaOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="The .avsc that framed Avro values were written with; else ours."
    ),
]
StateOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Begin with this: a file of --save, or published progress as JSON."
    ),
]
SaveOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write here what the inputs leave behind, for --state."),
]
ReadAtOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Also say where the users stand at this instant, after all inputs of a file: one "
        "that lies before them is answered with what they left behind, too. Repeatable."
    ),
]
ZoneOption = Annotated[
    str | None,
    typer.Option(help="With --read-at: the zone of who reads, not the user's own."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file of settings; else AWAWAY_CONFIG's."),
]
OutputOption = Annotated[
    Output,
    typer.Option("--output", "-o", help="text for people, json for programs: one object a line."),
]
_STDIN = "-"
_PROGRESS_EACH = 200


def command(  # noqa: PLR0913 - its parameters are the options
    *,
    files: FilesArgument,
    at: AtOption = None,
    topic: TopicOption = None,
    schema: SchemaOption = None,
    state: StateOption = None,
    save: SaveOption = None,
    read_at: ReadAtOption = None,
    tz: ZoneOption = None,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Say what the pipeline would say of completions and commands, without a server.

    A file holds one JSON object, an array of them, one a line, an Avro container, or one framed
    Avro value. Inputs are judged in their order by the worker's own code, so that duplicates,
    streaks and portals come out. An input may be wrapped as an entry of a log, to say when it is
    appended: {"topic": "completions", "append_time": "2026-03-01T06:30:05Z", "key": "ada",
    "value": {...}}. An input that is not wrapped is taken as having the right key and partition.

    With -o json there is one object a line for each input: name, verdict, stage, reason, detail,
    local_date, streak_days, portals and more; then one for each error.

    It reads policy.yaml and schemas/ of the working directory, or those that AWAWAY_POLICY_FILE and
    AWAWAY_SCHEMAS_DIR name.

    Exit codes: 0 no input would be a dead letter, 1 one would, or an error, 2 usage.
    """
    from pipeline.ops.validate.state import decode  # noqa: PLC0415 - slow to import
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - the same

    kind = None if topic is None else _topic(topic)
    at_ms = clock.now_ms() if at is None else _instant(at, "--at")
    reads = [_instant(one, "--read-at") for one in read_at or ()]
    zone = None if tz is None else _zone(tz)
    kept = None if save is None else _writable(save)
    schemas_by_id: dict[int, Any] = {}
    given = None if schema is None else _path(schema, "--schema")
    validator = _validator(load_settings(config), given, schemas_by_id)
    if state is not None:
        window_ms = validator.left.seen.window_ms
        validator.left = decode(_read(state, "--state"), window_ms, state)
    batches, errors = _batches(files, kind, at_ms, schemas_by_id)
    if zone is not None and not reads and not any(batch.read_at for batch in batches):
        raise UsageError("--tz is for reading, and nothing is read", fix="give --read-at as well")
    failed = _judge(validator, batches, reads, (tz, zone), output)
    for error in errors:
        show_error(error, output)
    if kept is not None and errors:
        stderr().print(f"nothing was saved in {save}: not every input was read", markup=False)
    elif kept is not None:
        _save(kept, validator.left.encode())
    return EXIT_FAILED if failed or errors else EXIT_OK


def _batches(
    files: Sequence[str], topic: "Topic | None", at_ms: int, schemas_by_id: dict[int, Any]
) -> "tuple[list[Batch], list[AwawayError]]":
    """What the files hold, and what is wrong with them; all are read before any is judged."""
    from pipeline.codec.errors import readable  # noqa: PLC0415 - slow to import
    from pipeline.ops.validate.files import entries_of  # noqa: PLC0415 - the same

    stems = {file: "stdin" if file == _STDIN else Path(file).stem for file in files}
    taken = Counter(stems.values())
    batches: list[Batch] = []
    errors: list[AwawayError] = []
    for n, file in enumerate(files, 1):
        is_clear = taken[stems[file]] == 1 or file == _STDIN
        name = readable(stems[file] if is_clear else file)
        try:
            batch = entries_of(_read(file, "FILE"), name, topic, at_ms, -n)
        except ConfigError as error:
            errors.append(error)
            continue
        if batch.schema is not None:
            schemas_by_id[-n] = batch.schema
        batches.append(batch)
        errors += batch.errors
    return batches, errors


def _judge(
    validator: "Validator",
    batches: "Sequence[Batch]",
    reads: Sequence[int],
    reader: tuple[str | None, str | None],
    output: Output,
) -> bool:
    """Judge what the files hold, and show it.

    Args:
        reader: the zone of who reads: as it was given, and its name.

    Returns:
        Whether an input would be a dead letter.
    """
    from pipeline.cli.validate_shown import Shown, summary  # noqa: PLC0415 - slow to import

    given, zone = reader
    verdicts: Counter[str] = Counter()
    total = sum(len(batch.entries) for batch in batches)
    progress = ProgressLine() if stderr().is_terminal and not stdout().is_terminal else None
    with progress or nullcontext(), Shown(output, given) as shown:
        for batch in batches:
            users: dict[str, None] = {}
            for n, entry in enumerate(batch.entries, 1):
                said = validator.judge(entry)
                verdicts[said.verdict] += 1
                if said.user_id is not None:
                    users[said.user_id] = None
                found: Reads = []
                if n == len(batch.entries):
                    instants = [*batch.read_at, *reads]
                    found = [(t, validator.read(user, t, zone)) for user in users for t in instants]
                today = None
                if said.user_id is not None and said.streak_days == 0 and output is Output.TEXT:
                    today = validator.read(said.user_id, entry.append_time).today
                shown.add(said, found, today)
                if progress is not None and verdicts.total() % _PROGRESS_EACH == 0:
                    progress("judging", verdicts.total(), total)
    if total > 1:
        stderr().print(summary(verdicts), markup=False)
    return verdicts["dead_letter"] > 0


def _validator(settings: "Settings", schema: Path | None, by_id: dict[int, Any]) -> "Validator":
    """What judges, of the release's schemas, policy and catalogue.

    Args:
        schema: of framed values; None: ours.
        by_id: schemas of containers, filled in as they are read.
    """
    from pipeline.codec.errors import UnknownSchemaIdError  # noqa: PLC0415 - slow to import
    from pipeline.codec.inputs import InputDecoder  # noqa: PLC0415 - the same
    from pipeline.codec.schemas import load_schemas  # noqa: PLC0415 - the same
    from pipeline.core.fold import World  # noqa: PLC0415 - the same
    from pipeline.core.geometry.catalogue import GoldenCatalogue  # noqa: PLC0415 - the same
    from pipeline.ops.validate.verdicts import Validator  # noqa: PLC0415 - the same
    from pipeline.ops.validate.writer_schema import read_schema  # noqa: PLC0415 - the same
    from pipeline.settings.load import read_policy  # noqa: PLC0415 - the same

    schemas = load_schemas(settings.schemas_dir)
    given = None if schema is None else read_schema(schema)

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


def _topic(text: str) -> "Topic":
    from pipeline.ops.validate.files import topic_of  # noqa: PLC0415 - slow to import

    topic = topic_of(text)
    if topic is None:
        raise UsageError(f"{text!r} is no topic of inputs", fix="say completions or commands")
    return topic


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


def _path(text: str, option: str) -> Path:
    if not text:
        raise UsageError(f"an empty {option} names no file", fix="name one")
    return Path(text)


def _read(file: str, option: str) -> bytes:
    from pipeline.ops.validate.files import read_file  # noqa: PLC0415 - slow to import

    if file != _STDIN:
        return read_file(_path(file, option))
    if sys.stdin is None:
        raise ConfigError("stdin cannot be read", why="it is closed", fix="name a file")
    return sys.stdin.buffer.read()


def _writable(text: str) -> Path:
    """A file to write to at the end; whether that is possible is known before anything is said."""
    file = _path(text, "--save")
    is_there = file.exists()
    if is_there and not file.is_file() and not file.is_dir():
        return file  # a pipe would take the trial for the end of what it is sent
    try:
        file.open("ab").close()
        if not is_there:
            file.unlink()
    except OSError as error:
        raise _unwritable(file, error) from error
    return file


def _save(file: Path, state: bytes) -> None:
    try:
        file.write_bytes(state)
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: Path, error: OSError) -> ConfigError:
    fixes: dict[type[OSError], str] = {
        FileNotFoundError: "give --save a file in a folder that is there",
        IsADirectoryError: "give --save a file, not a folder",
    }
    return ConfigError(
        f"{file} cannot be written",
        why=error.strerror or str(error),
        fix=fixes.get(type(error), "give --save a file that can be written"),
        path=str(file),
    )
