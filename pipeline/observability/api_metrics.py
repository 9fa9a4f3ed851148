"""Definitions of the API's metrics.

Owns: every metric of `awaway api`: name, kind, labels, buckets, meaning.
Does not own: the form of a definition and a worker's metrics (metrics.py), current values
(values.py, api_prometheus.py).
Invariants: as metrics.py's; a route is named by its template, so no label holds a user.
"""

from typing import Final

from pipeline.observability.metrics import LATENCY_OBJECTIVE_S, Kind, Metric

_READABLE: Final = (
    0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, LATENCY_OBJECTIVE_S, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 3600.0,
)  # fmt: skip
_REQUEST: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip

BUILD_INFO: Final = Metric(
    "awaway_api_build_info",
    Kind.GAUGE,
    "Always 1; the labels say what runs.",
    ("version", "generator_version"),
)
REQUESTS: Final = Metric(
    "awaway_api_requests_total",
    Kind.COUNTER,
    "Requests answered, by the template of the route and by the status's class, such as `2xx`.",
    ("route", "method", "status"),
)
REQUEST_DURATION: Final = Metric(
    "awaway_api_request_duration_seconds",
    Kind.HISTOGRAM,
    "From a request's arrival to the end of its answer; streams are not in it.",
    ("route",),
    _REQUEST,
)
IN_FLIGHT: Final = Metric(
    "awaway_api_requests_in_flight", Kind.GAUGE, "Requests that are being answered."
)
READS: Final = Metric(
    "awaway_api_reads_total",
    Kind.COUNTER,
    "Reads of a user: fresh (answered at once from a store that is up to date), waited (for a "
    "revision), stale (the store is further behind than api_stale_s), missed (no such user, or not "
    "in time). Fresh over all is the cache hit ratio.",
    ("result",),
)
ANSWERS: Final = Metric(
    "awaway_api_rendered_answers_total",
    Kind.COUNTER,
    "Progress answers that were taken from memory (reused) or rendered anew.",
    ("outcome",),
)
READABLE: Final = Metric(
    "awaway_api_append_to_readable_seconds",
    Kind.HISTOGRAM,
    "From an input's append to its effects being readable here; not counted while loading. Of a "
    "large batch a sample is taken.",
    (),
    _READABLE,
)
RECORDS: Final = Metric(
    "awaway_api_progress_records_total",
    Kind.COUNTER,
    "Progress records read: applied, superseded (an older revision than is held), erased (a "
    "tombstone), refused (no progress record).",
    ("outcome",),
)
OFFSET_LAG: Final = Metric(
    "awaway_api_offset_lag_records",
    Kind.GAUGE,
    "Offsets between the store and the topic's last stable one.",
    ("partition",),
)
TIME_LAG: Final = Metric(
    "awaway_api_time_lag_seconds",
    Kind.GAUGE,
    "What was committed longer ago than this is in the store, at the scrape; infinity while that "
    "is not known.",
    ("partition",),
)
USERS: Final = Metric("awaway_api_users", Kind.GAUGE, "Users in the store.")
STORE_BYTES: Final = Metric("awaway_api_store_bytes", Kind.GAUGE, "The store on disk.")
LOAD_DURATION: Final = Metric(
    "awaway_api_load_seconds",
    Kind.GAUGE,
    "From the start until the store had caught up for the first time; 0 before.",
)
STORES_SET_ASIDE: Final = Metric(
    "awaway_api_stores_set_aside_total",
    Kind.COUNTER,
    "Stores that did not fit the topic any more and were built anew.",
)
WAITING: Final = Metric("awaway_api_reads_waiting", Kind.GAUGE, "Reads that wait for a revision.")
STREAM_CLIENTS: Final = Metric(
    "awaway_api_stream_clients", Kind.GAUGE, "Clients of the live stream."
)
OUTCOMES_LAG: Final = Metric(
    "awaway_api_outcomes_lag_seconds",
    Kind.GAUGE,
    "What was published about inputs longer ago than this is in the index of what became of them, "
    "at the scrape; infinity until it has caught up after a start.",
)
IN_FLIGHT_COMPLETIONS: Final = Metric(
    "awaway_api_completions_in_flight",
    Kind.GAUGE,
    "Completions that the brokers have not acknowledged yet.",
)
COMPLETIONS: Final = Metric(
    "awaway_api_completions_total",
    Kind.COUNTER,
    "Completions handed to the brokers, by what they said: acknowledged, refused (never to be "
    "taken: too large, or invalid), failed (not within api_delivery_ms_max).",
    ("outcome",),
)
PICTURES: Final = Metric(
    "awaway_api_pictures_total",
    Kind.COUNTER,
    "Pictures answered: reused (from memory), drawn, refused (too many at once).",
    ("outcome",),
)
DELIVERY_OFFSET_LAG: Final = Metric(
    "awaway_api_delivery_offset_lag_records",
    Kind.GAUGE,
    "Offsets from the first record that a downstream group has not read to the topic's end; "
    "transactions' markers count where a record is before them.",
    ("group", "topic", "partition"),
)
DELIVERY_TIME_LAG: Final = Metric(
    "awaway_api_delivery_time_lag_seconds",
    Kind.GAUGE,
    "Age of the first record that a downstream group has not read, at the scrape; 0 without one. "
    "Absent while the brokers do not answer.",
    ("group", "topic", "partition"),
)
DELIVERY_BOUND: Final = Metric(
    "awaway_api_delivery_bound_seconds",
    Kind.GAUGE,
    "How old a record may become before the group has read it, as topics.yaml says.",
    ("group", "topic"),
)
SCRUB_LEFT: Final = Metric(
    "awaway_api_scrub_remaining_records",
    Kind.GAUGE,
    "Offsets of progress that the pass under way over the store has still to read.",
)
SCRUB_DIFFERING: Final = Metric(
    "awaway_api_scrub_users_differing",
    Kind.GAUGE,
    "Users of whom the last whole pass found that the store has not their last progress record.",
)
SCRUB_DIFFERENCES: Final = Metric(
    "awaway_api_scrub_differences_total",
    Kind.COUNTER,
    "Users found to differ: missing (not in the store), unlike (another record than the last), "
    "surplus (a record that progress has not); once each until they agree again.",
    ("kind",),
)
SCRUB_PASSED: Final = Metric(
    "awaway_api_scrub_last_pass_timestamp_seconds",
    Kind.GAUGE,
    "When the store was last compared whole, seconds since 1970; 0 before the first time.",
)

API_METRICS: Final = (
    BUILD_INFO, REQUESTS, REQUEST_DURATION, IN_FLIGHT, READS, ANSWERS, READABLE, RECORDS,
    OFFSET_LAG, TIME_LAG, USERS, STORE_BYTES, LOAD_DURATION, STORES_SET_ASIDE, WAITING,
    STREAM_CLIENTS, OUTCOMES_LAG, IN_FLIGHT_COMPLETIONS, COMPLETIONS, PICTURES,
    DELIVERY_OFFSET_LAG, DELIVERY_TIME_LAG, DELIVERY_BOUND,
    SCRUB_LEFT, SCRUB_DIFFERING, SCRUB_DIFFERENCES, SCRUB_PASSED,
)  # fmt: skip
"""Every metric of the API, in the order in which they are exposed and documented."""
