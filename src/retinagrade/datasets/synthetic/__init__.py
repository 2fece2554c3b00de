"""Made-up fundus photographs: no patient, no licence, every lesion known. For tests, the demo and benchmarks.

Lengths are in radii of the field of view; x runs to the nose of a right eye, y downwards, (0, 0) is the centre.
"""
