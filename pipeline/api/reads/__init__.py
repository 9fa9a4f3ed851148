"""The latest progress of every user: the store, its one writer, and reads of it."""
