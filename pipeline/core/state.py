"""What is kept of a user between events.

Owns: the state's shape.
Does not own: its bytes (codec/state.py), how it changes (fold.py, commands.py).
Invariants: `digest` is that of `sets`; `granted` and `portals` belong to `sets.unlocked`.
Everything beside `sets` either saves work or may depend on the order of the log; nothing else does.
"""

from typing import Final

import msgspec

from pipeline.core.dateline import Crossing
from pipeline.core.records import Instant, PortalReached
from pipeline.core.seen_filter import NO_TRACES, Traces
from pipeline.core.sets import Sets, digest_of

NO_SETS: Final = Sets()
NEVER: Final = -(1 << 62)
"""Before every instant."""


def shown_zone(tz: str) -> str:
    """Return how a user's zone is published; UTC stands for none."""
    return tz or "UTC"


class Unlocked(PortalReached, frozen=True, array_like=True, gc=False):
    """A portal that was told, as the state keeps it: progress shows the same objects."""


class UserState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A user.

    Attributes:
        revision: 0 for nobody yet; one more with each accepted completion and applied command.
        portals: in the order in which they were told.
        granted: Field Key ids, sorted.
        tz, tz_at, tz_id: zone, end and id of the accepted completion with the greatest (end, id).
            Until there is one, tz is that of the last adjustment that said one; empty without one.
        crossing: what bridging needs to remember.
        frame_told: the current frame that geometry was last told of; 0 before the first.
        checked_days, checked_policy: up to this length of a run, the portals of that policy version
            are unlocked.
        traces: of what the window may hold.
    """

    revision: int = 0
    digest: str = digest_of(NO_SETS)
    sets: Sets = NO_SETS
    portals: tuple[Unlocked, ...] = ()
    granted: tuple[str, ...] = ()
    tz: str = ""
    tz_at: Instant = NEVER
    tz_id: str = ""
    crossing: Crossing = Crossing()
    frame_told: int = 0
    checked_days: int = 0
    checked_policy: str = ""
    traces: Traces = Traces()


EMPTY: Final = UserState(traces=NO_TRACES)
"""Nobody yet."""
