"""Bytes to values and back: registry framing, Avro, JSON, state records."""
