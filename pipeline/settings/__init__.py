"""Settings: their definitions, loading them, and reporting what is wrong with them."""
