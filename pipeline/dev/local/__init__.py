"""The local Kafka and schema registry, from packages alone."""
