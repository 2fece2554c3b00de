"""Readers of data sets as they are published: one module for each layout.

A new reader is one module here and one test; ``aptos.py`` is a short example. The module defines two functions:

1. ``is_mydata(source)`` tells whether the typical files of the layout exist. Two layouts must never fit one source.
2. ``read_mydata(source, complete=True)``, below the decorator
   ``@reader("mydata", "<its typical files, in words>", is_mydata)``: reads the labels with
   :func:`~retinagrade.datasets.labels.read_labels`, makes one row for each photograph with the columns of a manifest
   and a column ``name`` (the key of the photograph's file), and joins the rows to files with
   :func:`~retinagrade.datasets.labels.join_labels`, which also reports labels without photographs and photographs
   without labels. It returns ``Manifest.from_table(rows, source, str(source))``.

The decorator (:mod:`retinagrade.datasets.reader`) makes the layout known to every command, and fills in patient and eye
where the names of the photographs tell them.

The test, ``tests/datasets/readers/test_mydata.py``, writes a small tree in the official layout (see
``tests/datasets/public_trees.py``) and reads it.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")  # its decorator adds it to the registry
