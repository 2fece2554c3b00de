"""A clinic and its grader file: does it work here, its own decisions, its own last part, its months."""
