"""The catalogue of figures in an object store, and pictures of it."""
