"""Fitting: calibration and thresholds, chosen on validation photographs and applied unchanged to other photographs."""
