"""Runs: folders of trained networks and ensembles, their records, and their predictions."""
