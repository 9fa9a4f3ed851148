"""The alerts against those that the oracle asks for.

Owns: matching them one by one, and what each has to say.
Does not own: which are due (the oracle), everything else that is compared (comparing.py).
Invariant: an input has at most one alert of each verdict; of several originals that an alert may
name, any one will do, but what it says must be true of that one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.dev.demo.causes import coordinates_of
from pipeline.dev.demo.expected import days
from pipeline.dev.oracle import Verdict
from pipeline.dev.oracle.events import Alert, Coordinates


def alert_differences(
    published: Iterable[dict[str, Any]], verdicts: dict[Coordinates, Verdict], kinds: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Compare alerts with those that are due.

    Args:
        published: the alerts' records. kinds: short names of the input topics, by full name.
        verdicts: the oracle's, by input.

    Returns:
        Each difference: alerts_missing, alerts_extra or alerts_wrong, and what it is.
    """
    due = {
        (coordinates, alert.word): (verdict, alert)
        for coordinates, verdict in verdicts.items()
        for alert in verdict.alerts
    }
    seen: Counter[tuple[Coordinates, str]] = Counter()
    for record in published:
        key = (coordinates_of(record["cause"], kinds), record["verdict"])
        seen[key] += 1
        if key not in due or seen[key] > 1:
            yield "alerts_extra", f"{key[0]}: {key[1]}"
            continue
        wrong = wrong_with_alert(record, *due[key], kinds)
        if wrong:
            yield "alerts_wrong", f"{key[0]}: {key[1]}: {wrong}"
    for coordinates, word in due.keys() - seen.keys():
        yield "alerts_missing", f"{coordinates}: {word}"


def wrong_with_alert(
    record: dict[str, Any], verdict: Verdict, due: Alert, kinds: dict[str, str]
) -> str:
    """Return what an alert ought to say otherwise; "" for nothing."""
    coordinates = coordinates_of(record["original"], kinds)
    original = next((one for one in due.originals if one.coordinates == coordinates), None)
    if original is None:
        return f"{coordinates} is no original"
    ought = {
        "user_id": verdict.user_id,
        "severity": original.severity,
        "differing_fields": sorted(original.differing),
        "local_date": days(due.local_date),
        "original_local_date": days(original.local_date),
    }
    says = record | {"differing_fields": sorted(record["differing_fields"])}
    return "; ".join(
        f"{name} is {says[name]}, ought to be {value}"
        for name, value in ought.items()
        if says[name] != value
    )
