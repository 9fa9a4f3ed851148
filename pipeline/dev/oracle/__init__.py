"""The oracle: what the pipeline ought to have said, worked out the slow and obvious way.

Owns: a second reading of the domain, from the whole log at once: sets of dates, no runs, no windows
kept up, no incremental state. `judge` (model.py) is the one way in.
Does not own: anything that runs in production. Only the demo and the tests use it.
Invariant: imports nothing of ours (an import contract holds it), so that a mistake in the pipeline
is not repeated here.
"""

from pipeline.dev.oracle.events import Completion, Logged, SupportCommand, Verdict
from pipeline.dev.oracle.model import Judgement, judge, judge_read
from pipeline.dev.oracle.reading import Reader
from pipeline.dev.oracle.rules import Rules, load_rules
from pipeline.dev.oracle.users import Progress, Unlock, UserModel

__all__ = [
    "Completion",
    "Judgement",
    "Logged",
    "Progress",
    "Reader",
    "Rules",
    "SupportCommand",
    "Unlock",
    "UserModel",
    "Verdict",
    "judge",
    "judge_read",
    "load_rules",
]
