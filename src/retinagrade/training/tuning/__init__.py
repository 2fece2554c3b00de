"""Tuning: a search for better settings of an experiment, with many short runs as trials."""
