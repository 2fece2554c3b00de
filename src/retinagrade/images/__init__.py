"""Photographs as arrays: reading, field of view, contrast, quality, likeness. Needs NumPy, OpenCV and the decoders."""
