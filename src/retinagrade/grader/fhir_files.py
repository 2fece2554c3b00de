"""Reports in FHIR as files: one transaction for each study, with what DICOM headers say of the patient."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from retinagrade.errors import ImageError
from retinagrade.gradings.fhir import Subject, make_bundle, report_id, subject_of
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.studies import group_by_study
from retinagrade.images.dicom import holds_dicom, read_elements
from retinagrade.messages import count_and_first_few
from retinagrade.storage.file_names import safe_name
from retinagrade.storage.files import write_text
from retinagrade.storage.paths import to_path

_HEADER: Final = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "AccessionNumber", "StudyDate")
_DATE: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")


def write_fhir(gradings: Sequence[Grading], folder: Path) -> list[str]:
    """Writes a transaction for each study, and replaces those of the same study and the same grader file.

    Args:
        gradings: Results of photographs; those of no study get no report.
        folder: Folder to write to.

    Returns:
        Reasons why something was not written, one line each.
    """
    alone = [each.image_id for each in gradings if each.study is None]
    failures = [f"no FHIR report, because their patient is unknown: {count_and_first_few(alone)}"] if alone else []
    for study, members in group_by_study(gradings).items():
        own_id = report_id(study, members[0].grader_digest)
        path = folder / f"{safe_name(study.rpartition('/')[2] or study)}-{own_id[:8]}.json"
        if path.exists() and own_id not in path.read_text(encoding="utf-8", errors="replace"):
            failures.append(f"{path} is no report of this study, and stays unchanged: choose another folder")
            continue
        bundle = make_bundle(members, {study: _subject(study, members)})
        write_text(path, json.dumps(bundle, ensure_ascii=False, indent=2) + "\n")
    return failures


def _subject(study: str, members: Sequence[Grading]) -> Subject:
    """Returns what the first readable DICOM header of a study says; else what the id of the study says."""
    for path in (to_path(each.path) for each in members if each.path is not None):
        if not holds_dicom(path):
            continue
        try:
            header = read_elements(path, _HEADER)
            texts = {name: str(header.get(name) or "").strip() for name in _HEADER}
        except (ImageError, ValueError):
            continue
        date = _DATE.fullmatch(texts["StudyDate"])
        return Subject(
            texts["PatientID"] or None,
            texts["IssuerOfPatientID"] or None,
            texts["StudyInstanceUID"] or None,
            texts["AccessionNumber"] or None,
            None if date is None else "-".join(date.groups()),
        )
    return subject_of(study)
