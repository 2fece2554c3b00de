"""Every file of a folder is a photograph or left out with a reason; none is lost, and none is waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from retinagrade.images.listing import FolderListing, LeftOutFile, describe_left_out, list_folder
from retinagrade.storage.paths import user_path
from tests.images.folder_trees import CONTENTS, TREES, files_found, photograph_bytes, write_tree


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    outside = tmp_path_factory.mktemp("outside")
    for name in ("linked.jpg", "deeper/other.png", "notes.txt"):
        (outside / name).parent.mkdir(exist_ok=True)
        (outside / name).write_bytes(CONTENTS["text" if name.endswith("txt") else "JPEG"])
    return tmp_path_factory.mktemp("trees") / "root", outside


def listed(root: Path, nested: bool = True) -> tuple[list[str], dict[str, LeftOutFile]]:
    listing = list_folder(root, nested=nested)
    return [path.relative_to(root).as_posix() for path in listing.photographs], {
        each.file: each for each in listing.left_out
    }


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_photographs_and_files_left_out_are_all_files(
    places: tuple[Path, Path], tree: list[tuple[str, str, str]]
) -> None:
    root, outside = places
    write_tree(root, outside, tree)
    listing = list_folder(root)
    found = files_found(root)
    assert len(listing.photographs) + len(listing.left_out) == len(found)
    read = {(os.path.realpath(path.parent), path.name) for path in listing.photographs}
    assert read <= found
    unread = {Path(each.file).name for each in listing.left_out}
    assert unread == {name.encode("utf-8", "backslashreplace").decode() for _, name in found - read}
    assert all(each.reason for each in listing.left_out)
    assert all(path.is_file() for path in listing.photographs)
    assert sum(int(line.split()[2]) for line in describe_left_out(listing.left_out)) == len(listing.left_out)


def test_bytes_decide_and_suffixes_do_not(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "JPEG2000", "AVIF"):
        for name in (kind, f"{kind}.txt", f"{kind}.wrong"):
            (tmp_path / name).write_bytes(photograph_bytes(kind))
    photographs, left_out = listed(tmp_path)
    assert len(photographs) == 24
    assert not left_out


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPG", "jp2", "gif", "heic", "avif", "tif", "dcm", "webp", "bmp"])
def test_a_suffix_of_a_photograph_is_enough(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(b"damaged")
    assert listed(tmp_path) == ([f"a.{suffix}"], {})


@pytest.mark.parametrize(
    ("name", "content", "needs_attention"),
    [
        ("scan.dcm.gz", CONTENTS["gzip"], True),
        ("scan.gz", CONTENTS["gzip"], True),
        ("photographs.zip", b"PK\3\4", True),
        ("photographs.tar", bytes(257) + b"ustar" + bytes(300), True),
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(90), True),
        ("a.nef", CONTENTS["TIFF"], True),
        ("a.jxl", b"\xff\x0a", True),
        ("a.psd", b"8BPS", True),
        ("without", b"8BPS", True),
        ("._a.jpg", CONTENTS["macOS"], False),
        (".hidden.jpg", CONTENTS["JPEG"], True),
        (".DS_Store", b"\0\0\0\1Bud1", False),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0", False),
        ("__MACOSX/b.jpg", CONTENTS["JPEG"], False),
        ("@eaDir/b.jpg", CONTENTS["JPEG"], False),
        (".git/b.jpg", CONTENTS["JPEG"], False),
        ("DICOMDIR", bytes(128) + b"DICM", False),
        ("labels.csv", CONTENTS["text"], False),
        ("labels.csv.gz", CONTENTS["gzip"], False),
        ("nothing", b"", False),
        ("film.mp4", b"\0\0\0\x18ftypisom" + bytes(20), False),
    ],
)
def test_other_files_have_a_reason_each(tmp_path: Path, name: str, content: bytes, needs_attention: bool) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    photographs, left_out = listed(tmp_path)
    assert not photographs
    assert left_out[name].may_be_photograph is needs_attention


def test_links_pipes_and_devices_are_named_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "gone.jpg").symlink_to("absent.jpg")
    (tmp_path / "loop.png").symlink_to("loop.png")
    photographs, left_out = listed(tmp_path)
    assert not photographs
    assert {name for name, each in left_out.items() if each.may_be_photograph} == {
        "pipe.jpg",
        "zero.jpg",
        "gone.jpg",
        "loop.png",
    }


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "inner").mkdir(parents=True)
    (tmp_path / "elsewhere" / "inner" / "a.jpg").write_bytes(CONTENTS["JPEG"])
    root = tmp_path / "root"
    root.mkdir()
    (root / "first").symlink_to(tmp_path / "elsewhere")
    (root / "second").symlink_to(tmp_path / "elsewhere")
    (root / "above").symlink_to(tmp_path)
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    assert listed(root) == (["first/inner/a.jpg"], {})


def test_a_folder_that_cannot_be_entered_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.jpg").write_bytes(CONTENTS["JPEG"])
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    photographs, left_out = listed(tmp_path)
    assert photographs == ["a.jpg"]
    assert left_out["closed"].may_be_photograph


def test_only_the_folder_itself(tmp_path: Path) -> None:
    for name in ("a.jpg", "inner/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(CONTENTS["JPEG"])
    assert listed(tmp_path, nested=False) == (["a.jpg"], {})
    assert listed(tmp_path) == (["a.jpg", "inner/b.jpg"], {})


def test_a_store_is_listed_alike(tmp_path: Path) -> None:
    root = user_path(f"memory://{tmp_path.name}")
    for name in ("a.jpg", "deep/without", "deep/.b.jpg", "notes.txt", "c.dcm.gz"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(CONTENTS["JPEG" if "." not in name.strip(".") or "jpg" in name else "text"])
    listing: FolderListing = list_folder(root)
    assert [path.relative_to(root).as_posix() for path in listing.photographs] == ["a.jpg", "deep/without"]
    assert {each.file: each.may_be_photograph for each in listing.left_out} == {
        "deep/.b.jpg": True,
        "notes.txt": False,
        "c.dcm.gz": True,
    }
