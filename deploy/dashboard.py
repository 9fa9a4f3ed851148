"""The Grafana dashboard.

Owns: its rows and panels, and the query of each.
Does not own: the metrics (docs/METRICS.md), alerts (prometheus/), the form of the JSON, which
Grafana's own library makes.
Invariant: the text is a function of this file alone; a test compares it with what is committed, and
every query with the metrics that there are. `python deploy/dashboard.py` writes it.
"""

import itertools
import json
from pathlib import Path
from string import ascii_uppercase
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

WINDOW: Final = "$__rate_interval"


class Panel(NamedTuple):
    """A panel. `queries`: PromQL by legend; `about` is what the reader looks for."""

    title: str
    about: str
    unit: str
    queries: dict[str, str]


def _quantile(share: float, histogram: str, by: str = "") -> str:
    return f"histogram_quantile({share}, sum by (le{by}) (rate({histogram}_bucket[{WINDOW}])))"


ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Objectives": (
        Panel(
            "Error budget left", "Of 30 days. Below zero the objective is missed.", "percentunit",
            {"{{sloth_slo}}": "slo:period_error_budget_remaining:ratio"},
        ),
        Panel(
            "Burn rate", "At 1 the budget lasts 30 days exactly.", "none",
            {"{{sloth_slo}}": "slo:current_burn_rate:ratio"},
        ),
        Panel(
            "Alerts", "Pending and firing; each has a runbook.", "none",
            {"{{alertname}}": 'sum by (alertname) (ALERTS{alertname=~"Awaway.+"})'},
        ),
    ),
    "Ingestion": (
        Panel(
            "Inputs", "By what became of them, a second.", "reqps",
            {"{{verdict}}": f"sum by (verdict) (rate(awaway_events_total[{WINDOW}]))"},
        ),
        Panel(
            "Append to commit", "The objective is 1 s.", "s",
            {
                "p50": _quantile(0.5, "awaway_ingest_to_commit_seconds"),
                "p99": _quantile(0.99, "awaway_ingest_to_commit_seconds"),
            },
        ),
        Panel(
            "Behind", "Age of the oldest input that is not committed.", "s",
            {"{{topic}} {{partition}}": "max by (topic, partition) (awaway_time_lag_seconds)"},
        ),
        Panel(
            "Completions over HTTP", "By what the brokers said.", "reqps",
            {"{{outcome}}": f"sum by (outcome) (rate(awaway_api_completions_total[{WINDOW}]))"},
        ),
    ),
    "What became of them": (
        Panel(
            "Duplicates and overlaps", "Each raised a reconciliation alert.", "reqps",
            {"{{verdict}}": f"sum by (verdict) (rate(awaway_dedupe_verdicts_total[{WINDOW}]))"},
        ),
        Panel(
            "Dead letters", "`awaway deadletters list` has them.", "reqps",
            {
                "{{stage}} {{reason}}": (
                    f"sum by (stage, reason) (rate(awaway_dead_letters_total[{WINDOW}]))"
                )
            },
        ),
        Panel(
            "Portals unlocked", "In an hour, by portal; each publishes one unlock id.", "none",
            {"{{portal}}": "sum by (portal) (increase(awaway_portal_unlocks_total[1h]))"},
        ),
        Panel(
            "Rebuilds and operations", "Repairs, and steps of operators, in 30 days.", "none",
            {
                "repairs": "awaway:repairs:increase30d",
                "operations": "awaway:operations:increase30d",
                "users differing": "max(awaway_scrub_users_differing)",
            },
        ),
    ),
    "Figures and delivery": (
        Panel(
            "Drawing a frame", "Mean time of one.", "s",
            {
                "mean": (
                    f"sum(rate(awaway_asset_generation_seconds_total[{WINDOW}]))"
                    f" / sum(rate(awaway_assets_generated_total[{WINDOW}]))"
                )
            },
        ),
        Panel(
            "Delivery", "Age of the first record that a downstream group has not read.", "s",
            {"{{group}} {{topic}}": "max by (group, topic) (awaway_api_delivery_time_lag_seconds)"},
        ),
    ),
    "Workers": (
        Panel(
            "Phases of a transaction", "99th percentile of each.", "s",
            {
                "fold": _quantile(0.99, "awaway_fold_duration_seconds"),
                "commit": _quantile(0.99, "awaway_commit_duration_seconds"),
                "apply": _quantile(0.99, "awaway_apply_duration_seconds"),
                "abort": _quantile(0.99, "awaway_abort_duration_seconds"),
            },
        ),
        Panel(
            "Transactions", "By how they ended.", "reqps",
            {"{{outcome}}": f"sum by (outcome) (rate(awaway_transactions_total[{WINDOW}]))"},
        ),
        Panel(
            "Partitions", "Owned, refused, and still to be restored.", "none",
            {
                "assigned": "sum(awaway_partitions_assigned)",
                "refused": "sum(awaway_partitions_refused)",
                "restoring": "count(awaway_restore_remaining_records > 0) or vector(0)",
            },
        ),
        Panel(
            "Standbys", "Changelog records that the copies are behind.", "none",
            {"{{instance}}": "sum by (instance) (awaway_standby_lag_records)"},
        ),
    ),
    "Reads": (
        Panel(
            "Requests", "By route.", "reqps",
            {"{{route}}": f"sum by (route) (rate(awaway_api_requests_total[{WINDOW}]))"},
        ),
        Panel(
            "Errors", "Share of requests to known routes.", "percentunit",
            {
                "5xx": (
                    f'sum(rate(awaway_api_requests_total{{status="5xx", route!="none"}}[{WINDOW}]))'
                    f' / sum(rate(awaway_api_requests_total{{route!="none"}}[{WINDOW}]))'
                )
            },
        ),
        Panel(
            "Answering", "99th percentile by route.", "s",
            {"{{route}}": _quantile(0.99, "awaway_api_request_duration_seconds", ", route")},
        ),
        Panel(
            "Cache hits", "Reads that were answered at once from a fresh store.", "percentunit",
            {"hits": "awaway:cache_hits:ratio_rate1h"},
        ),
    ),
}  # fmt: skip


def text() -> str:
    """The dashboard as JSON, for Grafana's import or a ConfigMap."""
    source = DataSourceRef(type_val="prometheus", uid="${datasource}")
    made = (
        Dashboard("Awaway")
        .uid("awaway")
        .tags(["awaway"])
        .time("now-6h", "now")
        .refresh("30s")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
    )
    number = itertools.count(1)
    for title, panels in ROWS.items():
        made.with_row(Row(title).id(next(number)))
        for panel in panels:
            shown = (
                timeseries.Panel()
                .id(next(number))
                .title(panel.title)
                .description(panel.about)
                .unit(panel.unit)
                .datasource(source)
                .span(24 // len(panels))
                .height(8)
                .legend(VizLegendOptions().show_legend(True))
            )
            for letter, (legend, query) in zip(
                ascii_uppercase, panel.queries.items(), strict=False
            ):
                target = prometheus.Dataquery().ref_id(letter)
                shown.with_target(target.expr(query).legend_format(legend))
            made.with_panel(shown)
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "grafana" / "awaway.json").write_text(text(), encoding="utf-8")
