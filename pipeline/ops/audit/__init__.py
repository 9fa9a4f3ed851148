"""The audit, checked and proved: chains followed, signed checkpoints, a witness, exports."""
