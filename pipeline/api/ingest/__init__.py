"""Takes completions from a request to the log."""
