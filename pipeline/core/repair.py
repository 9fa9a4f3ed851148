"""The repair of one user: what a rebuild derived from the log, to be put in place of what is there.

Owns: a repair's content.
Does not own: its bytes (codec/repairs.py), when it applies (fold.py), how it is derived (rebuild/).
Invariant: it names the state that it was compared with, so that it never undoes what came since.
"""

import msgspec

from pipeline.core.state import UserState

WindowRecords = tuple[tuple[bytes, bytes | None], ...]
"""Records of the changelog of the dedupe window: key, and value or None to delete."""


class Repair(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one user's state is to be.

    Attributes:
        revision, digest: of the state that this one replaces; if the user has another by then, the
            repair is rejected.
        state: the new one. Its revision does not count: the user's goes on from where it is. Its
            unlocked portals are those that were published; those that are due beside them are
            unlocked by the repair.
        window: of the user alone.
    """

    revision: int
    digest: str
    state: UserState
    window: WindowRecords = ()
