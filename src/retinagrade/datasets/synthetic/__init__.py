"""Synthetic fundus photographs, with all lesions known, for tests, the demo and benchmarks.

Lengths are in radii of the field of view. The x axis points to the nose of a right eye, the y axis points down, and
(0, 0) is the centre.
"""
