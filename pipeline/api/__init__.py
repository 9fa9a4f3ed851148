"""The API's process: reads, ingest, live stream, console."""
