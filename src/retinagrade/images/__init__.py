"""Photographs as arrays: reading, field of view, contrast. Needs NumPy, OpenCV and the decoders alone."""
