"""What every request passes: access, limits, encodings, problems, paths and queries."""
