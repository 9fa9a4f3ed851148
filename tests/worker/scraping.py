"""What a scrape of the metrics says."""

from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.observability.prometheus import WorkerMetrics


def samples(text: str) -> dict[str, float]:
    """Every sample of an exposition, by its name and sorted labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def scraped(metrics: WorkerMetrics) -> dict[str, float]:
    """Every sample of a scrape."""
    return samples(generate_latest(metrics.registry).decode())
