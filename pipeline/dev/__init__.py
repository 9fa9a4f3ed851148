"""What production never runs: the local stack, the demo, the oracle."""
