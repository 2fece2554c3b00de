"""Export of trained runs and ensembles as grader files."""
