"""The engine's clients on librdkafka; pipeline/kafka/__init__.py says what is known about it."""
