"""Integrity: reasons not to trust metrics."""
