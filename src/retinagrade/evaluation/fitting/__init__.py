"""Fitting: what is chosen on validation photographs, and applied unchanged to others."""
