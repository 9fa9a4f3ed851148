"""Small faults sown into the rules and the engine, one at a time: does a test or a seed notice?

See docs/adr/0016-mutants.md. The mutants are mutmut's and a few of our own; the trial is ours.
"""
