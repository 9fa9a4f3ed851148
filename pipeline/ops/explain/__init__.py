"""Why a day counts or not, from the log."""
