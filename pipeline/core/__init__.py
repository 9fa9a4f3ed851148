"""The domain: pure functions over values. No IO, no clock, nothing of ours imported."""
