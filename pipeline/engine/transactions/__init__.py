"""A slot's transactions: acquiring the transactional id, hanging transactions, checkpoints."""
