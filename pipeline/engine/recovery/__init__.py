"""Local state after a start, a loss or a rebalance: restore, standbys, validation, repair."""
