"""The demonstration: its month, its comparison, its page, and whole runs."""
