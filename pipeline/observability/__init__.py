"""What an operator sees of a running process: metrics, health, logs. Nothing here knows Kafka."""
