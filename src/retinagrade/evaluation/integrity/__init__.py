"""Integrity: reasons not to believe figures."""
