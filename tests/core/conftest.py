"""Properties are about what, not how fast: a shared core must not make one fail."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
