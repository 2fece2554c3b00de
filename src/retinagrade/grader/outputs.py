"""The guard of the outputs of ``grade``: tables, saliency overlays and DICOM results beside the photographs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from retinagrade.errors import UsageError
from retinagrade.grader.inputs import PhotographFile
from retinagrade.images.own_pictures import own_source
from retinagrade.storage.files import write_json
from retinagrade.storage.output_guard import Output, describe_origin, guard_outputs, has_origin, origin_file
from retinagrade.storage.paths import is_local

COMMAND: Final = "grade --studies"


@dataclass(frozen=True)
class GradeOutputs:
    """The places that ``grade`` writes to; ``None`` for no such output.

    Attributes:
        table: Table of results. It recognises its own rows, and continues them.
        studies: Table of studies.
        saliency: Folder of saliency overlays.
        dicom: Folder of results in DICOM.
    """

    table: Path | None = None
    studies: Path | None = None
    saliency: Path | None = None
    dicom: Path | None = None

    @property
    def folders(self) -> list[Path]:
        """The folders of results, which hold no photographs."""
        return [folder for folder in (self.saliency, self.dicom) if folder is not None]

    def guard(self, named: Sequence[Path], overwrite: bool) -> None:
        """Checks the places before any photograph is listed.

        Args:
            named: The files and folders that the user named: photographs, list and grader file.
            overwrite: Whether a table of studies may be replaced.

        Raises:
            UsageError: An output is an input, holds one or lies in one, or stands where a person's file is.
        """
        guard_outputs(self._outputs(named), named, overwrite)

    def guard_photographs(self, photographs: Sequence[PhotographFile]) -> None:
        """Checks the places again when the photographs of patterns and lists are known.

        Raises:
            UsageError: An output is, or holds, a photograph.
        """
        paths = [Path(each.path) for each in photographs if "://" not in each.path]
        guard_outputs((Output(each.path, each.is_folder, lambda: True) for each in self._outputs(())), paths)

    def guard_overlays(self, digests: Mapping[str, str | None], overwrite: bool) -> None:
        """Checks that no saliency overlay replaces another file, or the overlay of another photograph.

        Args:
            digests: Digests of the photographs, by their ids; ``None`` where one is unknown.
            overwrite: Whether overlays may replace other files.

        Raises:
            UsageError: One would.
        """
        if self.saliency is None or overwrite or not is_local(self.saliency):
            return
        for image_id, digest in digests.items():
            overlay = overlay_path(self.saliency, image_id)
            if not overlay.exists() or (source := own_source(overlay)) == (digest or ""):
                continue
            of = "no saliency overlay" if source is None else f"the saliency overlay of another photograph {image_id}"
            raise UsageError(f"{overlay} is {of}: choose another folder, or replace the file with --overwrite")

    def write_origin(self, named: Sequence[Path]) -> None:
        """Writes the origin of the table of studies beside it."""
        if self.studies is not None:
            write_json(origin_file(self.studies), describe_origin(COMMAND, self._identity(named), self.studies.parent))

    def _outputs(self, named: Sequence[Path]) -> Iterator[Output]:
        if self.table is not None:
            yield Output(self.table, False, lambda: True)
        if self.studies is not None:
            record, identity = origin_file(self.studies), self._identity(named)
            yield Output(self.studies, False, lambda: has_origin(record, COMMAND, identity))
        for folder in self.folders:
            yield Output(folder, True, lambda: True, is_left_out=True)

    def _identity(self, named: Sequence[Path]) -> Sequence[Path]:
        """Returns the inputs of the table of studies: it follows the table of results, if there is one."""
        return named if self.table is None else [self.table]


def overlay_path(folder: Path, image_id: str) -> Path:
    """Returns the file of a photograph's saliency overlay; an id may be a path."""
    safe = "/".join(part for part in image_id.split("/") if part.strip("."))
    return folder / f"{safe}.jpg"
