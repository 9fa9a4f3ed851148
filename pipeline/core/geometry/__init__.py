"""Sacred geometry, drawn exactly: 13 figures, 108 frames, 12 variants, one SVG each.

Owns: the figures' construction, the order in which a frame reveals them, palettes, canonical SVG
and the frozen list of asset ids.
Does not own: where the SVGs are stored (pipeline/ops/assets/catalogue.py), which frame a user is on
(fold.py).
Invariant: for one generator version the bytes of (frame, variant) are the same on every machine.
"""
