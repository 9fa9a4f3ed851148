"""The oracle against cases worked out by hand, and the pipeline's fold against the oracle."""
