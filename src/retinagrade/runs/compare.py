"""Compares networks by their predictions of the same photographs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from retinagrade.arguments import AT_LEAST_ONE, check_arguments
from retinagrade.errors import UsageError
from retinagrade.evaluation.comparison import NetworkComparison, compare_predictions
from retinagrade.evaluation.resampling import RESAMPLES
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.leave_one_out import LeaveOneOut
from retinagrade.runs.predictions import Predictions
from retinagrade.runs.run import Run
from retinagrade.storage.files import file_digests, short_names

ComparedNetwork = str | os.PathLike[str] | pd.DataFrame | Run | Predictions
"""A network to compare: a run or its folder, a table of predictions, or predictions that were read before."""


@check_arguments(resamples=AT_LEAST_ONE)
def compare(
    networks: Sequence[ComparedNetwork] | Mapping[str, ComparedNetwork],
    *,
    split: str = "val",
    grades: str | os.PathLike[str] | pd.DataFrame | None = None,
    resamples: int = RESAMPLES,
) -> NetworkComparison:
    """Compares networks on the same photographs, the first one with each of the others.

    Args:
        networks: Two or more runs, folders of runs, tables of predictions (CSV files or DataFrames), or predictions; by
            name, or in a list. In a list, DataFrames have no names of their own and are numbered.
        split: The split whose predictions are compared, for runs: ``predictions/SPLIT.csv``.
        grades: A CSV file or a DataFrame with ``image_id`` and ``grade`` of the photographs, for all networks.
        resamples: Number of resamples of patients, the same for all networks.

    Returns:
        The metrics of each network, and the differences with intervals. ``write(folder)`` writes the report.
        Photographs to which one of the graders gave no grade are left out for all; a finding names them.

    Raises:
        UsageError: There are fewer than two networks, a network is named twice, or has no predictions of the split.
        ManifestError: A table is unreadable, or not valid.
        JoinError: The networks have predicted different photographs, or these have different grades.
    """
    if len(networks) < 2:
        raise UsageError("a comparison needs two or more runs or tables of predictions")
    parts = networks.values() if isinstance(networks, Mapping) else networks
    tables = [_read(network, split, grades) for network in parts]
    names = list(networks) if isinstance(networks, Mapping) else _names(tables)
    predictions = dict(zip(names, tables, strict=True))
    refused = frozenset[str]().union(*(part.without_grade for part in tables))
    in_memory = any(not part.inputs for part in tables)
    graded = {name: part.table[~part.table["image_id"].isin(refused)] for name, part in predictions.items()}
    return compare_predictions(
        graded,
        findings={name: part.findings for name, part in predictions.items()},
        inputs=() if in_memory else [*dict.fromkeys(path for part in tables for path in part.inputs)],
        sources=file_digests([*dict.fromkeys(path for part in tables for path in part.sources)]),
        resamples=resamples,
    )


def compared_files(
    networks: Sequence[str | os.PathLike[str]], split: str = "val", grades: str | os.PathLike[str] | None = None
) -> list[Path]:
    """Returns the files that identify a comparison: the tables of the networks, and the grades.

    Args:
        networks: Folders of runs, or tables of predictions.
        split: The split whose predictions are compared, for runs.
        grades: A table of grades.

    Raises:
        UsageError: A network doesn't exist, or has no predictions of the split.
    """
    each = [[_table_of(Path(network), split), *([] if grades is None else [Path(grades)])] for network in networks]
    return [*dict.fromkeys(path for files in each for path in files)]


def _read(network: ComparedNetwork, split: str, grades: str | os.PathLike[str] | pd.DataFrame | None) -> Predictions:
    if isinstance(network, Predictions):
        return network
    if isinstance(network, pd.DataFrame):
        return Predictions.read(network, grades=grades)
    path = network.folder if isinstance(network, Run) else Path(network)
    return Predictions.read(_table_of(path, split), grades=grades)


def _table_of(path: Path, split: str) -> Path:
    """Returns the table of predictions of a run, or the table itself."""
    if not path.exists():
        raise UsageError(f"{path} does not exist: name the folder of a run, or a table of predictions")
    return Run(path).existing_predictions(split) if path.is_dir() else path


def _names(predictions: Sequence[Predictions]) -> list[str]:
    """Returns the names of the folders, or else of the files, with as much of their paths as distinguishes them."""
    paths = []
    for number, part in enumerate(predictions, start=1):
        if part.run is not None:
            paths.append(part.run.folder)
        else:
            file = part.source_file
            paths.append(Path(f"table {number}") if file is None else _named_place(file))
    return short_names(paths)


def _named_place(file: Path) -> Path:
    """Returns the folder of a cross-validation or of data sets left out, for its predictions, or else the file."""
    folder = file.absolute().parent.parent
    is_whole = CrossValidation(folder).is_cross_validation or LeaveOneOut(folder).is_leave_one_out
    return folder if is_whole and file.parent.name == "predictions" else file.with_suffix("")
