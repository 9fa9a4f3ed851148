"""The worker's process: from a micro-batch of raw records to everything that follows from them."""
