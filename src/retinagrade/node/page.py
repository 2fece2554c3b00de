"""The result of a study on one page, A4: for any viewer, and for a printer."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from retinagrade import __version__
from retinagrade.grader.dicom_source import NOTICE
from retinagrade.grades import REFERABLE
from retinagrade.gradings.grading import GRADED_KINDS, Grading, describe_grade
from retinagrade.gradings.studies import StudyGrading
from retinagrade.lesion_maps.outlines import COLOURS, OTHER_COLOUR

if TYPE_CHECKING:
    from pydicom import Dataset

_INCHES: Final = (8.27, 11.69)
_DPI: Final = 100
_LEFT: Final = 0.08
_LINE: Final = 86
"""Characters of 10 points in a line of the page."""
_PICTURE: Final = 0.41
"""Width of an eye's picture, as a share of the page."""
PICTURE_SIDE: Final = round(_PICTURE * _INCHES[0] * _DPI)
"""Side of an eye's picture, in pixels."""
_ROW: Final = 0.0155
"""Height of a line beside an eye, as a share of the page."""
_ABOVE_PICTURE: Final = 0.025
"""Height of the title over an eye's picture, as a share of the page."""
_BELOW_PICTURE: Final = 0.022
"""Height between an eye's picture and the first line below it."""
_READER: Final = 0.18
"""Height of the part for the reader, at the bottom of the page."""
_SEXES: Final = {"F": "female", "M": "male", "O": "other"}
_SHOWN: Final = 48
"""Characters of a name or an id that the page shows."""


@dataclass(frozen=True)
class PageFacts:
    """Patient and study, as the page shows them.

    Attributes:
        name: Name of the patient.
        patient_id: Id of the patient.
        born: Date of birth, such as ``2 January 1960``; empty where it is unknown.
        sex: ``female``, ``male`` or ``other``; empty where it is unknown.
        examined: Date of the study; in the form of ``born``.
        accession: Accession number.
    """

    name: str
    patient_id: str
    born: str
    sex: str
    examined: str
    accession: str

    @classmethod
    def of(cls, source: Dataset) -> PageFacts:
        """Reads the facts from the header of a photograph."""
        return cls(
            _shown(str(source.PatientName or "").split("=")[0].replace("^", " ")),
            _shown(str(source.PatientID or "")),
            _date(str(source.PatientBirthDate or "")),
            _SEXES.get(str(source.PatientSex or ""), ""),
            _date(str(source.StudyDate or "")),
            _shown(str(source.AccessionNumber or "")),
        )


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        pixels: RGB pixels (H, W, 3), uint8.
        pdf: The same page as PDF.
    """

    pixels: NDArray[np.uint8]
    pdf: bytes


def choose_eyes(gradings: Sequence[Grading]) -> tuple[Grading | None, Grading | None]:
    """Chooses the photographs that the page shows: the right eye, then the left one.

    Each is the photograph with the highest grade, which decides for its eye. Photographs of an unknown eye take the
    places that are free.

    Example:
        >>> eyes = [Grading("a", None, laterality="L", predicted_grade=1), Grading("b", None, laterality="L")]
        >>> [each and each.image_id for each in choose_eyes(eyes)]
        [None, 'a']
    """
    right, left, unknown = (
        _by_grade(each for each in gradings if each.laterality == side) for side in ("R", "L", None)
    )
    rest = [*unknown]
    first = right[0] if right else rest.pop(0) if rest else None
    return first, left[0] if left else rest.pop(0) if rest else None


def title_eyes(eyes: Sequence[Grading | None]) -> list[str]:
    """Returns the titles of both places of the page, which name no eye that nobody has stated.

    Example:
        >>> title_eyes([Grading("a", None), None]), title_eyes([None, Grading("a", None, laterality="L")])
        (['Eye not stated', 'Other eye'], ['Right eye', 'Left eye'])
    """
    if any(each is not None and each.laterality is None for each in eyes):
        empty = ("Other eye", "Other eye")
    else:
        empty = ("Right eye", "Left eye")
    names = {"R": "Right eye", "L": "Left eye", None: "Eye not stated"}
    return [name if each is None else names[each.laterality] for each, name in zip(eyes, empty, strict=True)]


def advise(study: StudyGrading) -> str:
    """Returns the advice for a study, in words for a clinic."""
    if study.referable:
        advice = "Refer the patient to an eye specialist."
    elif study.referable is None:
        advice = "No decision: a person must look at the photographs, or new ones must be taken."
    else:
        advice = "No referral by these photographs: continue with screening."
    if study.vision_threatening:
        advice += " The retinopathy may threaten vision: do not delay."
    if study.needs_review and study.referable is not None:
        advice += " A person should review this result."
    return advice


def summarise_grades(study: StudyGrading) -> str:
    """Says which grade a study has, and which eye has it.

    Example:
        >>> from retinagrade.gradings.studies import grade_study
        >>> eyes = [Grading(side, None, "7", side, predicted_grade=grade) for side, grade in (("R", 1), ("L", 2))]
        >>> summarise_grades(grade_study("7", eyes))
        'The worse eye: grade 2, moderate non-proliferative diabetic retinopathy.'
        >>> summarise_grades(grade_study("7", eyes[:1]))
        'The right eye: grade 1, mild non-proliferative diabetic retinopathy. The left eye has no grade.'
    """
    if study.predicted_grade is None:
        return "No eye has a grade."
    sides = {name: grade for name, grade in (("right", study.right), ("left", study.left)) if grade is not None}
    grade = f"{describe_grade(study.predicted_grade)}."
    if study.predicted_grade not in sides.values():
        return f"The highest grade is that of an eye not stated: {grade}"
    if len(sides) == 1:
        (side,) = sides
        return f"The {side} eye: {grade} The {'left' if side == 'right' else 'right'} eye has no grade."
    return f"The worse eye: {grade}"


def draw_page(
    facts: PageFacts,
    study: StudyGrading,
    eyes: Sequence[Grading | None],
    pictures: Mapping[str, NDArray[np.uint8] | None],
) -> Page:
    """Draws the page.

    Args:
        facts: Patient and study.
        study: Grading of the study.
        eyes: Gradings of the right and the left eye that the page shows, see :func:`choose_eyes`.
        pictures: Photographs with overlays, RGB (S, S, 3), by the id of their photograph; ``None`` for none.

    Returns:
        The page. Numbers and words of both forms are the same.
    """
    figure = Figure(figsize=_INCHES, dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    _write(figure, 0.955, "Diabetic retinopathy: result of a program", size=16, weight="bold")
    _write(figure, 0.935, NOTICE, size=9, colour="#a00000")
    rows = (
        f"Patient: {facts.name or '(no name)'}    Id: {facts.patient_id or '(none)'}",
        f"Born: {facts.born or '(unknown)'}    Sex: {facts.sex or '(unknown)'}",
        f"Examined: {facts.examined or '(unknown)'}    Accession number: {facts.accession or '(none)'}    "
        f"Photographs: {len(study.photographs)}",
    )
    y = 0.905
    for row in rows:
        y = _paragraph(figure, y, row, size=10)
    y = _paragraph(figure, y - 0.010, advise(study), size=13, weight="bold")
    y = _paragraph(figure, y, summarise_grades(study), size=11, weight="bold")
    for reason in study.undecided:
        y = _paragraph(figure, y, f"{reason[:1].upper()}{reason[1:]}.", size=10)
    titles = title_eyes(eyes)
    lines = max(len(_describe_eye(each)) + len(_count_lesions(each)) for each in eyes)
    height = min(_PICTURE * _INCHES[0] / _INCHES[1], y - _ABOVE_PICTURE - _BELOW_PICTURE - lines * _ROW - _READER)
    for column, (grading, name) in enumerate(zip(eyes, titles, strict=True)):
        picture = None if grading is None else pictures.get(grading.image_id)
        _draw_eye(figure, column, (y, height), name, grading, picture)
    _write(figure, 0.160, "Decision of the reader", size=10, weight="bold")
    for y, name in zip((0.138, 0.116), titles, strict=True):
        _write(figure, y, f"{name}:", size=10)
        choices = "☐ agrees     ☐ another grade: ____     ☐ not gradable"
        _write(figure, y, choices, size=10, x=_LEFT + 0.16)
    _write(figure, 0.080, "Date, name and signature: ____________________________________________________", size=10)
    _write(
        figure,
        0.045,
        f"retinagrade {__version__}, grader file {_shown(study.model)}, graded on {_time(study.graded_at)}",
        size=8,
    )
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    stream = io.BytesIO()
    figure.savefig(stream, format="pdf", metadata={"Title": "Diabetic retinopathy", "Creator": "retinagrade"})
    return Page(pixels, stream.getvalue())


def _draw_eye(
    figure: Figure,
    column: int,
    place: tuple[float, float],
    name: str,
    grading: Grading | None,
    picture: NDArray[np.uint8] | None,
) -> None:
    """Draws an eye into a column; its place is the height on the page from which on it stands, and its picture's."""
    x, (top, height) = _LEFT + column * 0.43, place
    axes = figure.add_axes((x, top - _ABOVE_PICTURE - height, _PICTURE, height))
    axes.set_axis_off()
    axes.set_anchor("NW")
    if picture is not None:
        axes.imshow(picture)
    else:
        axes.text(0.5, 0.5, "no picture", ha="center", va="center", fontsize=10, transform=axes.transAxes)
    figure.text(x, top - 0.018, name, fontsize=11, fontweight="bold", parse_math=False)
    y = top - _ABOVE_PICTURE - height - _BELOW_PICTURE
    for line in _describe_eye(grading):
        figure.text(x, y, line, fontsize=9, parse_math=False)
        y -= _ROW
    for line, colour in _count_lesions(grading):
        figure.text(x, y, "■", fontsize=9, color=[value / 255 for value in colour])
        figure.text(x + 0.022, y, line, fontsize=9)
        y -= _ROW


def _describe_eye(grading: Grading | None) -> list[str]:
    """Describes an eye in short lines.

    Example:
        >>> _describe_eye(None)
        ['No photograph.']
    """
    if grading is None:
        return ["No photograph."]
    if grading.error is not None:
        return ["The photograph could not be read."]
    if grading.predicted_grade is None:
        return ["Not gradable.", *_wrapped(", ".join(grading.quality_reasons))]
    lines = _wrapped(describe_grade(grading.predicted_grade).capitalize())
    if grading.confidence is not None:
        lines.append(f"Probability of this grade: {100 * grading.confidence:.0f} %")
    words = {True: "yes", False: "no", None: "undecided"}
    found = f" ({', '.join(grading.referral_reasons)})" if grading.referral_reasons else ""
    is_doubtful = grading.referable is False and grading.predicted_grade >= REFERABLE
    lines.append(f"Referable: {'a person must decide' if is_doubtful else words[grading.referable]}{found}")
    lines.append(f"May threaten vision: {words[grading.vision_threatening]}")
    if grading.oedema is not None:
        lines.append(f"Macular oedema suspected: {words[grading.oedema]}")
    if grading.review_reasons:
        lines += _wrapped(f"A person should look: {'; '.join(grading.review_reasons)}")
    return lines


def _count_lesions(grading: Grading | None) -> list[tuple[str, tuple[int, int, int]]]:
    """Counts the outlined lesions by kind, each with the colour of its outlines."""
    counts = {kind: None if grading is None else getattr(grading, kind) for kind in GRADED_KINDS}
    return [
        (f"{kind.replace('_', ' ').capitalize()}: {count}", COLOURS.get(kind, OTHER_COLOUR))
        for kind, count in counts.items()
        if count is not None
    ]


def _wrapped(text: str, width: int = 46) -> list[str]:
    return textwrap.wrap(text, width, max_lines=3, placeholder=" …")


def _paragraph(figure: Figure, y: float, text: str, size: int, weight: str = "normal") -> float:
    """Writes a paragraph from a height on; returns the height below it."""
    for line in _wrapped(text, _LINE * 10 // size):
        _write(figure, y, line, size=size, weight=weight)
        y -= 0.0018 * size
    return y - 0.003


def _write(
    figure: Figure, y: float, text: str, size: int, weight: str = "normal", colour: str = "black", x: float = _LEFT
) -> None:
    figure.text(x, y, text, fontsize=size, fontweight=weight, color=colour, parse_math=False)


def _by_grade(gradings: Iterable[Grading]) -> list[Grading]:
    return sorted(gradings, key=lambda each: -1 if each.predicted_grade is None else each.predicted_grade, reverse=True)


def _date(text: str) -> str:
    """Writes a date of DICOM for people; another text stays as it is.

    Example:
        >>> _date("19600102"), _date("196012")
        ('2 January 1960', '196012')
    """
    try:
        return _day(datetime.strptime(text, "%Y%m%d")) if len(text) == 8 else text
    except ValueError:
        return text


def _time(text: str | None) -> str:
    """Writes a time of a grading (ISO 8601) for people.

    Example:
        >>> _time("2026-11-27T20:15:09+00:00")
        '27 November 2026, 20:15 UTC'
    """
    if text is None:
        return "an unknown day"
    time = datetime.fromisoformat(text).astimezone(UTC)
    return f"{_day(time)}, {time:%H:%M} UTC"


def _day(time: datetime) -> str:
    return f"{time.day} {time:%B %Y}"


def _shown(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return printable if len(printable) <= _SHOWN else printable[: _SHOWN - 1] + "…"
