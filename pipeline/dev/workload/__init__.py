"""Made-up inputs, by seed, for the demo, the benchmark, chaos runs and tests.

Owns: who practises and when, what their devices report of it, what support asks for, everything
that clients get wrong; and for each record the verdict that it must get, where that is known
beforehand.
Does not own: sending the records, nor what a correct pipeline makes of all of them together.

There are three rhythms, one module each:

| module | rhythm | used by |
|---|---|---|
| month.py | every day of a month as people live it, with roles, oddities and garbage | the demo |
| steady.py | a fixed number of completions, evenly spread over ten days | the benchmark |
| stream.py | an endless stream of now and then, with more mistakes than in life | chaos, tests |

They share the people (people.py), the reports of their devices (reports.py), commands
(commands.py), records that must be refused (garbage.py) or only look wrong (oddities.py), how a
record is put into bytes (wire.py), and the record with its verdict (ground_truth.py).

Invariants: the same arguments give the same records, byte for byte; no clock is read, instants are
arguments.
"""
