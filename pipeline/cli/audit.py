"""`awaway audit`: what the audit says, and whether it is whole.

Owns: the commands, their options and exit codes.
Does not own: following and judging (ops/audit/), how things are printed (audit_shown.py), what is
opened (audit_setup.py).
Invariants: nothing changes but by `checkpoint`, `keygen`, `witness` and `export`, which only add.
The exit code is 1 where anything is wrong with the audit.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock
from pipeline.cli.audit_setup import (
    GenerationOption,
    KeysOption,
    Ledger,
    Opened,
    Places,
    StoreOption,
    TrustOption,
    WitnessOption,
    open_export,
    open_ledger,
)
from pipeline.cli.audit_shown import (
    entry_of,
    newest,
    show_entry,
    show_fields,
    show_findings,
    show_verified,
)
from pipeline.cli.configuration import ConfigOption
from pipeline.cli.output import (
    LinesOption,
    Output,
    OutputOption,
    ProgressLine,
    print_json,
    show,
    stdout,
)
from pipeline.cli.partitions import PartitionsOption, wanted_of
from pipeline.errors import EXIT_FAILED, EXIT_OK, UsageError
from pipeline.ops.audit import checkpoint as signing
from pipeline.ops.audit import keys as key_files
from pipeline.ops.audit import witness as witness_file
from pipeline.ops.audit.export_files import FORMAT as EXPORT_FORMAT
from pipeline.ops.audit.export_files import ExportingLog, Manifest, exported, finish, in_order
from pipeline.ops.audit.findings import Finding
from pipeline.ops.audit.show import Choice, chosen
from pipeline.ops.audit.sightings import Judged
from pipeline.ops.audit.store import CheckpointStore
from pipeline.ops.audit.verify import (
    KeptFile,
    PartitionReport,
    Say,
    Verifier,
    without_checkpoint,
)

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(no_args_is_help=True)


@app.command("show")
def show_entries(
    user: Annotated[str | None, typer.Argument(help="The user's id.")] = None,
    *,
    partition: Annotated[int | None, typer.Option(min=0, help="All of this partition.")] = None,
    first: Annotated[
        int | None, typer.Option("--from", min=0, help="From this sequence on; else the last ones.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="So many entries at most; 0 is all.")] = 20,
    config: ConfigOption = None,
    output: LinesOption = Output.TEXT,
) -> int:
    """Show entries of a user, or of a partition: the last ones, or those from a sequence on.

    Each is told whether its hash is that of its bytes. With -o json there is one object a line.

    Examples: `awaway audit show ada`, `awaway audit show --partition 2 --from 4711 --limit 5`.

    Exit codes: 0 all are as they were sealed, 1 one is not or there are none, 2 usage.
    """
    if (user is None) == (partition is None):
        raise UsageError("whose entries?", fix="name a user, or a partition with --partition")
    ledger = Ledger(config)
    topics = ledger.topics
    (number,) = wanted_of(None if partition is None else [partition], user, topics.partitions)
    start, end = topics.range(number)
    choice = Choice(user, first, limit)
    with ProgressLine() as line:
        # An entry's offset is never less than its sequence, as a topic only loses records in front.
        records = topics.records(
            number,
            max(start, first or 0),
            end,
            lambda done, total: line(f"reading partition {number}", done, total),
        )
        found = chosen(records, ledger.reader(), ledger.has_links, choice)
    console = stdout()
    for one in found:
        if output is Output.JSON:
            print_json(entry_of(one))
        else:
            show_entry(console, one)
    if output is Output.TEXT and not found:
        whose = f"partition {number}" if user is None else f"{user} in partition {number}"
        console.print(f"there is no entry of {whose}", markup=False)
    return EXIT_OK if found and all(one.is_sealed for one in found) else EXIT_FAILED


@app.command()
def verify(  # noqa: PLR0913 - one parameter an option
    *,
    partition: PartitionsOption = None,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Hold the chains against the topic's checkpoints.")
    ] = False,
    store: StoreOption = None,
    keys: KeysOption = None,
    trust: TrustOption = None,
    witness: WitnessOption = None,
    export: Annotated[
        Path | None, typer.Option(help="Verify the folder of an export, without Kafka.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Keep how far it came in this file, and go on from there.")
    ] = None,
    generation: GenerationOption = None,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Follow the audit's chains, and find what was done to them.

    It finds entries that were changed, deleted, put into another order, or added by somebody else,
    and says where. Chains are held against the workers' state where that may be read; with
    --checkpoints, --store and --witness also against what was signed and kept there. That alone
    finds an end that was cut off, or a history that was written anew.

    It may be stopped at any time; with --state it goes on, and later runs read only what is new.

    Examples: `awaway audit verify`,
    `awaway audit verify --checkpoints --store s3://audit --keys audit-keys.txt --witness w.txt`,
    `awaway audit verify --export 2026-11 --trust 5f0c6e1b9a3d2c47`.

    Exit codes: 0 nothing is wrong, 1 something is or it could not be read, 2 usage.
    """
    given = (keys, trust)
    if export is not None:
        opened = open_export(export, partition, generation, given)
    else:
        ledger = Ledger(config, generation)
        opened = open_ledger(ledger, partition, checkpoints or keys is not None, store, given)
    if witness is not None:
        opened.places.add("witness", witness_file.read(witness))
    started_s = time.monotonic()
    judged = opened.places.judged(opened.log.topic, opened.partitions)
    reports, findings = _verified(opened, judged, KeptFile(state, opened.log.topic))
    seconds = time.monotonic() - started_s
    shown = {
        "topic": opened.log.topic,
        "entries_read": sum(one.read for one in reports),
        "seconds": round(seconds, 3),
        "partitions": reports,
        "checkpoints": newest(judged),
        "first_key": next(iter(opened.places.keys or ()), None),
        "findings": findings,
    }
    show(shown, output, lambda console: show_verified(console, shown, reports))
    return EXIT_FAILED if findings else EXIT_OK


def _verified(
    opened: Opened, judged: Judged, kept: KeptFile
) -> tuple[list[PartitionReport], list[Finding]]:
    reports, findings = [], opened.findings + judged.findings
    with ProgressLine() as line:
        verifier = Verifier(
            opened.log, opened.has_links, opened.expected(judged), kept, _saying(line)
        )
        for number in opened.partitions:
            report, chains = verifier.verify(number)
            reports.append(report)
            findings += report.findings
            if opened.places.keys is not None and opened.places.complete:
                findings += without_checkpoint(number, chains, judged)
    return reports, findings


def _saying(line: ProgressLine) -> Say:
    def say(what: str, done: int, total: int) -> None:
        line(f"{what} ({done:,} of {total:,})", done, total)

    return say


@app.command()
def checkpoint(
    *,
    key: Annotated[Path, typer.Option(help="The private key, as `awaway audit keygen` made it.")],
    keys: Annotated[Path, typer.Option(help="The list of public keys.")],
    store: Annotated[str, typer.Option(help="The object store: a folder, s3://, gs://, az://.")],
    generation: GenerationOption = None,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Sign how long each chain is and what its last entry is.

    It verifies what was added since the last checkpoints, and signs only what is whole. A
    checkpoint goes into the object store, where none is overwritten, then into the topic. Run it
    every hour or so, on a machine of its own: the workers must not have the key. It may be killed
    at any time; the next run goes on.

    Example: `awaway audit checkpoint --key audit.pem --keys audit-keys.txt --store s3://audit`.

    Exit codes: 0 signed or nothing new, 1 something is wrong and nothing was signed over it.
    """
    ledger = Ledger(config, generation)
    signer = signing.Signer(
        ledger.topics,
        CheckpointStore(store, create=True),
        key_files.read_private(key),
        key_files.read_list(keys),
        ledger.has_links,
    )
    with ProgressLine() as line:
        done = signer.run(ledger.expected(Judged({}, {}, [])), clock.now_ms(), _saying(line))

    def render(console: "Console") -> None:
        for one in done.signed:
            text = f"{one.generation}/{one.partition} number {one.number}: {one.entries:,} entries"
            console.print(text, style="green", markup=False)
        if not done.signed and not done.findings:
            console.print("there are no new entries", style="green")
        if done.completed:
            console.print(f"{done.completed} of an earlier run were put where they lacked")
        if done.findings:
            show_findings(console, done.findings)

    lines = [one.line for one in done.signed]
    shown = {"signed": lines, "completed": done.completed, "findings": done.findings}
    show(shown, output, render)
    return EXIT_FAILED if done.findings else EXIT_OK


@app.command()
def keygen(
    key: Annotated[Path, typer.Argument(help="The file of the new private key.")],
    *,
    keys: Annotated[Path, typer.Option(help="The list of public keys; made with the first key.")],
    after: Annotated[
        Path | None, typer.Option(help="The private key in use, which signs the new one.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a key that signs checkpoints, and put its public half on the list.

    Each key but the first is signed by the one before it, so whoever trusts the first can verify
    all. Then give the new file to `awaway audit checkpoint`; the old key signs nothing any more,
    and can be destroyed.

    Examples: `awaway audit keygen audit.pem --keys audit-keys.txt`,
    `awaway audit keygen audit-2.pem --keys audit-keys.txt --after audit.pem`.
    """
    made = key_files.make(key, keys, after)
    text = f"{made}: private key in {key}, public key in {keys}"
    show(
        {"id": made, "key": str(key), "keys": str(keys)},
        output,
        lambda console: console.print(text, style="green", markup=False),
    )


@app.command()
def witness(
    file: Annotated[Path, typer.Argument(help="The witness file; made if it is not there.")],
    *,
    keys: Annotated[Path, typer.Option(help="The list of public keys.")],
    store: StoreOption = None,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Add the new checkpoints to a file that somebody else keeps.

    Whoever keeps it needs neither trust nor keys of the operator: if topic, store and keys are all
    made anew one day, the file still says what the audit was. Nothing is added where the
    checkpoints are not those that the file has.

    Example, by cron of the other party: `awaway audit witness w.txt --keys audit-keys.txt`.

    Exit codes: 0 done, 1 the checkpoints are other than they were.
    """
    ledger = Ledger(config)
    topics = ledger.topics
    places = Places(topics, store, keys, None)
    there = witness_file.read(file) if file.exists() else []
    places.add("witness", there)
    judged = places.judged(topics.topic, range(topics.partitions))
    has = {one.line for one in there}
    rows = [row for _, row in sorted(judged.rows.items())]
    fresh = [one for row in rows for one in row.values() if one.line not in has]
    if not judged.findings:
        witness_file.add(file, fresh)

    def render(console: "Console") -> None:
        if judged.findings:
            show_findings(console, judged.findings)
        else:
            console.print(f"{len(fresh)} checkpoints added to {file}", style="green", markup=False)

    added = 0 if judged.findings else len(fresh)
    show({"added": added, "findings": judged.findings}, output, render)
    return EXIT_FAILED if judged.findings else EXIT_OK


@app.command()
def export(  # noqa: PLR0913 - one parameter an option
    folder: Annotated[Path, typer.Argument(help="The folder; made if it is not there.")],
    *,
    partition: PartitionsOption = None,
    store: StoreOption = None,
    keys: KeysOption = None,
    generation: GenerationOption = None,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Write the audit into a folder that an auditor can verify without Kafka.

    It holds the entries' own bytes, their schemas, the checkpoints and the public keys.
    docs/AUDIT.md has a script that verifies it with nothing but Python and openssl. A run that was
    stopped goes on when it is given again. Chains are followed meanwhile, and an audit with
    findings is exported all the same: it is evidence.

    Example: `awaway audit export 2026-11 --store s3://audit --keys audit-keys.txt`.

    Exit codes: 0 done, 1 done and something is wrong, or it failed.
    """
    ledger = Ledger(config, generation)
    opened = open_ledger(ledger, partition, keys is not None, store, (keys, None))
    log = ExportingLog(ledger.topics, folder)
    judged = opened.places.judged(log.topic, opened.partitions)
    expected = opened.expected(judged)
    findings, partitions = list(judged.findings), {}
    with ProgressLine() as line:
        verifier = Verifier(
            log, opened.has_links, expected, KeptFile(None, log.topic), _saying(line)
        )
        for number in opened.partitions:
            report, chains = verifier.verify(number)
            findings += report.findings
            partitions[number] = exported(log.ranges[number], chains)
    lines = in_order(one.line for one in opened.places.sightings)
    text = "" if keys is None else keys.read_text(encoding="utf-8")
    now, known = clock.rfc3339(clock.now_ms()), sorted(expected.known)
    manifest = Manifest(EXPORT_FORMAT, log.topic, now, known, partitions, len(findings), {})
    whole = finish(folder, log, ledger.schema_of, (lines, text), manifest)

    def render(console: "Console") -> None:
        show_fields(console, {"folder": folder, "files": len(whole.files) + 1})
        show_findings(console, findings)

    show({"manifest": whole, "findings": findings}, output, render)
    return EXIT_FAILED if findings else EXIT_OK
