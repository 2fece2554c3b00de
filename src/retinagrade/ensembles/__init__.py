"""Ensembles: saved predictions of several networks, or of both eyes, combined into one run."""
