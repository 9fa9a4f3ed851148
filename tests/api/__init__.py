"""The API's process."""
