"""The faults, each a small class: what is done, how it is healed, how one sees that it struck."""
