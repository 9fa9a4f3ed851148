"""Exactly-once micro-batches under Faust."""
