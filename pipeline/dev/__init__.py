"""What production never runs: local stack, workload, demo, oracle, the worker in memory."""
