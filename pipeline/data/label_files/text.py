"""Label files of text: .csv, .tsv and .txt, with and without a header."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.data.label_files.class_ids import is_number, loose_name
from pipeline.data.label_files.table import FileTable
from pipeline.errors import LabError, quoted

_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm")
_DELIMITERS = (",", ";", "\t")
_TRUTH = ("true", "false")

Row = list[str]


def columns_of_text(path: Path, class_names: tuple[str, ...]) -> FileTable:
    """The cells of a text file by column.

    The first row is a header unless it looks like data: a number, a class name, an image file.

    Args:
        path: the file, UTF-8.
        class_names: names of the classes.

    Returns:
        Columns of text, without surrounding blanks.

    Raises:
        LabError: for text that is not UTF-8, rows of different lengths, a blank line between them,
            or two columns of one name.
        ValueError: for quotes that do not end.
    """
    text = _decoded(path)
    rows, lines = [], []
    for line, row in _rows(text, path.suffix.lower()):
        rows.append([cell.strip() for cell in row])
        lines.append(line)
    if not rows:
        return FileTable(path.name, {})
    width = len(rows[0])
    for line, row in zip(lines, rows, strict=True):
        if len(row) != width:
            found = "nothing" if not any(row) else f"{len(row)} cells"
            raise LabError(
                f"{path.name} line {line} holds {found}",
                f"{width} as in the first line, one row per image",
                "mend or remove that line",
            )
    header = _is_header(rows[0], rows[1] if len(rows) > 1 else rows[0], class_names)
    names = rows[0] if header else _names_without_header(path, width)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LabError(
            f"{path.name} has two columns called {quoted(twice[0])}",
            "columns with names of their own",
            "rename one of them",
        )
    first = int(header)
    cells = {
        name: np.array([row[i] for row in rows[first:]], dtype=object)
        for i, name in enumerate(names)
    }
    return FileTable(path.name, cells, tuple(lines[first:]), headed=header)


def _decoded(path: Path) -> str:
    """The text of a file."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabError(
            f"{path.name} is not UTF-8 text (byte {error.start})",
            "text encoded as UTF-8",
            "save it again as UTF-8 (in Excel: CSV UTF-8)",
        ) from error


def _rows(text: str, ending: str) -> Iterator[tuple[int, Row]]:
    """Line number and cells of each row; a blank line is a row of one empty cell."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    counts = {mark: first.count(mark) for mark in _DELIMITERS}
    delimiter = "\t" if ending == ".tsv" else max(_DELIMITERS, key=lambda mark: counts[mark])
    if ending == ".txt" and not counts[delimiter]:
        for number, line in enumerate(lines, 1):
            if not line.startswith("#"):  # as numpy.savetxt writes its header
                yield number, line.split() or [""]
        return
    try:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        for row in reader:
            yield reader.line_num, row or [""]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def _is_header(row: Row, below: Row, class_names: tuple[str, ...]) -> bool:
    if not row[0] and len(row) > 1:
        return True  # as pandas writes the name of its index
    return not any(
        is_number(cell)
        or loose_name(cell) in map(loose_name, class_names)
        or looks_like_image(cell)
        or cell.lower() in ("na", "nan", "")
        or (cell.lower() in _TRUTH and under.lower() in _TRUTH)  # `true` alone may be a name
        for cell, under in zip(row, below, strict=True)
    )


def _names_without_header(path: Path, width: int) -> Row:
    return [path.stem] if width == 1 else [f"column{i + 1}" for i in range(width)]


def looks_like_image(cell: str) -> bool:
    """Whether a cell names an image file."""
    return cell.lower().endswith(_IMAGE_ENDINGS)
