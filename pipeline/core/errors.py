"""The errors of the domain.

Owns: the base of the domain's errors, and the errors themselves.
Does not own: bad events, which are values (outcome.py), never exceptions.
Invariant: an error is about the configuration or about stored records, not about a user's event.
"""


class CoreError(Exception):
    """Base of the domain's errors.

    **Operator action**: see the error itself.
    """


class PolicyError(CoreError):
    """The policy file is incoherent or unreadable.

    Args:
        reason: what is wrong, with the place in the file and the fix where there is one.

    **Operator action**: mend `policy.yaml` as the reason says and start again; the version in force
    before goes on being used by workers that run.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ChainBrokenError(CoreError):
    """An audit chain was edited, shortened or reordered.

    Args:
        sequence: of the first entry that does not fit, 0 and up.
        reason: a stable code in snake_case: gap, unlinked, altered, truncated or diverged.

    **Operator action**: do not repair the topic. Keep it as it is, compare with the signed
    checkpoints to find when it was last whole (docs/AUDIT.md).
    """

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(f"audit chain broken at sequence {sequence}: {reason}")
        self.sequence = sequence
        self.reason = reason
