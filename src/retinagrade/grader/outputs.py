"""The guard of the outputs of ``grade``: tables, pictures and DICOM results beside the photographs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from retinagrade.errors import UsageError
from retinagrade.grader.inputs import PhotographFile
from retinagrade.grader.lesion_files import outlined_digest
from retinagrade.images.own_pictures import own_source
from retinagrade.messages import describe_alike
from retinagrade.storage.file_names import file_key, safe_name
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
        lesions: Folder of outlines of lesions.
        dicom: Folder of results in DICOM.
        fhir: Folder of reports in FHIR.
        numbers: File of lesion numbers. It recognises its own lines, and continues them.
    """

    table: Path | None = None
    studies: Path | None = None
    saliency: Path | None = None
    lesions: Path | None = None
    dicom: Path | None = None
    fhir: Path | None = None
    numbers: Path | None = None

    @property
    def folders(self) -> list[Path]:
        """The folders of results, which hold no photographs."""
        return [folder for folder in (self.saliency, self.lesions, self.dicom, self.fhir) if folder is not None]

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
            UsageError: An output is, or holds, a photograph; or two photographs would have one picture.
        """
        pictures: dict[str, str] = {}
        for each in photographs:
            for picture in self.pictures(each.image_id):
                if (other := pictures.setdefault(file_key(str(picture)), each.image_id)) != each.image_id:
                    raise UsageError(
                        f"the photographs {other!r} and {each.image_id!r}{describe_alike((other, each.image_id))} "
                        f"would have one picture, {picture}, at least on some disks: rename one, or give them ids of "
                        "their own with --list"
                    )
        paths = [Path(each.path) for each in photographs if "://" not in each.path]
        guard_outputs((Output(each.path, each.is_folder, lambda: True) for each in self._outputs(())), paths)

    def guard_overlays(self, digests: Mapping[str, str | None], overwrite: bool) -> None:
        """Checks that no picture replaces another file, or the picture of another photograph.

        Args:
            digests: Digests of the photographs, by their ids; ``None`` where one is unknown.
            overwrite: Whether pictures may replace other files.

        Raises:
            UsageError: One would.
        """
        for image_id, digest in {} if overwrite else digests.items():
            for picture in filter(is_local, self.pictures(image_id)):
                if not picture.exists() or (source := _source(picture)) == (digest or ""):
                    continue
                of = "no such picture of ours" if source is None else f"that of another photograph {image_id}"
                raise UsageError(f"{picture} is {of}: choose another folder, or replace the file with --overwrite")

    def pictures(self, image_id: str) -> list[Path]:
        """Returns the files of a photograph in the folders of pictures."""
        files = [] if self.saliency is None else [picture_path(self.saliency, image_id, ".jpg")]
        if self.lesions is not None:
            files += [picture_path(self.lesions, image_id, suffix) for suffix in (".png", ".json")]
        return files

    def write_origin(self, named: Sequence[Path]) -> None:
        """Writes the origin of the table of studies beside it."""
        if self.studies is not None:
            write_json(origin_file(self.studies), describe_origin(COMMAND, self._identity(named), self.studies.parent))

    def _outputs(self, named: Sequence[Path]) -> Iterator[Output]:
        if self.table is not None:
            yield Output(self.table, False, lambda: True)
        if self.numbers is not None:
            yield Output(self.numbers, False, lambda: True)
        if self.studies is not None:
            record, identity = origin_file(self.studies), self._identity(named)
            yield Output(self.studies, False, lambda: has_origin(record, COMMAND, identity))
        for folder in self.folders:
            yield Output(folder, True, lambda: True, is_left_out=True)

    def _identity(self, named: Sequence[Path]) -> Sequence[Path]:
        """Returns the inputs of the table of studies: it follows the table of results, if there is one."""
        return named if self.table is None else [self.table]


def picture_path(folder: Path, image_id: str, suffix: str) -> Path:
    """Returns a file of a photograph in a folder of pictures; an id may be a path, or a text that no file can have."""
    return folder / f"{safe_name(image_id)}{suffix}"


def _source(picture: Path) -> str | None:
    """Returns the digest of the photograph of a picture, or of its polygons; ``None`` for any other file."""
    return outlined_digest(picture) if picture.suffix == ".json" else own_source(picture)
