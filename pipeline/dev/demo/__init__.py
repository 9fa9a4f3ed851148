"""The demonstration: a simulated month, through the real pipeline, compared with the oracle.

Owns: the generator of the month, the run, the live view, the comparison, the page of figures.
Does not own: the pipeline, which it starts as an operator would, nor the oracle.
"""
