"""The gradings of many photographs as one object: a sequence with counts, tables and short displays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final, overload

from retinagrade.gate.folder import count_levels, doubt_of_gate
from retinagrade.grades import Grade
from retinagrade.gradings.grading import GATE_WOULD_REFUSE, Grading, describe_grade
from retinagrade.gradings.studies import StudyGrading, group_by_study, has_several_patients
from retinagrade.gradings.table import COLUMNS, grading_row
from retinagrade.images.listing import LeftOutFile
from retinagrade.lesion_maps.marks import Mark
from retinagrade.messages import counted, first_few

if TYPE_CHECKING:
    import pandas as pd

_SHOWN: Final = 10
"""Rows of the short displays."""
_PLACES: Final = 3
"""Marks that a warning names."""


class GradingResults(Sequence[Grading]):
    """Gradings of photographs, in the order of the photographs, and of their studies.

    Attributes:
        studies: Gradings of the studies. They include photographs that an earlier call wrote to the same table.
        others: Gradings of further photographs, which earlier calls wrote to the same table.
        failures: Reasons why some DICOM results could not be written, one line each.
        left_out: Files in the named folders that were not graded, with reasons.
        marks: Places where many of the photographs that this call graded have a red lesion, such as dust.
    """

    def __init__(
        self,
        gradings: Iterable[Grading],
        studies: Iterable[StudyGrading] = (),
        *,
        taken_over: Collection[str] = (),
        others: Iterable[Grading] = (),
        failures: Iterable[str] = (),
        by_study: bool = False,
        left_out: Iterable[LeftOutFile] = (),
        marks: Iterable[Mark] = (),
        searched: int = 0,
    ) -> None:
        """Collects results.

        Args:
            gradings: One grading per photograph.
            studies: One grading per study.
            taken_over: Ids of the photographs that an earlier call graded.
            others: Gradings of further photographs in the same table.
            failures: Reasons why some DICOM results could not be written.
            by_study: True if the studies are a result of their own, so that every photograph should be in one.
            left_out: Files in the named folders that were not graded.
            marks: Places where many of the photographs have a red lesion.
            searched: Number of photographs in which this call looked for marks.
        """
        self._gradings = tuple(gradings)
        self._taken_over = frozenset(taken_over)
        self.studies = tuple(studies)
        self.others = tuple(others)
        self.failures = tuple(failures)
        self._by_study = by_study
        self.left_out = tuple(left_out)
        self.marks = tuple(marks)
        self._searched = searched

    @overload
    def __getitem__(self, index: int) -> Grading: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Grading]: ...

    def __getitem__(self, index: int | slice) -> Grading | Sequence[Grading]:
        """Returns the grading of one photograph, or the gradings of several."""
        return self._gradings[index]

    def __len__(self) -> int:
        """Returns the number of photographs."""
        return len(self._gradings)

    @property
    def graded(self) -> list[Grading]:
        """Gradings that have a grade."""
        return [each for each in self if each.predicted_grade is not None]

    @property
    def ungradable(self) -> list[Grading]:
        """Gradings of photographs whose quality is insufficient."""
        return [each for each in self if each.gradable is False]

    @property
    def doubt(self) -> str | None:
        """Warning where so many photographs are refused for one reason that the gate may be wrong."""
        judged = [each for each in self if each.gradable is not None]
        return doubt_of_gate(() if each.gradable else each.quality_reasons for each in judged)

    @property
    def unchecked(self) -> str | None:
        """Warning where photographs were graded with the gate off."""
        graded = [each for each in self if each.quality_level == "unchecked"]
        refused = [each.image_id for each in graded if GATE_WOULD_REFUSE in each.review_reasons]
        if not graded:
            return None
        found = f"{len(refused)} of them: {first_few(refused)}" if refused else "none of them"
        return f"the gate was off for {counted(len(graded), 'photograph')}, and would refuse {found}"

    @property
    def dust(self) -> str | None:
        """Warning where many photographs have a red lesion at the same place."""
        if not self.marks:
            return None
        places = [
            f"{each.x:.0%} from the left and {each.y:.0%} from the top (in {each.photographs} photographs)"
            for each in self.marks[:_PLACES]
        ]
        more = f", and {counted(len(self.marks) - _PLACES, 'more place')}" if len(self.marks) > _PLACES else ""
        return (
            f"of {counted(self._searched, 'photograph')}, many have a dark spot at the same place, which counts as a "
            f"lesion: {', '.join(places)}{more}. This is dust on the camera, unless the photographs show one eye. Have "
            "the camera cleaned. Until then, grades that stand on few lesions may be too high: a person should look"
        )

    @property
    def attentions(self) -> list[str]:
        """Warnings about all photographs together, one line each."""
        return [each for each in (self.mixed, self.unchecked, self.doubt, self.dust) if each is not None]

    @property
    def errors(self) -> list[Grading]:
        """Gradings of photographs that could not be used."""
        return [each for each in self if each.error is not None]

    @property
    def taken_over(self) -> list[Grading]:
        """Gradings that an earlier call wrote to the same table."""
        return [each for each in self if each.image_id in self._taken_over]

    @property
    def new(self) -> list[Grading]:
        """Gradings that this call made."""
        return [each for each in self if each.image_id not in self._taken_over]

    @property
    def mixed(self) -> str | None:
        """The studies of the whole table whose photographs name several patients, in one line; ``None`` without any."""
        studies = group_by_study([*self, *self.others])
        mixed = [study for study, members in studies.items() if has_several_patients(members)]
        if not mixed:
            return None
        return (
            f"photographs of several patients (PatientID) share the study {first_few(mixed)}, which gets no grade: "
            "correct the PatientID or the StudyInstanceUID, and grade the photographs again"
        )

    @property
    def without_study(self) -> list[Grading]:
        """Gradings of the whole table whose study is unknown, so that they are part of no study."""
        return [each for each in (*self, *self.others) if each.study is None]

    @property
    def needs_attention(self) -> bool:
        """True if a photograph of the whole table has no grade, or should have none, or a result or study is missing.

        A photograph should have none where the gate would refuse it and is off.
        """
        ungraded = any(
            each.predicted_grade is None or GATE_WOULD_REFUSE in each.review_reasons for each in (*self, *self.others)
        )
        without_study = self._by_study and bool(self.without_study)
        may_be_photographs = any(each.may_be_photograph for each in self.left_out)
        return any((ungraded, self.failures, without_study, may_be_photographs, self.mixed))

    @property
    def summary(self) -> str:
        """Counts of the photographs, of the others in the table, and of the studies, in one sentence each."""
        number = Counter(each.predicted_grade for each in self.graded)
        names = {grade: grade.label if grade else "without retinopathy" for grade in Grade}
        grades = ", ".join(f"{number[grade]} {name}" for grade, name in names.items() if number[grade])
        before = f", {len(self.taken_over)} taken over from an earlier call" if self._taken_over else ""
        text = (
            f"{counted(len(self), 'photograph')}{before}: {grades or 'no grades'}; "
            f"{len(self.ungradable)} ungradable, {counted(len(self.errors), 'error')}."
        )
        if review := sum(bool(each.needs_review) for each in self.graded):
            graded, needs = counted(len(self.graded), "graded photograph"), "needs" if review == 1 else "need"
            text += f" {review} of {graded} {needs} review by a person."
        if levels := count_levels(each.quality_level for each in self):
            text += f" Quality: {levels}."
        if self.left_out:
            text += f" {counted(len(self.left_out), 'other file')} left out."
        if self.others:
            ungraded = sum(each.predicted_grade is None for each in self.others)
            text += f" The table has {counted(len(self.others), 'other photograph')}, {ungraded} without a grade."
        if not self.studies and not self._by_study:
            return text
        referable = Counter(study.referable for study in self.studies)
        count = "1 study" if len(self.studies) == 1 else f"{len(self.studies)} studies"
        review = sum(study.needs_review for study in self.studies)
        text += (
            f" {count}: {referable[True]} referable, {referable[False]} not referable, {referable[None]} undecided; "
            f"{review} {'needs' if review == 1 else 'need'} review by a person."
        )
        if missing := self.without_study:
            are = "photograph is" if len(missing) == 1 else "photographs are"
            text += f" {len(missing)} {are} in no study: {first_few(each.image_id for each in missing)}."
        return text

    def to_json(self) -> list[dict[str, Any]]:
        """Returns the fields of each grading by name."""
        return [each.to_json() for each in self]

    def to_rows(self) -> list[dict[str, Any]]:
        """Returns one row per photograph, with the columns of a CSV table of gradings."""
        return [grading_row(each) for each in self]

    def to_dataframe(self) -> pd.DataFrame:
        """Returns :meth:`to_rows` as a table; ungraded photographs have ``<NA>`` in ``predicted_grade``.

        Raises:
            ModuleNotFoundError: pandas isn't installed.
        """
        import pandas as pd

        frame = pd.DataFrame(self.to_rows(), columns=list(COLUMNS))
        return frame.astype({"predicted_grade": "Int64"})

    def __repr__(self) -> str:
        """Returns the counts and a short table."""
        rows = [("image_id", "result", "confidence"), *map(_short_row, self[:_SHOWN])]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        more = [f"… and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        return "\n".join([f"GradingResults with {self.summary}", *lines, *more])

    def _repr_html_(self) -> str:
        """Returns the counts and a short table, for notebooks."""
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _short_row(each)) + "</tr>"
            for each in self[:_SHOWN]
        )
        more = f"<p>… and {len(self) - _SHOWN} more</p>" if len(self) > _SHOWN else ""
        return (
            f"<p>{escape(self.summary)}</p><table><thead><tr><th>image_id</th><th>result</th><th>confidence</th></tr>"
            f"</thead><tbody>{rows}</tbody></table>{more}"
        )


def describe_grading(grading: Grading) -> str:
    """Describes a grading in one line.

    Example:
        >>> fields = {"predicted_grade": 2, "confidence": 0.81, "referable": True, "needs_review": False}
        >>> describe_grading(Grading("a", "a.jpg", **fields))
        'grade 2, moderate non-proliferative diabetic retinopathy, referable (confidence 0.81)'
    """
    if grading.predicted_grade is None:
        return _without_grade(grading)
    decision = {None: "", True: ", referable", False: ", not referable"}[grading.referable]
    decision += ", may threaten vision" if grading.vision_threatening else ""
    decision += ", signs of macular oedema" if grading.oedema else ""
    review = "; needs review by a person" if grading.needs_review else ""
    quality = f"; {grading.quality_level} ({', '.join(grading.quality_reasons)})" if grading.quality_reasons else ""
    return f"{describe_grade(grading.predicted_grade)}{decision} (confidence {grading.confidence:.2f}){quality}{review}"


def _without_grade(grading: Grading) -> str:
    if grading.error is not None:
        return f"error: {grading.error}"
    return f"ungradable ({', '.join(grading.quality_reasons)}); needs review by a person"


def _short_row(grading: Grading) -> tuple[str, str, str]:
    result = _without_grade(grading) if grading.predicted_grade is None else describe_grade(grading.predicted_grade)
    return grading.image_id, result, "" if grading.confidence is None else f"{grading.confidence:.2f}"
