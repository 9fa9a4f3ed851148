"""Takes completions and corrections from a request to the log."""
