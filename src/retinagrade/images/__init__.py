"""Photographs as arrays: reading, field of view, contrast, quality, similarity. Needs NumPy, OpenCV and decoders."""
