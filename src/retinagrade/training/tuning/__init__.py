"""Tuning: many short runs of one experiment with other settings, and the best of them as an experiment."""
