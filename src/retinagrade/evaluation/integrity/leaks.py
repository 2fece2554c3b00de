"""Leaks: evaluated photographs, patients or copies that the network or its calibration has already used."""

from __future__ import annotations

from typing import Final

import pandas as pd

from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.manifest import Manifest
from retinagrade.messages import counted, first_few

_ORIGIN_COLUMNS: Final = ("dataset", "patient_id", "sha256")


def check_leaks(table: pd.DataFrame, trained_on: Manifest, predicted: Manifest | None = None) -> list[Finding]:
    """Looks for evaluated photographs among the photographs that a network was trained on.

    Args:
        table: The evaluated photographs: ``image_id`` and, where known, ``dataset``, ``patient_id`` and ``sha256``;
            missing
            values come from the row of ``predicted`` with the same id.
        trained_on: The manifest that the network was trained on, with its ``split``; ``sha256`` where known.
        predicted: The prepared set of the photographs; by default that of ``trained_on``. A photograph of another set
            may have the id of another photograph.

    Returns:
        At most one finding each on photographs of the training split, byte-identical copies of such photographs, and
        other photographs of patients in the training split.
    """
    training = trained_on.table[trained_on.table["split"].eq("train").fillna(False)]
    evaluated = with_origin(table, (trained_on if predicted is None else predicted).table)
    same = evaluated["image_id"].isin(training["image_id"]) & ~are_other_photographs(evaluated, training)
    others = evaluated[~same]
    training_digests = with_origin(training, training)["sha256"].dropna()
    copies = others[others["sha256"].notna() & others["sha256"].isin(training_digests)]
    patients = others[_have_patients_of(others, training)]
    photographs = counted(len(evaluated), "photograph")
    findings = []
    if same.any():
        findings.append(
            Finding(
                "leaked-photographs",
                f"The network was trained on {same.sum()} of these {photographs} "
                f"({first_few(evaluated['image_id'][same])}). The metrics show how well it remembers them. Evaluate "
                "photographs that it has never seen.",
            )
        )
    if len(copies):
        findings.append(
            Finding(
                "leaked-copies",
                f"The network was trained on exact copies of {len(copies)} of these {photographs} "
                f"({first_few(copies['image_id'])}). Split the set with `retinagrade split`, which keeps copies "
                "together, and train again.",
            )
        )
    if len(patients):
        names = patients["patient_id"].unique()
        findings.append(
            Finding(
                "leaked-patients",
                f"The network was trained on other photographs of {counted(len(names), 'patient')} "
                f"({first_few(names)}). Affected here: {len(patients)} of these {photographs}. The two eyes of a "
                "person are alike. Split the set by patient, and train again.",
            )
        )
    return findings


def check_fitted_on(table: pd.DataFrame, fitted_on: pd.DataFrame, fitted: str) -> list[Finding]:
    """Looks for evaluated photographs among those that thresholds, cut points or a calibration were fitted on.

    Args:
        table: The evaluated photographs: ``image_id`` and, where known, ``patient_id`` and ``dataset``.
        fitted_on: The same columns of the photographs of the fit.
        fitted: Name of the fitted parts, in the plural, such as ``The thresholds``.

    Returns:
        One finding, or none.
    """
    evaluated = with_origin(table, fitted_on)
    same = evaluated["image_id"].isin(fitted_on["image_id"])
    others = evaluated[~same]
    patients = others[_have_patients_of(others, fitted_on)]
    shared = []
    if same.any():
        ids = first_few(evaluated["image_id"][same])
        shared.append(f"{same.sum()} of the {counted(len(evaluated), 'photograph')} here ({ids})")
    if len(patients):
        people = patients["patient_id"].unique()
        shared.append(f"other photographs of {counted(len(people), 'patient')} here ({first_few(people)})")
    if not shared:
        return []
    return [
        Finding(
            "fitted-on-evaluated",
            f"{fitted} were fitted on {' and on '.join(shared)}, so the metrics are too good. Fit on validation "
            "photographs, and evaluate others.",
        )
    ]


def check_seen_before(rows: pd.DataFrame) -> list[Finding]:
    """Looks for results of ``retinagrade grade`` on photographs that the grader file had seen before.

    Args:
        rows: The evaluated rows: ``image_id`` and, for such results, ``seen_before``.

    Returns:
        At most one finding each on photographs of the training, and of the fit of a site's decisions.
    """
    if "seen_before" not in rows:
        return []
    findings = []
    for use, code, deed in (
        ("training", "leaked-photographs", "networks were trained on"),
        ("fit", "fitted-on-evaluated", "decisions were fitted on"),
    ):
        seen = rows["image_id"][rows["seen_before"].eq(use).fillna(False)].unique()
        if len(seen):
            findings.append(
                Finding(
                    code,
                    f"The grader file's {deed} {len(seen)} of the {counted(rows['image_id'].nunique(), 'photograph')} "
                    f"here ({first_few(seen)}), so the metrics are too good. Evaluate photographs that it has never "
                    "seen.",
                )
            )
    return findings


def missing_set_finding(run: str, manifest: str) -> Finding:
    """Returns the finding that a run's photographs can't be looked up.

    Args:
        run: The run's folder.
        manifest: The manifest that isn't there.
    """
    return Finding(
        "set-missing",
        f"{manifest} isn't there, which {run} was trained on: patients, subgroups and leaks can't be looked up, and "
        "the intervals take each photograph for a patient of its own. Move the prepared set back, or name it with "
        "--prepared.",
    )


def missing_run_finding(predictions: str, run: str) -> Finding:
    """Returns the finding that nobody can look up the photographs of the training.

    Args:
        predictions: The table.
        run: The folder of the run that made it.
    """
    return Finding(
        "run-missing",
        f"{run} isn't there, which made {predictions}: nobody can check whether it was trained on some of these "
        "photographs. Move the run or the table back.",
    )


def changed_split_finding(run: str, manifest: str) -> Finding:
    """Returns the finding that a run's training photographs are no longer known.

    Args:
        run: The run's folder.
        manifest: The file that was its manifest.
    """
    return Finding(
        "split-changed",
        f"{manifest} has changed since {run} was trained: the set was split, prepared or edited again. Photographs of "
        "the training may be among these, and nothing can check it. Train again, or restore the old split.",
    )


def with_origin(table: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Returns ``image_id``, ``dataset``, ``patient_id`` and ``sha256``, from a table or else from a manifest."""
    by_id = manifest.drop_duplicates("image_id").set_index("image_id")
    origin = pd.DataFrame({"image_id": table["image_id"].astype(str)})
    for column in _ORIGIN_COLUMNS:
        own = table[column].astype("string") if column in table else pd.Series(pd.NA, table.index, dtype="string")
        if column in by_id:
            own = own.fillna(origin["image_id"].map(by_id[column].astype("string")).astype("string"))
        origin[column] = own
    return origin


def are_other_photographs(evaluated: pd.DataFrame, known: pd.DataFrame) -> pd.Series:
    """Returns which photographs (bool) only share the id of a known one, because their bytes differ.

    Args:
        evaluated: Photographs from :func:`with_origin`.
        known: The known photographs: ``image_id`` and, where known, ``sha256``.
    """
    digests = with_origin(known, known).set_index("image_id")["sha256"]
    return (evaluated["image_id"].map(digests).astype("string") != evaluated["sha256"]).fillna(False)


def _have_patients_of(evaluated: pd.DataFrame, used: pd.DataFrame) -> pd.Series:
    """Returns which evaluated photographs (bool) are of patients of the used ones; patient ids count by data set."""
    used_patients = with_origin(used, used).dropna(subset="patient_id")
    any_dataset = set(used_patients["patient_id"])
    by_dataset = set(zip(used_patients["dataset"].fillna(""), used_patients["patient_id"], strict=True))
    shared = [
        pd.notna(patient)
        and (patient in any_dataset if pd.isna(dataset) else bool({(dataset, patient), ("", patient)} & by_dataset))
        for dataset, patient in zip(evaluated["dataset"], evaluated["patient_id"], strict=True)
    ]
    return pd.Series(shared, index=evaluated.index, dtype=bool)
