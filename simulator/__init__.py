"""The engine against a simulated Kafka and disk, driven by a seed.

See `python -m simulator --help`. Nothing of the product imports this package.
"""
