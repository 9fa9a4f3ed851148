"""What can be set: definitions, where values come from, and what is said when they are wrong."""
