"""Real workers on a real broker, hurt in every way we know, judged by what they left behind."""
