"""The mutation run, tried on a toy."""
