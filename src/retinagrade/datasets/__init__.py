"""Data sets: a reader for each public layout, and the check, preparation and split of their photographs."""
