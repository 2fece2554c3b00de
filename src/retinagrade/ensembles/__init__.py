"""Ensembles: runs that combine the saved predictions of several networks, or of both eyes of a patient."""
