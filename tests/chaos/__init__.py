"""The chaos run: its judge, its proxy, and a short run of itself."""
