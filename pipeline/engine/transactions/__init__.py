"""A slot's transactional id: acquiring it, hanging transactions, checkpoints."""
