"""What an operator sees of a running worker: metrics, health, logs. A leaf: it knows no Kafka."""
