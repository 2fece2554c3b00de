"""The result of a study on one page, A4: for any viewer, and for a printer."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
_LINE: Final = 78
"""Characters in a line of the page."""
_ROW: Final = 0.0155
"""Height of a line beside an eye, as a share of the page."""
_SHOWN: Final = 48
"""Characters of a name or an id that the page shows."""


@dataclass(frozen=True)
class PageFacts:
    """Patient and study, as the page shows them.

    Attributes:
        name: Name of the patient.
        patient_id: Id of the patient.
        born: Date of birth, as ``YYYY-MM-DD``; empty where it is unknown.
        examined: Date of the study; the same form.
        accession: Accession number.
    """

    name: str
    patient_id: str
    born: str
    examined: str
    accession: str

    @classmethod
    def of(cls, source: Dataset) -> PageFacts:
        """Reads the facts from the header of a photograph."""
        return cls(
            _shown(str(source.PatientName or "").split("=")[0].replace("^", " ")),
            _shown(str(source.PatientID or "")),
            _date(str(source.PatientBirthDate or "")),
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
    return advice + (" A person should review this result." if study.needs_review else "")


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
        f"Patient: {facts.name or '(no name)'}    Id: {facts.patient_id or '(none)'}    "
        f"Born: {facts.born or '(unknown)'}",
        f"Examined: {facts.examined or '(unknown)'}    Accession number: {facts.accession or '(none)'}    "
        f"Photographs: {len(study.photographs)}",
    )
    for y, row in zip((0.905, 0.885), rows, strict=True):
        _write(figure, y, row, size=10)
    below = [
        _draw_eye(figure, column, name, grading, None if grading is None else pictures.get(grading.image_id))
        for column, (grading, name) in enumerate(zip(eyes, title_eyes(eyes), strict=True))
    ]
    grade = "no grade" if study.predicted_grade is None else describe_grade(study.predicted_grade)
    y = _paragraph(figure, min(below) - 0.012, f"The worse eye: {grade}.", size=12, weight="bold")
    y = _paragraph(figure, y, advise(study), size=12, weight="bold")
    for reason in study.undecided:
        y = _paragraph(figure, y, f"{reason[:1].upper()}{reason[1:]}.", size=10)
    _write(figure, 0.135, "Decision of the reader:  ☐ agrees   ☐ another grade: ____   ☐ not gradable", size=10)
    _write(figure, 0.095, "Date, name and signature: ____________________________________________________", size=10)
    graded_at = study.graded_at or "an unknown time"
    _write(
        figure,
        0.045,
        f"retinagrade {__version__}, grader file {_shown(study.model)}, graded at {graded_at}",
        size=8,
    )
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    stream = io.BytesIO()
    figure.savefig(stream, format="pdf", metadata={"Title": "Diabetic retinopathy", "Creator": "retinagrade"})
    return Page(pixels, stream.getvalue())


def _draw_eye(
    figure: Figure, column: int, name: str, grading: Grading | None, picture: NDArray[np.uint8] | None
) -> float:
    """Draws an eye into a column; returns the height below it."""
    x = _LEFT + column * 0.43
    axes = figure.add_axes((x, 0.555, 0.41, 0.29))
    axes.set_axis_off()
    if picture is not None:
        axes.imshow(picture)
    else:
        axes.text(0.5, 0.5, "no picture", ha="center", va="center", fontsize=10, transform=axes.transAxes)
    figure.text(x, 0.855, name, fontsize=11, fontweight="bold", parse_math=False)
    y = 0.533
    for line in _describe_eye(grading):
        figure.text(x, y, line, fontsize=9, parse_math=False)
        y -= _ROW
    for line, colour in _count_lesions(grading):
        figure.text(x, y, "■", fontsize=9, color=[value / 255 for value in colour])
        figure.text(x + 0.022, y, line, fontsize=9)
        y -= _ROW
    return y


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
        y -= 0.0021 * size
    return y - 0.004


def _write(figure: Figure, y: float, text: str, size: int, weight: str = "normal", colour: str = "black") -> None:
    figure.text(_LEFT, y, text, fontsize=size, fontweight=weight, color=colour, parse_math=False)


def _by_grade(gradings: Iterable[Grading]) -> list[Grading]:
    return sorted(gradings, key=lambda each: -1 if each.predicted_grade is None else each.predicted_grade, reverse=True)


def _date(text: str) -> str:
    """Writes a date of DICOM as ``YYYY-MM-DD``.

    Example:
        >>> _date("19600102")
        '1960-01-02'
    """
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 else text


def _shown(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return printable if len(printable) <= _SHOWN else printable[: _SHOWN - 1] + "…"
