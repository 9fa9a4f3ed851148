"""What became of every input."""
