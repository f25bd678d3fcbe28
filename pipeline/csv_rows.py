"""Reading small CSV files of text, with one line for what is wrong."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import LabError, quoted, suggest


class CsvRow(NamedTuple):
    """One row of a file."""

    place: str
    """File and line, for errors."""
    cells: dict[str, str]
    """Text by column."""


def read_csv(
    path: Path, what: str, known: Collection[str], needed: Collection[str]
) -> list[CsvRow]:
    """Read a CSV file with a header.

    Args:
        path: the file, in UTF-8.
        what: what it should hold, for the error.
        known: names of the columns that it may have.
        needed: names of those that it must have.

    Returns:
        Its rows; blank lines are left out.

    Raises:
        LabError: for a file that is missing or no text, a column that is unknown, missing or there
            twice, and a row of another width.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            _check_header(path, header, what, known, needed)
            rows = []
            for cells in reader:
                place = f"{path}, line {reader.line_num}"
                if cells and len(cells) != len(header):
                    raise LabError(
                        f"{place}: {len(cells)} cells", f"{len(header)}, as the header has",
                        "mend that line; a cell with a comma stands in quotation marks",
                    )  # fmt: skip
                if cells:
                    rows.append(CsvRow(place, dict(zip(header, cells, strict=True))))
    except FileNotFoundError:
        raise LabError(f"{path} is missing", what, "name a file that exists") from None
    except IsADirectoryError:
        raise LabError(f"{path} is a folder", what, "name a file") from None
    except UnicodeDecodeError:
        raise LabError(f"{path} is no UTF-8", what, "save it as text in UTF-8") from None
    except csv.Error as fault:
        raise LabError(f"{path}, line {reader.line_num}: {fault}", what, "mend that line") from None
    return rows


def _check_header(
    path: Path, header: list[str], what: str, known: Collection[str], needed: Collection[str]
) -> None:
    for name in header:
        if name not in known:
            raise LabError(f"unknown column {quoted(name)} in {path}", *suggest(name, known))
        if header.count(name) > 1:
            raise LabError(f"column {quoted(name)} twice in {path}", "each column once", what)
    missing = [name for name in needed if name not in header]
    if missing:
        raise LabError(f"{path} lacks column {quoted(missing[0])}", what, f"add {missing[0]}")
