"""The awaway command: one file a command, each thin."""
