"""Benchmarks of the pipeline against its peers, on one broker and the same data.

Owns: the data, the peers, the measuring, the report. Run with `python -m bench`.
Does not own: the pipeline, which it starts as an operator would and observes from outside.
"""
