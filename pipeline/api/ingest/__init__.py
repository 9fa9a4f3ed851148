"""Completions on their way from a request to the log."""
