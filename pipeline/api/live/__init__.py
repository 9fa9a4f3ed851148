"""The live stream of a user."""
