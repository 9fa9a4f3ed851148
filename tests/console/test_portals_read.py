"""A person's page says which downstream groups have read each portal, the health page how far each
group is."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from pipeline.api.outcomes.rows import Entry
from pipeline.core.records import PortalReached, PortalUnlocked
from pipeline.ops.delivery.position import Delivery, Position
from pipeline.ops.delivery.watch import DeliveryWatch
from tests.api.scene import DAY, NOON, person
from tests.codec.samples import SAMPLES
from tests.console.pages import scene

MINUTE_MS = 60_000


class Groups:
    """Stands in for the brokers: where each group is in partition 2 of the portals."""

    def __init__(self) -> None:
        self.at: dict[str, int | None] = {}

    def measure(self) -> Sequence[Delivery]:
        return [
            Delivery(group, "awaway.portals", MINUTE_MS, (Position(2, at, 0, 9),))
            for group, at in self.at.items()
        ]


async def test_a_portal_names_who_has_read_it(tmp_path: Path) -> None:
    (sample,) = (one for one in SAMPLES if isinstance(one, PortalUnlocked))
    record = msgspec.structs.replace(sample, user_id="ann", lap=0, portal="bindu")
    groups, at = Groups(), [NOON - 10 * MINUTE_MS]
    watch = DeliveryWatch(cast(Any, groups), lambda: at[0])
    one = scene(tmp_path, [Entry("portals", 2, 5, NOON, record)], given={"delivery": watch})
    one.put(person("ann", portals=(PortalReached(0, "bindu", DAY - 2, NOON, "ab" * 32),)))

    async def said() -> list[str]:
        page = (await one.get("/console/user", "id=ann")).body.decode()
        found = re.findall(r'<p class="fine"[^>]*>(\w+: .*?)</p>', page)
        return [re.sub(r"<[^>]*>", "", one) for one in found]

    assert await said() == []
    groups.at = {"notifications": 6, "rewards": 5, "onboarding": None}
    watch.measure()
    at[0] += MINUTE_MS
    groups.at["rewards"] = 6
    watch.measure()
    health = (await one.get("/console/health")).body.decode()
    assert health.count("keeps up") == 3
    assert "<td>rewards</td>" in health
    first, second, third = await said()
    assert re.fullmatch(r"notifications: read before [\d-]+ [\d:]+ UTC", first)
    assert second == "rewards: read 9 min ago"
    assert third == "onboarding: not read yet"
