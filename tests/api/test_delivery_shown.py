"""How far downstream groups are, as the API's metrics show it."""

from pathlib import Path

import pytest

from pipeline.api.wiring_topics import make_delivery
from pipeline.observability.api_prometheus import ApiMetrics
from pipeline.ops.delivery.position import Delivery, Position, Unread
from pipeline.ops.topics.file import TopicsFileError
from pipeline.settings.api import ApiSettings
from tests.api.scene import NOON, ROOT


def test_a_group_is_shown_by_partition_and_not_while_nobody_knows() -> None:
    metrics = ApiMetrics()
    at = [NOON]
    settings = ApiSettings(topics_file=ROOT / "topics.yaml", topic_prefix="t.")
    watch = make_delivery(settings, metrics, lambda: at[0])
    value = metrics.registry.get_sample_value
    topic = {"group": "rewards", "topic": "t.portals"}
    assert value("awaway_api_delivery_bound_seconds", topic) == 60
    place = topic | {"partition": "2"}
    assert value("awaway_api_delivery_time_lag_seconds", place) is None
    late = Position(2, 10, 0, 15, Unread(12, NOON - 30_000))
    read = Position(3, 9, 0, 10)
    watch.latest = [Delivery("rewards", "t.portals", 60_000, (late, read))]
    at[0] += 500
    assert value("awaway_api_delivery_time_lag_seconds", place) == 30.5
    assert value("awaway_api_delivery_offset_lag_records", place) == 3
    assert value("awaway_api_delivery_time_lag_seconds", place | {"partition": "3"}) == 0
    watch.latest = None
    assert value("awaway_api_delivery_offset_lag_records", place) is None
    assert value("awaway_api_delivery_bound_seconds", topic) == 60


def test_an_api_without_its_list_of_topics_does_not_start(tmp_path: Path) -> None:
    settings = ApiSettings(topics_file=tmp_path / "absent.yaml")
    with pytest.raises(TopicsFileError, match="cannot be read"):
        make_delivery(settings, ApiMetrics(), lambda: NOON)
