"""Experiments as data: one YAML each, read by ``retinagrade.training.experiment``."""
