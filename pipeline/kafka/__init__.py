"""What asks Kafka outside the engine: readers up to an end, and tails."""
