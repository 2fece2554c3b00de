"""Experiments as data: one YAML file for each, read by :mod:`retinagrade.experiments.experiment`.

To add an experiment, add one file ``NAME.yaml`` here, with the fields of
:class:`~retinagrade.experiments.experiment.Experiment` that differ from its ``base``; ``retinagrade experiments new``
writes a template. Commands, patterns and tests find it by its name. To use an experiment without adding it, give the
path of its file to ``retinagrade train``.
"""
