"""Labels as class ids: from numbers of any type, or from the names of the classes."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.label_files.table import FileTable
from pipeline.data.source import Labels
from pipeline.errors import LabError, quoted, suggest

_MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}


def of_values(
    values: npt.NDArray[Any], class_names: tuple[str, ...], table: FileTable, rows: Labels
) -> Labels:
    """Class ids of some rows.

    Text that is the name of a class in every row is read as names; numbers are class ids.

    Args:
        values: one per row of the file.
        class_names: names by class id.
        table: the file, which names a bad row.
        rows: int64 [m], the rows that are wanted.

    Returns:
        int64 [m], not yet held against the number of classes.

    Raises:
        LabError: naming the first row without a label, with a fraction, a truth value or a name
            that no class has.
    """
    if values.dtype.kind == "b":
        raise LabError(
            f"{table.name} holds truth values (True and False)",
            "class ids as whole numbers from 0, or class names",
            "write 0 and 1, whichever classes they stand for",
        )
    if values.dtype.kind in "iuf":
        return _of_numbers(values, class_names, table, rows)
    return _of_text([str(values[row]).strip() for row in rows], class_names, table, rows)


def whole_or_none(values: npt.NDArray[Any]) -> Labels | None:
    """Values as int64 where all are whole numbers (some publishers write them as floats)."""
    if values.dtype.kind in "OU":
        try:
            values = np.array([float(value) for value in values])
        except ValueError:
            return None
    if values.dtype.kind not in "iuf" or not len(values):
        return None
    whole = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**53)
    return values.astype(np.int64) if whole.all() else None


def is_missing(text: str) -> bool:
    """Whether a cell holds no label, as people write it."""
    return text.strip().lower() in _MISSING


def _of_numbers(
    values: npt.NDArray[Any], class_names: tuple[str, ...], table: FileTable, rows: Labels
) -> Labels:
    wanted = values[rows]
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(wanted) & (wanted == np.floor(wanted)) & (np.abs(wanted) < 2**53)
    if not whole.all():
        bad = int(np.flatnonzero(~whole)[0])
        raise _no_label(table, int(rows[bad]), wanted[bad], class_names)
    return np.asarray(wanted.astype(np.int64))


def _of_text(
    cells: list[str], class_names: tuple[str, ...], table: FileTable, rows: Labels
) -> Labels:
    """Read as names or as numbers, whichever more of the cells are (names, where all are both)."""
    names = {name: i for i, name in enumerate(class_names)}
    if len({loose_name(name) for name in class_names}) == len(class_names):
        names |= {loose_name(name): i for i, name in enumerate(class_names)}
    ids = [names.get(cell, names.get(loose_name(cell))) for cell in cells]
    numbers = [_whole(cell) for cell in cells]
    chosen = ids if ids.count(None) <= numbers.count(None) else numbers
    if None in chosen:
        bad = chosen.index(None)
        raise _no_label(table, int(rows[bad]), cells[bad], class_names)
    return np.array(chosen, np.int64)


def _whole(cell: str) -> int | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return int(number) if abs(number) < 2**53 and number == int(number) else None


def loose_name(name: str) -> str:
    """A name without case, and with blanks for underscores and hyphens."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _no_label(table: FileTable, row: int, found: object, class_names: tuple[str, ...]) -> LabError:
    """The error about a row that holds no label."""
    text = str(found).strip()
    place = f"{table.name} {table.place(row)}"
    if is_missing(text):
        return LabError(
            f"{place} holds no label ({quoted(text) if text else 'it is empty'})",
            "a label in every row",
            "fill it in; or leave the row out and give an index or path column, so that the other "
            "labels stay on their images",
        )
    if is_number(text):
        return LabError(
            f"{place} holds {quoted(text)}",
            "class ids as whole numbers from 0, or class names",
            "write hard labels; softmax outputs make labels of kind pmd or dependent",
        )
    return LabError(
        f"{place} holds {quoted(text)}, which is no class of this data set",
        *suggest(text, class_names, "class ids from 0, or the names of the classes"),
    )


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
