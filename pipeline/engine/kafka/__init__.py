"""The engine's clients on librdkafka."""
