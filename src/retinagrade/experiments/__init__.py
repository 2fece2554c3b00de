"""Experiments as data: one YAML each, read by ``retinagrade.experiments.experiment``."""
