"""The demonstration from beginning to end.

Owns: the order of its steps.
Does not own: the steps (the modules it imports).
Invariant: whatever happens, no worker is left behind.
"""

import gc
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipeline import clock
from pipeline.dev.demo.comparing import compare, compare_early_reads
from pipeline.dev.demo.live import LiveView
from pipeline.dev.demo.outputs import Outputs, Seen, read_outputs
from pipeline.dev.demo.page import write_page
from pipeline.dev.demo.plain_reader import PlainReader
from pipeline.dev.demo.rebuild import corrupt_and_rebuild, split
from pipeline.dev.demo.repaired import take_in_repairs
from pipeline.dev.demo.sending import Sent, read_back, send
from pipeline.dev.demo.stage import Files, Options, Say, Stage, build_stage
from pipeline.dev.demo.summary import Result
from pipeline.dev.demo.watching import Killing, View, watch
from pipeline.dev.demo.worker_process import WorkerProcess
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.oracle import Judgement, Logged, Rules, judge, load_rules
from pipeline.dev.oracle import Reader as OracleReader
from pipeline.dev.oracle.events import Coordinates
from pipeline.dev.workload.commands import Claimable
from pipeline.dev.workload.ground_truth import InputRecord, tally
from pipeline.dev.workload.month import Month, generate
from pipeline.dev.workload.reports import limits_of
from pipeline.kafka.reader import Reader

CLAIMABLE_PORTALS: Final = 4


def run_demo(stack: LocalStack, options: Options, files: Files, say: Say, live: LiveView) -> Result:
    """Carry out a demonstration on a stack that is up, and stays up.

    Args:
        files: `read_files`.
        say: told of each step.
        live: shows the run.

    Raises:
        AwawayError: it could not be carried out. Wrong outputs are no error but a result.
    """
    began = time.monotonic()
    # A dead worker's name must not be met again, so every run has its own.
    run_name = f"demo-{options.seed}-{clock.now_ms()}"
    stage = build_stage(options, run_name, stack, files, say)
    with _without_cycle_search():
        return _play(options, stage, say, live, began)


@contextmanager
def _without_cycle_search() -> Iterator[None]:
    """A run piles up records, and ends; looking for cycles among them costs a third of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _play(options: Options, stage: Stage, say: Say, live: LiveView, began: float) -> Result:
    rules = load_rules(stage.policy)
    with WorkerProcess(stage.settings, stage.run_dir / "worker.log") as worker:
        started = time.monotonic()
        worker.start()
        say(f"making up {options.days} days of {options.users:,} people")
        records = _month(options, stage, rules)
        parts = split(records) if options.corrupt else (records, [])
        say(f"sending {len(parts[0]):,} records")
        send(parts[0], stage)
        view = View(total=len(parts[0]), days=options.days)
        killing = Killing.planned(options.kills, len(parts[0]), options.seed)
        with live.open():
            watch(stage, worker, view, killing, live.show)
        rebuilt = None
        if options.corrupt:
            rebuilt = corrupt_and_rebuild(stage, worker, parts, options.users, say)
            view = _watch_to_the_end(stage, worker, view, live)
        pipeline_s = time.monotonic() - started
        say("stopping the worker")
        worker.stop()
    say("reading everything back")
    sent, outputs, judgement = _read_and_judge(records, stage, rules, view.seen, say)
    repairs = [one.meant for one in list(sent.values())[len(records) :]]
    say("comparing")
    differences = compare(outputs, sent, judgement, rules)
    compare_early_reads(view.seen, outputs, differences)
    if rebuilt is not None:
        rebuilt.judge(outputs, differences)
    page = write_page(options.root / "figures.html", outputs, stage, options.days)
    return Result(
        users=options.users,
        days=options.days,
        seed=options.seed,
        verdicts=Counter(entry["verdict"] for _, entry in outputs.audit),
        judged=Counter(verdict.word for verdict in judgement.verdicts.values()),
        ground_truth=tally([*records, *repairs]),
        alerts=len(outputs.alerts),
        dead_letters=len(outputs.dead_letters),
        portals=len(outputs.portals),
        assets=len({record["asset_id"] for record in outputs.figures()}),
        kills=view.kills,
        differences=differences,
        page=str(page),
        pipeline_s=pipeline_s,
        seconds=time.monotonic() - began,
        settings=stage.settings,
        telling=_telling(outputs),
        rebuilt=rebuilt,
    )


def _watch_to_the_end(stage: Stage, worker: WorkerProcess, before: View, live: LiveView) -> View:
    """Wait for everything that is in the topics by now; return the view, with what was seen."""
    with Reader(stage.settings.kafka_client(), "awaway-demo") as reader:
        ends = reader.ends(reader.partitions([*stage.inputs.values()]))
    view = View(total=sum(ends.values()), days=before.days, kills=before.kills)
    with live.open():
        watch(stage, worker, view, Killing.planned(0, 0, 0), live.show)
    view.seen |= before.seen
    return view


def _telling(outputs: Outputs) -> str | None:
    """The user with the most alerts of those who have progress; the first by name of several."""
    alerts = Counter(alert["user_id"] for alert in outputs.alerts)
    return max(sorted(outputs.progress), key=alerts.__getitem__, default=None)


def _month(options: Options, stage: Stage, rules: Rules) -> list[InputRecord]:
    end_ms = clock.now_ms()
    policy = rules.at(end_ms)
    claimable = tuple(
        Claimable(portal.slug, portal.keys) for portal in policy.portals[:CLAIMABLE_PORTALS]
    )
    month = Month(options.users, options.days, options.seed, end_ms)
    return generate(month, limits_of(policy), claimable, stage.wire)


def _read_and_judge(
    records: list[InputRecord], stage: Stage, rules: Rules, seen: Seen, say: Say
) -> tuple[dict[Coordinates, Sent], Outputs, Judgement]:
    servers = (stage.settings.bootstrap_servers, stage.settings.registry_url)
    with PlainReader(*servers, stage.outputs.values()) as reader:
        outputs = read_outputs(stage, reader, seen)
    with PlainReader(*servers, stage.inputs.values()) as reader:
        repairs: list[Sent] = []
        sent = read_back(records, stage, reader, repairs)
        ids = {
            int.from_bytes((one.logged.value or b"")[1:5], "big")
            for one in sent.values()
            if one.meant.verdict in ("accepted", "applied")
            and (one.logged.value or b"")[:1] == b"\0"
        }
        schemas = {schema_id: reader.writer_schema(schema_id) for schema_id in ids}
    say("asking the oracle")
    log = outputs.in_order([one.logged for one in sent.values()])

    def ask(log: list[Logged]) -> Judgement:
        return judge(log, rules, OracleReader(schemas), stage.partitions)

    judgement = ask(log)
    sent = take_in_repairs(repairs, outputs, sent, judgement, (ask, rules))
    return sent, outputs, judgement
