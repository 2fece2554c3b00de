"""Cells and text of tables, as spreadsheets write them: encodings, delimiters, numbers, truth values and formulas."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from retinagrade.errors import ManifestError

SAVE_AS: Final = "save it as 'CSV UTF-8' with commas"
"""Remedy for a table in an unknown form."""
_BINARY: Final = {
    b"PAR1": "a Parquet file: give it the suffix .parquet",
    b"PK\x03\x04": f"an Excel workbook or a zip archive: {SAVE_AS}",
    b"\xd0\xcf\x11\xe0": f"an old Excel workbook: {SAVE_AS}",
    b"\x1f\x8b": "a compressed file: unpack it",
}
MOST_COLUMNS: Final = 1000
"""Limit of the columns of a table."""
HEADER_BYTES: Final = 1 << 16
"""Bytes in which the header of a table ends."""
_FORMULA: Final = re.compile(r"'*\s*[=+\-@＝＋－＠]|'*[\t\r\n]")
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}
_SIDES: Final = {"l": "L", "left": "L", "os": "L", "r": "R", "right": "R", "od": "R"}
_NUMBER: Final = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_SEPARATOR_LINE: Final = re.compile(r'"?sep=([,;\t|])"?[,;\t]*\r?', re.IGNORECASE)
_DELIMITERS: Final = ",;\t"
_CODE_PAGES: Final = ("cp1252", "cp1250", "cp1254")
_FIRST_LETTER: Final = 0xC0
"""First letter with an accent in these code pages; other code pages have letters below it."""


@dataclass(frozen=True)
class CellTable:
    """The cells of a text table.

    Attributes:
        header: Names of the columns.
        rows: Cells of each row; a blank line is a row without cells.
        lines: Line of the file on which each row ends, from 1.
        first_line: Line of the file on which the first row would begin: 2, or 3 after a line ``sep=;``.
    """

    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    first_line: int


def protect(text: str) -> str:
    """Returns a cell that no spreadsheet takes for a formula: ``'`` before ``=``, ``+``, ``-``, ``@`` and tabs.

    Example:
        >>> protect("=1+1"), protect("7_left"), unprotect(protect("'=1"))
        ("'=1+1", '7_left', "'=1")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unprotect(cell: str) -> str:
    """Returns the text that :func:`protect` made a cell of; other cells stay unchanged."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def parse_number(cell: str) -> float:
    """Reads a number with a decimal point or a decimal comma.

    Raises:
        ValueError: The cell is no finite number.

    Example:
        >>> parse_number("0,5"), parse_number("1.2E-05")
        (0.5, 1.2e-05)
    """
    text = cell.strip()
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{cell!r} is no number")
    return float(text.replace(",", "."))


def parse_flag(cell: str) -> bool:
    """Reads ``true`` or ``false`` in any case, ``1`` or ``0``.

    Raises:
        ValueError: The cell is none of these.

    Example:
        >>> parse_flag("TRUE"), parse_flag("0")
        (True, False)
    """
    try:
        return _FLAGS[cell.strip().lower()]
    except KeyError:
        raise ValueError(f"{cell!r} is neither true nor false") from None


def parse_side(cell: str) -> str:
    """Reads a laterality: left, L or OS (oculus sinister), and right, R or OD (oculus dexter), in any case.

    Returns:
        ``L`` or ``R``.

    Raises:
        ValueError: The cell is none of these.

    Example:
        >>> parse_side("od"), parse_side("Left")
        ('R', 'L')
    """
    try:
        return _SIDES[cell.strip().lower()]
    except KeyError:
        raise ValueError(f"{cell!r} is not a laterality: write L or R") from None


def decode_text(data: bytes, source: str) -> str:
    """Decodes text in UTF-8 or UTF-16, with or without a byte-order mark.

    Args:
        data: Content of the file.
        source: Name of the file, for errors.

    Raises:
        ManifestError: The file is binary.
        UnicodeDecodeError: The text has another encoding.
    """
    for magic, kind in _BINARY.items():
        if data.startswith(magic):
            raise ManifestError(f"{source} is no text, but {kind}")
    has_mark = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = data.decode("utf-16" if has_mark else _utf16_order(data) or "utf-8-sig")
    if "\0" in text:
        raise ManifestError(f"{source} is no text: it holds NUL bytes; {SAVE_AS}")
    return text


def decode_table(data: bytes, source: str) -> str:
    """Decodes the text of a table: UTF-8, UTF-16, or a code page of Latin script where its letters are certain.

    Letters are certain where the western, the central European and the Turkish code page of spreadsheets agree.

    Args:
        data: Content of the file.
        source: Name of the file, for errors.

    Raises:
        ManifestError: The file is binary, or its encoding is not certain.
    """
    try:
        return decode_text(data, source)
    except UnicodeDecodeError as error:
        return _decode_code_page(data, source, error)


def split_table(text: str, source: str) -> CellTable:
    """Splits a text into cells. Commas, semicolons or tabs separate them, whichever the header tells.

    Args:
        text: Text with one header line, perhaps after a line such as ``sep=;``.
        source: Name of the file, for errors.

    Raises:
        ManifestError: A quote stays open, a cell is too long, a row has more cells than the header or than
            :data:`MOST_COLUMNS`, or two columns have one name.
    """
    first, _, rest = text.partition("\n")
    named = _SEPARATOR_LINE.fullmatch(first)
    skipped = 0 if named is None else 1
    body = text if named is None else rest
    header, rows, lines = _parse(body, _choose_delimiter(body) if named is None else named[1], source, skipped)
    header, rows = _without_empty_columns(header, rows)
    for row, line in zip(rows, lines, strict=True):
        if len(row) > len(header):
            raise ManifestError(
                f"{source}, line {line}: not a readable CSV table: {len(row)} cells, but the header has "
                f"{len(header)} columns; quote cells that hold the delimiter"
            )
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise ManifestError(f"{source}, line {1 + skipped}: two columns {twice[0]!r}: rename one, or remove it")
    return CellTable(header, rows, lines, 2 + skipped)


def split_header(data: bytes) -> list[str]:
    """Returns the names of the columns of a table, from the beginning of its file; none where it is no text."""
    beginning = data[:HEADER_BYTES]
    try:
        text = decode_table(beginning[: max(beginning.rfind(b"\n") + 2, 2)], "").rpartition("\n")[0]
        return split_table(text or decode_table(beginning, ""), "").header
    except ManifestError:
        return []


def _utf16_order(data: bytes) -> str | None:
    """Returns the encoding of UTF-16 without a byte-order mark, whose first characters are ASCII."""
    beginning = data[:64]
    if len(beginning) < 4 or len(data) % 2:
        return None
    even, odd = set(beginning[::2]), set(beginning[1::2])
    if odd == {0} and 0 not in even:
        return "utf-16-le"
    return "utf-16-be" if even == {0} and 0 not in odd else None


def _decode_code_page(data: bytes, source: str, error: UnicodeDecodeError) -> str:
    texts = {data.decode(page, "replace") for page in _CODE_PAGES}
    words = re.findall(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*", data)
    if len(texts) > 1 or b"\0" in data or not all(map(_is_latin, words)):
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"{source}, line {line}: not a readable CSV table: it is not UTF-8, and its encoding is not certain: "
            f"{SAVE_AS}"
        )
    return texts.pop()


def _is_latin(word: bytes) -> bool:
    """Whether a word has letters without accents, and few accents in between, as in languages of Latin script."""
    runs = re.findall(rb"[\x80-\xff]+", word)
    return sum(map(len, runs)) < len(word) and all(min(run) >= _FIRST_LETTER and len(run) <= 2 for run in runs)


def _choose_delimiter(text: str) -> str:
    """Returns the delimiter in the header; of several, the one that gives all rows the same number of cells."""
    header = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    found = [delimiter for delimiter in _DELIMITERS if delimiter in header]
    if len(found) < 2:
        return found[0] if found else ","
    even = [delimiter for delimiter in found if _is_even(text, delimiter)]
    return even[0] if len(even) == 1 else found[0]


def _is_even(text: str, delimiter: str) -> bool:
    try:
        return len({len(row) for row in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if row}) == 1
    except csv.Error:
        return False


def _parse(text: str, delimiter: str, source: str, skipped: int) -> tuple[list[str], list[list[str]], list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if len(row) > MOST_COLUMNS:
                raise ManifestError(
                    f"{source}, line {reader.line_num + skipped}: {len(row)} columns, more than the limit of "
                    f"{MOST_COLUMNS}: leave out the others"
                )
            rows.append(row)
            lines.append(reader.line_num + skipped)
    except csv.Error as error:
        begun = (lines[-1] if lines else skipped) + 1
        raise ManifestError(
            f"{source}, line {begun}: not a readable CSV table: {error}; a quote is open or out of place"
        ) from error
    if not rows:
        raise ManifestError(f"{source}: the file is empty: a table has a header line and photographs")
    return [name.strip() for name in rows[0]], rows[1:], lines[1:]


def _without_empty_columns(header: Sequence[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Cuts empty cells behind the last column, which spreadsheets write, and names columns without a name."""
    width = len(header)
    while width and not header[width - 1] and not any(row[width - 1 : width] not in ([], [""]) for row in rows):
        width -= 1
    names = [name or f"Unnamed: {column}" for column, name in enumerate(header[:width])]
    return names, [row if any(row[width:]) else row[:width] for row in rows]
