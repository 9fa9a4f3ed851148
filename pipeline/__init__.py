"""Exactly-once streaming of meditation practice into streaks, portals and sacred geometry."""
