"""Everything that an operator would check, at once: `awaway doctor`.

`run.py` has the checks and asks them side by side; `finding.py` says what a check is given and what
it finds. The checks are in brokers.py, workers.py, records.py, registry.py and machine.py;
`access.py` compares access rules.
"""
