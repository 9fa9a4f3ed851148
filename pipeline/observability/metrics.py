"""Definitions of a worker's metrics.

Owns: the form of a definition; every metric of a worker: name, kind, labels, buckets, meaning; the
counts of one batch (BatchStats); the states of a worker.
Does not own: the API's metrics (api_metrics.py), current values (values.py, prometheus.py), the
HTTP endpoint (health.py), alerts (deploy/).
Invariants: units are base units; a counter ends in `_total`; no label holds a user, an event or any
other unbounded value; the latency objective is an exact bucket of the latency histogram.

No metric is touched per event: the fold counts into a BatchStats, and telemetry adds it as a whole.
"""

from collections import Counter
from enum import Enum, StrEnum
from typing import Final, NamedTuple

import msgspec

LATENCY_OBJECTIVE_S: Final = 1.0
"""A completion's effects are readable this long after its append, for 99.9 % of events."""


class Kind(Enum):
    """A metric's type, by its Prometheus name."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """One metric's definition.

    Attributes:
        name: as it is scraped, without a histogram's `_bucket`, `_sum` and `_count`.
        help: one sentence, with the unit where the name does not say it.
        labels: names, in the order in which values are given.
        buckets: upper bounds of a histogram, ascending, without infinity; else empty.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_LATENCY: Final = (
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, LATENCY_OBJECTIVE_S,
    2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
)  # fmt: skip
_DURATION: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
_SIZE: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0, 100000.0)

BUILD_INFO: Final = Metric(
    "awaway_build_info",
    Kind.GAUGE,
    "Always 1; the labels say what runs.",
    ("version", "generation", "slot", "policy_version", "generator_version"),
)
EVENTS: Final = Metric(
    "awaway_events_total",
    Kind.COUNTER,
    "Inputs whose outcome was committed, by what they asked for and what became of them.",
    ("action", "verdict"),
)
DEDUPE_VERDICTS: Final = Metric(
    "awaway_dedupe_verdicts_total",
    Kind.COUNTER,
    "Completions that repeat or cross an accepted one; only an overlap counts for the user.",
    ("verdict",),
)
INGEST_TO_COMMIT: Final = Metric(
    "awaway_ingest_to_commit_seconds",
    Kind.HISTOGRAM,
    "From an input's append to the commit of its effects; replays after a stop count in full.",
    (),
    _LATENCY,
)
PORTAL_UNLOCKS: Final = Metric(
    "awaway_portal_unlocks_total", Kind.COUNTER, "Portals unlocked, by slug.", ("portal",)
)
KEYS_GRANTED: Final = Metric(
    "awaway_field_keys_granted_total", Kind.COUNTER, "Field Keys granted with unlocks."
)
DEAD_LETTERS: Final = Metric(
    "awaway_dead_letters_total",
    Kind.COUNTER,
    "Rejected inputs, by the stage and the reason code; reasons beyond a bound are `other`.",
    ("stage", "reason"),
)
FIELDS_IGNORED: Final = Metric(
    "awaway_input_fields_ignored_total",
    Kind.COUNTER,
    "Fields of JSON inputs that this release does not know, and left out.",
    ("topic",),
)
ASSETS_GENERATED: Final = Metric(
    "awaway_assets_generated_total", Kind.COUNTER, "Frames drawn by this process."
)
ASSET_GENERATION: Final = Metric(
    "awaway_asset_generation_seconds_total",
    Kind.COUNTER,
    "Time spent on drawing frames; over the number drawn it is the mean time of one.",
)
ASSETS_CHECKED: Final = Metric(
    "awaway_assets_checked",
    Kind.GAUGE,
    "Frames of the catalogue found in the object store at start.",
)
ASSETS_MISSING: Final = Metric(
    "awaway_assets_missing",
    Kind.GAUGE,
    "Frames of the catalogue not found in the object store at start; a worker refuses to run then.",
)
TRANSACTIONS: Final = Metric(
    "awaway_transactions_total",
    Kind.COUNTER,
    "Transactions by how they ended: committed or aborted.",
    ("outcome",),
)
TRANSACTIONS_FAILED: Final = Metric(
    "awaway_transactions_failed_in_a_row",
    Kind.GAUGE,
    "Transactions that failed since one was committed; from 3 on the worker is not ready.",
)
COMMIT_DURATION: Final = Metric(
    "awaway_commit_duration_seconds",
    Kind.HISTOGRAM,
    "From the flush of a transaction's records to the broker's answer to its commit.",
    (),
    _DURATION,
)
APPLY_DURATION: Final = Metric(
    "awaway_apply_duration_seconds",
    Kind.HISTOGRAM,
    "Writing a committed transaction's state to the local stores.",
    (),
    _DURATION,
)
ABORT_DURATION: Final = Metric(
    "awaway_abort_duration_seconds",
    Kind.HISTOGRAM,
    "From the decision to abort until the consumer stands at the committed offsets again.",
    (),
    _DURATION,
)
PRODUCERS_RENEWED: Final = Metric(
    "awaway_producers_renewed_total",
    Kind.COUNTER,
    "Producers made again under the same transactional id, as after a commit of unknown outcome.",
)
CLIENTS_STALLED: Final = Metric(
    "awaway_clients_stalled_total",
    Kind.COUNTER,
    "Clients that said nothing although there was something, and were replaced or asked anew.",
)
FOLD_DURATION: Final = Metric(
    "awaway_fold_duration_seconds",
    Kind.HISTOGRAM,
    "Decoding, folding and encoding one partition's micro-batch.",
    (),
    _DURATION,
)
BATCH_RECORDS: Final = Metric(
    "awaway_batch_records", Kind.HISTOGRAM, "Inputs in one committed transaction.", (), _SIZE
)
RESTORE_DURATION: Final = Metric(
    "awaway_restore_duration_seconds",
    Kind.HISTOGRAM,
    "From a partition's assignment until its tables stand at the committed offsets.",
    (),
    _LONG,
)
RESTORE_RECORDS: Final = Metric(
    "awaway_restore_records_total", Kind.COUNTER, "Changelog records read back."
)
RESTORE_REMAINING: Final = Metric(
    "awaway_restore_remaining_records",
    Kind.GAUGE,
    "Changelog offsets still to be read before the partition is ready; 0 when it is.",
    ("partition",),
)
RESTORE_RATE: Final = Metric(
    "awaway_restore_records_per_second",
    Kind.GAUGE,
    "Changelog offsets read each second, over the restore that is under way; 0 when there is none.",
    ("partition",),
)
STANDBY_LAG: Final = Metric(
    "awaway_standby_lag_records",
    Kind.GAUGE,
    "Changelog offsets that a copy of a partition of other workers is behind.",
    ("partition",),
)
OFFSET_LAG: Final = Metric(
    "awaway_offset_lag_records",
    Kind.GAUGE,
    "Offsets between the committed one and the input's last stable one.",
    ("topic", "partition"),
)
TIME_LAG: Final = Metric(
    "awaway_time_lag_seconds",
    Kind.GAUGE,
    "Age of the oldest input known not to be committed, at the scrape; 0 when there is none.",
    ("topic", "partition"),
)
STATE_BYTES: Final = Metric(
    "awaway_state_bytes", Kind.GAUGE, "A partition's local store on disk.", ("partition",)
)
STORES_SET_ASIDE: Final = Metric(
    "awaway_stores_set_aside_total",
    Kind.COUNTER,
    "Local stores that did not fit and were moved aside, to be restored from the changelogs.",
)
PARTITIONS_ASSIGNED: Final = Metric(
    "awaway_partitions_assigned", Kind.GAUGE, "Input partitions that this worker owns."
)
PARTITIONS_REFUSED: Final = Metric(
    "awaway_partitions_refused",
    Kind.GAUGE,
    "Owned partitions that are not processed because their state cannot be trusted; see the log.",
)
REBALANCES: Final = Metric(
    "awaway_rebalances_total",
    Kind.COUNTER,
    "Changes of the assignment: assigned, revoked or lost.",
    ("kind",),
)
WORKER_STATE: Final = Metric(
    "awaway_worker_state", Kind.GAUGE, "1 for the state the worker is in, else 0.", ("state",)
)
LAST_STEP: Final = Metric(
    "awaway_engine_last_step_age_seconds",
    Kind.GAUGE,
    "How long ago the engine's thread made its last step.",
)
SCRUB_LEFT: Final = Metric(
    "awaway_state_scrub_remaining_records",
    Kind.GAUGE,
    "Changelog offsets that the walk under way has still to read before it compares.",
    ("partition",),
)
SCRUB_COMPARED: Final = Metric(
    "awaway_state_scrub_users_compared",
    Kind.GAUGE,
    "Users whom the walk under way, or the last one, has compared.",
    ("partition",),
)
SCRUB_DIFFERING: Final = Metric(
    "awaway_state_scrub_users_differing",
    Kind.GAUGE,
    "Users of whom the last whole walk found that disk and changelog differ; at most 1,000.",
    ("partition",),
)
SCRUB_DIFFERENCES: Final = Metric(
    "awaway_state_scrub_differences_total",
    Kind.COUNTER,
    "Users found to differ, by the side that is wrong: disk, changelog, or undecided where both "
    "states could be; once each until they agree again.",
    ("kind",),
)
SCRUB_WALKED: Final = Metric(
    "awaway_state_scrub_last_walk_timestamp_seconds",
    Kind.GAUGE,
    "When the partition was last walked whole, seconds since 1970.",
    ("partition",),
)

METRICS: Final = (
    BUILD_INFO, WORKER_STATE, LAST_STEP, EVENTS, DEDUPE_VERDICTS, INGEST_TO_COMMIT,
    PORTAL_UNLOCKS, KEYS_GRANTED, DEAD_LETTERS, FIELDS_IGNORED, ASSETS_GENERATED,
    ASSET_GENERATION,
    ASSETS_CHECKED, ASSETS_MISSING, TRANSACTIONS, TRANSACTIONS_FAILED, BATCH_RECORDS, FOLD_DURATION,
    COMMIT_DURATION, APPLY_DURATION, ABORT_DURATION, PRODUCERS_RENEWED, CLIENTS_STALLED,
    PARTITIONS_ASSIGNED, PARTITIONS_REFUSED,
    REBALANCES, RESTORE_DURATION, RESTORE_RECORDS, RESTORE_REMAINING, RESTORE_RATE,
    STANDBY_LAG, STATE_BYTES,
    STORES_SET_ASIDE, OFFSET_LAG, TIME_LAG,
    SCRUB_LEFT, SCRUB_COMPARED, SCRUB_DIFFERING, SCRUB_DIFFERENCES, SCRUB_WALKED,
)  # fmt: skip
"""Every metric of a worker, in the order in which they are exposed and documented."""


class WorkerState(StrEnum):
    """Where a worker is in its life; in this order unless something fails."""

    STARTING = "starting"
    CHECKING = "checking"
    JOINING = "joining"
    RESTORING = "restoring"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


class BatchStats(msgspec.Struct):
    """The counts of one micro-batch, published once it is committed. The fold counts into it.

    Attributes:
        topic, partition: where the inputs came from.
        outcomes: inputs by (action, verdict), as in the audit entries. `Counter` or plain dict.
        unlocks: portals unlocked, by slug.
        keys_granted: Field Keys granted with them.
        dead_letters: rejected inputs by (stage, reason).
        fields_ignored: fields of JSON inputs that are not known.
        append_times: one append time for each input, in ms since the epoch; any order.
        fold_s: time spent on decoding, folding and encoding, in s.
    """

    topic: str
    partition: int
    outcomes: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    unlocks: Counter[str] = msgspec.field(default_factory=Counter)
    keys_granted: int = 0
    dead_letters: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    fields_ignored: int = 0
    append_times: list[int] = msgspec.field(default_factory=list)
    fold_s: float = 0.0
