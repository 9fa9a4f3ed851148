"""The world that a fold is given besides the event, and the outcome that it returns.

Owns: the world of a fold, and its outcome.
Does not own: how an outcome comes about (fold.py), where it goes (worker/).
Invariant: an outcome is complete: everything the worker writes for an input follows from it and the
input itself, and nothing else needs to be asked.
"""

import msgspec

from pipeline.core.assets import AssetCatalogue
from pipeline.core.dedupe import SeenUpdate
from pipeline.core.enumerations import Action, Verdict, WorldOrigin
from pipeline.core.records import (
    GeometryUpdated,
    Instant,
    LocalDate,
    PortalUnlocked,
    ReconciliationAlert,
    Record,
)
from pipeline.core.rejection import Rejection
from pipeline.core.repair import WindowRecords
from pipeline.core.rulebook import PolicyBook
from pipeline.core.state import UserState
from pipeline.core.streak import Standing


class World(msgspec.Struct, frozen=True):
    """What is the same for every event of a worker.

    Attributes:
        generation: which lineage of state the fold belongs to.
        origin: as portals that it unlocks are to say.
        recorded_date: where a rebuild folds a completion again, the local date that was decided the
            first time; it stands, whatever the time zone data of today says.
        judged_at: of a redrive, the append time of the record that it carries; None: the input's
            own.
    """

    policies: PolicyBook
    assets: AssetCatalogue
    generation: str = "blue"
    origin: WorldOrigin = "live"
    recorded_date: LocalDate | None = None
    judged_at: Instant | None = None

    def judged_at_or(self, append_time: Instant) -> Instant:
        """Return the append time by which an input is judged."""
        return append_time if self.judged_at is None else self.judged_at


class Outcome(Record, frozen=True, gc=False):
    """What became of one input.

    Attributes:
        actor: who asked.
        user_id: None when it could not be one.
        local_date: the date decided for a completion that counts, or named by a command; None
            without one.
        state: the user's new state; None when nothing of the user changed.
        standing: of the new state at the input's append; None without one.
        seen: the entries to write to the windowed table; None without any.
        unlocks: portals, in the order in which the run passes them.
        geometry: at most one for each frame and date.
        rejection: set exactly when the verdict is dead_letter.
        digest_before, digest_after: of the user's sets, 16 hexadecimal digits; None without a user.
        revision: of the user, after; 0 without one.
        tz, tz_assumed: the zone that decided the date of a completion that counts, and whether it
            was assumed.
        revoked_by: requests, sorted, that revoke `local_date` and are not withdrawn.
        window: what a repair writes to the dedupe window.
        operation, subject: of an operation; of a redrive, subject is where the original record is.
    """

    action: Action
    actor: str
    reason: str | None = None
    ticket: str | None = None
    verdict: Verdict = "accepted"
    user_id: str | None = None
    local_date: LocalDate | None = None
    state: UserState | None = None
    standing: Standing | None = None
    seen: SeenUpdate | None = None
    unlocks: tuple[PortalUnlocked, ...] = ()
    geometry: tuple[GeometryUpdated, ...] = ()
    alerts: tuple[ReconciliationAlert, ...] = ()
    rejection: Rejection | None = None
    digest_before: str | None = None
    digest_after: str | None = None
    policy_version: str = ""
    revision: int = 0
    tz: str | None = None
    tz_assumed: bool = False
    revoked_by: tuple[str, ...] = ()
    window: WindowRecords = ()
    operation: str | None = None
    subject: str | None = None
