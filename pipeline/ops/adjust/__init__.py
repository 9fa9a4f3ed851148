"""Corrections: what one would change, sending it, reading back what it did."""
