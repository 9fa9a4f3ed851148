"""One run of everything, in order, on one ground.

Owns: which peers run when, on which prefix; loading, running, checking each; the profile.
Does not own: options and printing (__main__.py), any peer.
Invariant: a figure is kept only after the peer's results were compared with the truth.

The broker's own code warms up as it is used, which would favour whoever runs last: a slice of the
data goes through the bare loop first, and is not counted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median_low
from typing import Final

from bench.ground import (
    Ground,
    json_peer,
    json_peer_topics,
)
from bench.latency import Latency, Plan, measure_latency
from bench.loading import create_topics, load
from bench.ours import await_ready, environment, prepare, progress_decoder, worker_peer
from bench.outcome import check_outcome, decode_json, read_outcome
from bench.peer import Peer, PeerProcess, run_peer
from bench.profiler import finish, sample
from bench.report import Row
from bench.truth import Data, data_of
from pipeline.dev.workload.steady import Steady

OURS: Final = {"ours": 1, "ours_collapsed": 1, "ours_two_workers": 2}
"""How many workers share the input."""

PEERS: Final = ("raw_loop", "raw_loop_stdlib", *OURS, "faust_naive")
WARMING_SHARE: Final = 0.1
PROFILE_SECONDS_MAX: Final = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What to run.

    Attributes:
        steady: the whole input. faust_events: of the part that the Faust app gets.
        peers: names out of PEERS. rounds: how often each; the median counts.
        latency_seconds: 0 leaves the delays out. latency_events_per_s: 1 and up.
        profile: one more run of the pipeline, sampled, not counted.
    """

    steady: Steady
    faust_events: int
    peers: frozenset[str]
    rounds: int
    latency_seconds: int
    latency_events_per_s: int
    profile: bool


@dataclass(frozen=True)
class Found:
    """What the run found."""

    rows: dict[str, Row]
    latency: Latency | None
    profile: list[str]


class Suite:
    """Runs the peers one after the other. `say` is told what happens."""

    def __init__(self, ground: Ground, options: Options, say: Say) -> None:
        self._ground = ground
        self._options = options
        self._say = say
        self._runs = 0

    def run(self) -> Found:
        """Everything that the options ask for.

        Raises:
            BenchError: a peer failed or was wrong.
        """
        options = self._options
        self._say(f"generating {options.steady.events:,} completions")
        data = data_of(options.steady)
        part = data_of(options.steady.first(options.faust_events))
        if options.peers - {"faust_naive"}:
            self._say("warming the broker")
            self._json_peer("raw_loop", data_of(options.steady.first(self._warming())))
        measured: dict[str, list[Row]] = {}
        for _ in range(options.rounds):
            for name in PEERS:
                if name in options.peers:
                    row = self._peer(name, part if name == "faust_naive" else data)
                    measured.setdefault(name, []).append(row)
        rows = {name: _median(runs) for name, runs in measured.items()}
        latency = self._latency() if options.latency_seconds else None
        profile = self._profile(data) if options.profile else []
        return Found(rows, latency, profile)

    def _warming(self) -> int:
        return max(1, int(self._options.steady.events * WARMING_SHARE))

    def _peer(self, name: str, data: Data) -> Row:
        self._say(f"{name}: loading {len(data.events):,} events")
        row = self._ours(name, data) if name in OURS else self._json_peer(name, data)
        self._say(f"{name}: {row.measured.rate.events_per_s:,.0f} events/s, results right")
        return row

    def _json_peer(self, name: str, data: Data) -> Row:
        prefix = self._new_prefix()
        bootstrap = self._ground.bootstrap
        create_topics(bootstrap, json_peer_topics(prefix))
        load(bootstrap, f"{prefix}completions", data.events)
        peer = json_peer(name, self._ground, prefix, len(data.events))
        measured = run_peer(peer, bootstrap, self._ground.folder)
        outcome = read_outcome(bootstrap, prefix, data.truth, decode_json)
        check_outcome(name, outcome, data.truth)
        return Row(measured, len(data.events))

    def _ours(self, name: str, data: Data) -> Row:
        collapse = name == "ours_collapsed"
        peer, prefix = self._ready_peer(name, data, collapse=collapse)
        measured = run_peer(peer, self._ground.bootstrap, self._ground.folder)
        self._check_ours(name, prefix, data, collapse=collapse)
        return Row(measured, len(data.events))

    def _ready_peer(self, name: str, data: Data, *, collapse: bool) -> tuple[Peer, str]:
        prefix = self._new_prefix()
        env = environment(self._ground, prefix, collapse=collapse)
        prepare(env)
        load(self._ground.bootstrap, f"{prefix}completions", data.events)
        return worker_peer(name, prefix, env, len(data.events), OURS.get(name, 1)), prefix

    def _check_ours(self, name: str, prefix: str, data: Data, *, collapse: bool) -> None:
        decode = progress_decoder()
        outcome = read_outcome(self._ground.bootstrap, prefix, data.truth, decode)
        check_outcome(name, outcome, data.truth, collapsed=collapse)

    def _latency(self) -> Latency:
        options = self._options
        prefix = self._new_prefix()
        env = environment(self._ground, prefix, collapse=True)
        prepare(env)
        decode = progress_decoder()
        plan = Plan(
            bootstrap=self._ground.bootstrap,
            completions=f"{prefix}completions",
            progress=f"{prefix}progress",
            events_per_s=options.latency_events_per_s,
            seconds=options.latency_seconds,
            now_ms=options.steady.now_ms,
        )
        self._say(f"delays: {plan.events_per_s:,} events/s for {plan.seconds} s")
        peer = worker_peer("latency", prefix, env, plan.events)
        log_path = self._ground.folder / "latency.log"
        with PeerProcess(peer.name, peer.argv, peer.env, log_path) as worker:
            await_ready(worker, env)
            return measure_latency(plan, lambda value: str(decode(value)["cause"]["id"]))

    def _profile(self, data: Data) -> list[str]:
        self._say("profile: one more run, sampled")
        seconds = min(PROFILE_SECONDS_MAX, max(1.0, len(data.events) / 40_000))
        path = self._ground.folder / "profile.txt"
        sampled: list[list[str]] = []

        def watch(pid: int) -> None:
            sampled.append(finish(sample(pid, seconds, path), path))

        peer, _ = self._ready_peer("profiled", data, collapse=False)
        run_peer(peer, self._ground.bootstrap, self._ground.folder, watch)
        return sampled[0] if sampled else []

    def _new_prefix(self) -> str:
        self._runs += 1
        return f"{self._ground.folder.name}.{self._runs}."


def _median(runs: list[Row]) -> Row:
    middle = median_low([row.measured.rate.events_per_s for row in runs])
    return next(row for row in runs if row.measured.rate.events_per_s == middle)
