"""Rebuilding: what the log says that users' states ought to be, and putting right what differs.

A rebuild replays a partition's inputs in the order that the audit recorded, with the worker's own
processing, into stores of its own (`replay.py`). It reads what is live from the changelogs, up to
the same input (`live.py`), and compares the two (`compare.py`). Nothing that is public changes
until an operator approves what differs: then each user is put right by a command that the worker
carries out like any other (`repairs.py`), so there is one writer at every instant. ADR 0027 says
why it is so and not by a second generation that takes over.
"""
