"""Tables that spreadsheets save are read exactly, or refused with the line and a remedy."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.cells import (
    decode_table,
    parse_flag,
    parse_number,
    parse_side,
    protect,
    split_header,
    split_table,
    unprotect,
)
from retinagrade.errors import ManifestError
from retinagrade.manifest import Manifest, read_csv_text

SEPARATORS = [("", ","), ("", ";"), ("", "\t"), ("sep=;\n", ";"), ("sep=,\n", ",")]
TEXT = "image_id,path,grade\nGröße-1,a.jpg,2\n007,b.jpg,\n"


@given(st.text())
def test_protected_text_is_no_formula_and_is_read_back(text: str) -> None:
    cell = protect(text)
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert unprotect(cell) == text


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@y", "\t=1", " =1", "＝1", "'=1", "''+2"])
def test_formulas_are_text_in_a_spreadsheet(text: str) -> None:
    assert protect(text) == f"'{text}"


@pytest.mark.parametrize("text", ["7_left", "1-2", "o'neill", "'quoted'", ""])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert protect(text) == text == unprotect(text)


def test_numbers_flags_and_sides_are_understood_or_refused() -> None:
    assert [parse_number(cell) for cell in ("0.5", "0,5", " 1 ", "1,2E-05", ".5")] == [0.5, 0.5, 1, 1.2e-05, 0.5]
    assert [parse_flag(cell) for cell in ("TRUE", "False", "1", "0", " true ")] == [True, False, True, False, True]
    assert [parse_side(cell) for cell in ("OD", "os", "Right", "l")] == ["R", "L", "R", "L"]
    for parse in (parse_number, parse_flag, parse_side):
        for cell in ("", "maybe", "nan", "1.234,5", "2024-01-02", "WAHR?"):
            with pytest.raises(ValueError, match="is"):
                parse(cell)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("before", "delimiter"), [("", ","), ("", ";"), ("", "\t"), ("sep=;\n", ";"), ("sep=,\n", ",")]
)
def test_what_spreadsheets_save_is_one_table(
    tmp_path: Path, encoding: str, line_end: str, before: str, delimiter: str
) -> None:
    text = (before + TEXT.replace(",", delimiter)).replace("\n", line_end)
    (tmp_path / "labels.csv").write_bytes(text.encode(encoding))
    assert split_header(text.encode(encoding)) == ["image_id", "path", "grade"]
    table = Manifest.read(tmp_path / "labels.csv").table
    assert table["image_id"].tolist() == ["Größe-1", "007"]
    assert table["grade"].fillna(-1).tolist() == [2, -1]


@pytest.mark.parametrize(
    "data",
    [
        "путь,оценка\n".encode("cp1251"),
        "パス,等級\n".encode("cp932"),
        "Dvořák,č\n".encode("cp1250"),
        "Größe\n".encode("mac_roman"),
        b"PAR1\x00\x01",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"a,b\n1\x002,3\n",
    ],
)
def test_other_encodings_and_binary_files_are_refused_with_advice(data: bytes) -> None:
    with pytest.raises(ManifestError, match=r"f\.csv(.|\n)*(save it as|\.parquet|unpack)"):
        decode_table(data, "f.csv")
    assert split_header(data) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b\n1,2\n3,"4\n5,6\n', 3),
        ("a,b\n1,2,3\n", 2),
        ("a,a\n1,2\n", 1),
        ("sep=;\na;b\n1;2;3\n", 3),
        (f"a,b\n1,2\n3,{'x' * 140_000}\n", 3),
        (",".join(map(str, range(1_000_000))), 1),
        ("", None),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(text: str, line: int | None) -> None:
    with pytest.raises(ManifestError, match=r"f\.csv" if line is None else f"line {line}"):
        split_table(text, "f.csv")


def test_empty_cells_behind_the_last_column_are_cut() -> None:
    table = split_table("a,b,,\n1,2,,\n3\n", "f.csv")
    assert table.header == ["a", "b"]
    assert table.rows == [["1", "2"], ["3"]]


def test_a_comma_within_semicolons_is_text() -> None:
    table = split_table("id;note, long;grade\n1;a,b;2\n2;;3\n", "f.csv")
    assert table.header == ["id", "note, long", "grade"]


def test_lines_count_the_line_of_the_separator(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("sep=;\nimage_id;path;grade\na;a.jpg;9\n")
    with pytest.raises(ManifestError, match="line 3, column 'grade'"):
        Manifest.read(tmp_path / "m.csv")


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.lists(CELL, min_size=2, max_size=2)))
def test_every_cell_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([["a", "b"], *([protect(cell) for cell in row] for row in rows)])
    path = tmp_path_factory.getbasetemp() / "cells.csv"
    path.write_bytes(stream.getvalue().encode())
    while rows and not any(rows[-1]):
        rows = rows[:-1]
    assert read_csv_text(path).to_numpy().tolist() == rows
