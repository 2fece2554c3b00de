"""Structured reports of photographs in a request, with a reader's decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retinagrade.errors import ImageError
from retinagrade.grader.metadata import Metadata
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.reading import ReaderDecisions, Reading
from retinagrade.gradings.studies import grade_study
from retinagrade.images.decoding import InMemory
from retinagrade.images.dicom import holds_dicom
from retinagrade.service.problems import FieldError, ProblemError
from retinagrade.service.uploads import FIELD, Form

READER: Final = "reader"
"""The field of the form with a reader's decisions."""
READER_SCHEMA: Final = {
    READER: {
        "type": "string",
        "contentMediaType": "application/json",
        "description": "A person, and this person's decisions: for each photograph agree, other grade (with grade, 0 "
        "to 4), not gradable, or null; note is free text",
        "example": '{"name": "Rossi^Anna", "readings": [{"decision": "other grade", "grade": 1, "note": ""}, null]}',
    }
}


class ReaderField(BaseModel):
    """The field ``reader`` of a form: a person and this person's decisions.

    Attributes:
        name: Name of the reader, such as ``Rossi^Anna``.
        readings: One decision for each photograph, in their order; ``None`` for none.
    """

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\\\x00-\x1f]*\S[^\\\x00-\x1f]*$")]
    readings: list[Reading | None]


def make_report(
    files: Sequence[InMemory], gradings: Sequence[Grading], metadata: Metadata, reader: ReaderField | None
) -> bytes:
    """Makes the DICOM Structured Report of the photographs of one study.

    Args:
        files: The photographs.
        gradings: Their gradings, in the same order.
        metadata: Metadata of the grader file.
        reader: A person's decisions; ``None`` for none.

    Returns:
        The report, a DICOM file.

    Raises:
        ProblemError: The photographs can't be in a report, or not in one report; or the extra ``dicom`` is missing.
    """
    errors = [
        FieldError(field=f"{FIELD}[{index}]", detail=error)
        for index, (file, grading) in enumerate(zip(files, gradings, strict=True))
        if (error := _unreportable(file, grading, gradings[:index])) is not None
    ]
    if errors:
        raise ProblemError(422, "no report can be made of these photographs", errors)
    try:
        return _encode_report(files, gradings, metadata, reader)
    except ModuleNotFoundError:
        raise ProblemError(422, "this service makes no reports: it needs pip install 'retinagrade[dicom]'") from None
    except ImageError as error:
        raise ProblemError(422, str(error)) from None


def _unreportable(file: InMemory, grading: Grading, before: Sequence[Grading]) -> str | None:
    """Returns the reason why a photograph can't be in a report with those before; ``None`` where it can."""
    if grading.error is not None:
        return grading.error
    if not holds_dicom(file):
        return f"{file}: not a DICOM file: leave it out"
    if before and grading.study != before[0].study:
        return f"{file}: belongs to another study: send a request for each study"
    if any(each.image_id == grading.image_id for each in before):
        return f"{file}: another photograph has the same name: rename one"
    return None


def parse_reader(form: Form) -> ReaderField | None:
    """Reads the field ``reader`` of a form; ``None`` where the form has none.

    Raises:
        ProblemError: The field is invalid.
    """
    if READER not in form.texts:
        return None
    try:
        reader = ReaderField.model_validate_json(form.texts[READER])
    except ValidationError as error:
        errors = [
            FieldError(field=".".join([READER, *map(str, each["loc"])]), detail=each["msg"])
            for each in error.errors(include_input=False, include_url=False)
        ]
        raise ProblemError(422, "the form is invalid", errors) from None
    if len(reader.readings) != len(form.photographs):
        detail = f"{len(reader.readings)} decisions for {len(form.photographs)} photographs: send one for each, or null"
        raise ProblemError(422, "the form is invalid", [FieldError(field=f"{READER}.readings", detail=detail)])
    return reader


def _encode_report(
    files: Sequence[InMemory], gradings: Sequence[Grading], metadata: Metadata, reader: ReaderField | None
) -> bytes:
    from retinagrade.grader.dicom_source import encode_dicom
    from retinagrade.grader.structured_report import structured_report

    study = grade_study(gradings[0].study or "", gradings)
    decisions = None
    if reader is not None:
        readings = {
            grading.image_id: each for grading, each in zip(gradings, reader.readings, strict=True) if each is not None
        }
        decisions = ReaderDecisions(reader.name, readings)
    report = structured_report(study, gradings, metadata, files=files, reader=decisions)
    return encode_dicom(report, files[0])
