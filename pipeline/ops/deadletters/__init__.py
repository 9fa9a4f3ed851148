"""Dead letters: finding them, showing them, sending them once more, putting them away."""
