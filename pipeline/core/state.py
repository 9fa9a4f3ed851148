"""The state of a user that is kept between events.

Owns: the state's shape.
Does not own: its bytes (codec/state.py), how it changes (fold.py, commands.py).
Invariants: `digest` is that of `sets`; `granted` and `portals` belong to `sets.unlocked`.
Everything beside `sets` either saves work or may depend on the order of the log; nothing else does.
"""

from typing import Final

import msgspec

from pipeline.core.dateline import DatelineWindow
from pipeline.core.records import Instant, PortalReached
from pipeline.core.seen_filter import NOTHING_SEEN, SeenFilter
from pipeline.core.sets import Sets, digest_of

NO_SETS: Final = Sets()
NEVER: Final = -(1 << 62)
"""Before every instant."""


def shown_zone(tz: str) -> str:
    """Return how a user's zone is published; UTC stands for none."""
    return tz or "UTC"


class Unlocked(PortalReached, frozen=True, array_like=True, gc=False):
    """A portal that was published, as the state keeps it: progress shows the same objects."""


class UserState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A user.

    Attributes:
        revision: 0 for nobody yet; one more with each accepted completion and applied command.
        portals: in the order in which they were published.
        granted: Field Key ids, sorted.
        tz, tz_at, tz_id: zone, end and id of the accepted completion with the greatest (end, id).
            Until there is one, tz is that of the last adjustment that said one; empty without one.
        dateline: the recent completions that a bridge may need.
        frame_published: the current frame that was published last; 0 before the first.
        checked_days, checked_policy: up to this length of a run, the portals of that policy version
            are unlocked.
        seen_filter: the completions that the dedupe window may hold.
    """

    revision: int = 0
    digest: str = digest_of(NO_SETS)
    sets: Sets = NO_SETS
    portals: tuple[Unlocked, ...] = ()
    granted: tuple[str, ...] = ()
    tz: str = ""
    tz_at: Instant = NEVER
    tz_id: str = ""
    dateline: DatelineWindow = DatelineWindow()
    frame_published: int = 0
    checked_days: int = 0
    checked_policy: str = ""
    seen_filter: SeenFilter = SeenFilter()


EMPTY: Final = UserState(seen_filter=NOTHING_SEEN)
"""Nobody yet."""
