"""Leaks: photographs, patients and copies under evaluation that something was learnt or fitted on."""

from __future__ import annotations

import pandas as pd

from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.manifest import Manifest
from retinagrade.messages import counted, first_few

_ABOUT = ("dataset", "patient_id", "sha256")


def check_leaks(table: pd.DataFrame, trained_on: Manifest) -> list[Finding]:
    """Looks for what is evaluated among what a network was trained on.

    Args:
        table: Photographs under evaluation: ``image_id`` and, where known, ``dataset``, ``patient_id`` and ``sha256``;
            what is missing is taken from the manifest's row of that id.
        trained_on: The manifest that the network was trained on, with its ``split``; ``sha256`` where known.

    Returns:
        Up to one finding each of photographs that were trained on themselves, of byte-identical copies of such, and of
        further photographs of patients who were trained on.
    """
    learnt = trained_on.table[trained_on.table["split"].eq("train").fillna(False)]
    tested = _about(table, trained_on.table)
    same = tested["image_id"].isin(learnt["image_id"])
    others = tested[~same]
    copies = others[others["sha256"].notna() & others["sha256"].isin(_about(learnt, learnt)["sha256"].dropna())]
    patients = others[_of_patients(others, learnt)]
    findings = []
    if same.any():
        findings.append(
            Finding(
                "leaked-photographs",
                f"Trained on: {same.sum()} of these {counted(len(tested), 'photograph')} "
                f"({first_few(tested['image_id'][same])}). The figures say how well they were learnt by heart. "
                "Evaluate photographs that the network has never seen.",
            )
        )
    if len(copies):
        findings.append(
            Finding(
                "leaked-copies",
                f"Copies, to the byte, of photographs that were trained on: {len(copies)} of these "
                f"{counted(len(tested), 'photograph')} ({first_few(copies['image_id'])}). Split the set with "
                "`retinagrade split`, which keeps copies together, and train again.",
            )
        )
    if len(patients):
        names = patients["patient_id"].unique()
        findings.append(
            Finding(
                "leaked-patients",
                f"Patients of whom other photographs were trained on: {len(names)} ({first_few(names)}), with "
                f"{len(patients)} of these {counted(len(tested), 'photograph')}. Two eyes of one person are alike. "
                "Split the set by patient, and train again.",
            )
        )
    return findings


def check_fitted_on(table: pd.DataFrame, fitted_on: pd.DataFrame, what: str) -> list[Finding]:
    """Looks for what is evaluated among what thresholds, cut points or a calibration were fitted on.

    Args:
        table: Photographs under evaluation: ``image_id`` and, where known, ``patient_id`` and ``dataset``.
        fitted_on: The same of the photographs that something was fitted on.
        what: What was fitted, in the plural, such as ``The thresholds``.

    Returns:
        One finding, or none.
    """
    tested = _about(table, fitted_on)
    same = tested["image_id"].isin(fitted_on["image_id"])
    others = tested[~same]
    patients = others[_of_patients(others, fitted_on)]
    shared = []
    if same.any():
        ids = first_few(tested["image_id"][same])
        shared.append(f"{same.sum()} of the {counted(len(tested), 'photograph')} here ({ids})")
    if len(patients):
        people = patients["patient_id"].unique()
        shared.append(f"other photographs of {counted(len(people), 'patient')} here ({first_few(people)})")
    if not shared:
        return []
    return [
        Finding(
            "fitted-on-evaluated",
            f"{what} were fitted on {' and on '.join(shared)}, so that the figures flatter. Fit on validation "
            "photographs, and evaluate others.",
        )
    ]


def changed_split_finding(run: str, manifest: str) -> Finding:
    """What to say where nobody can tell any more what a run was trained on.

    Args:
        run: The run's folder.
        manifest: The file that was its manifest.
    """
    return Finding(
        "split-changed",
        f"{manifest} is not what {run} was trained on: the set was split, prepared or edited again since. Photographs "
        "that it has learnt may be among these, and nobody can check. Train again, or bring the old split back.",
    )


def _about(table: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """``image_id``, ``dataset``, ``patient_id`` and ``sha256`` of a table's photographs, from it or from a manifest."""
    known = manifest.drop_duplicates("image_id").set_index("image_id")
    about = pd.DataFrame({"image_id": table["image_id"].astype(str)})
    for column in _ABOUT:
        own = table[column].astype("string") if column in table else pd.Series(pd.NA, table.index, dtype="string")
        if column in known:
            own = own.fillna(about["image_id"].map(known[column].astype("string")).astype("string"))
        about[column] = own
    return about


def _of_patients(tested: pd.DataFrame, learnt: pd.DataFrame) -> pd.Series:
    """Which photographs (bool) are of patients of others; ids mean something within one data set, where it's known."""
    theirs = _about(learnt, learnt).dropna(subset="patient_id")
    anywhere = set(theirs["patient_id"])
    somewhere = set(zip(theirs["dataset"].fillna(""), theirs["patient_id"], strict=True))
    found = [
        pd.notna(patient)
        and (patient in anywhere if pd.isna(dataset) else bool({(dataset, patient), ("", patient)} & somewhere))
        for dataset, patient in zip(tested["dataset"], tested["patient_id"], strict=True)
    ]
    return pd.Series(found, index=tested.index, dtype=bool)
