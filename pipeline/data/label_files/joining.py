"""Which image a row of a label file is about: by its index, or by the path of the image."""

from collections.abc import Sequence

import numpy as np

from pipeline.data.label_files.class_ids import whole_or_none
from pipeline.data.label_files.table import FileTable
from pipeline.data.source import Labels
from pipeline.errors import LabError, quoted


def by_index(table: FileTable, column: str, rows: Labels, n_images: int) -> Labels:
    """Positions of images from a column that holds them, in any order and with gaps.

    Args:
        table: the file.
        column: its column of positions, from 0.
        rows: int64 [m], the rows that are wanted.
        n_images: number of images.

    Returns:
        int64 [m].

    Raises:
        LabError: for an empty cell, a position that no image has, or one that is given twice.
    """
    index = whole_or_none(table.columns[column][rows])
    where = f"{table.name}, column {quoted(column)}"
    if index is None:
        raise LabError(
            f"{where} holds something else than whole numbers",
            "the position of an image in every row",
            "mend the column, or name the column of labels in `column` (--column)",
        )
    outside = np.flatnonzero((index < 0) | (index >= n_images))
    if len(outside):
        from_one = index.min() == 1 and index.max() == n_images
        raise LabError(
            f"{where}, {table.place(int(rows[outside[0]]))} names image {index[outside[0]]}",
            f"positions from 0 to {n_images - 1}",
            "subtract 1 from the index, which counts from 1"
            if from_one
            else "take the file of this data set, or leave these rows out",
        )
    _refuse_doubles(table, rows, index, [str(i) for i in index])
    return index


def by_path(table: FileTable, column: str, rows: Labels, files: Sequence[str] | None) -> Labels:
    """Positions of images from a column of paths.

    Paths are compared from their end, by as many folders as tell the images apart: so they may
    start at the data set, at its training folder, or anywhere above.

    Args:
        table: the file.
        column: its column of paths.
        rows: int64 [m], the rows that are wanted.
        files: paths of the images in order; None where they have none.

    Returns:
        int64 [m].

    Raises:
        LabError: if the images have no paths, a row names none of them, or two rows the same.
    """
    where = f"{table.name}, column {quoted(column)}"
    if files is None:
        raise LabError(
            f"{where} names images, but those of this data set have no file names",
            "rows in the order of the training images, or a column called index",
            "remove the column where the order is right; image folders prepared by an earlier "
            "version get their names from uv run python -m pipeline.stages.data NAME",
        )
    given = [_parts(str(table.columns[column][row])) for row in rows]
    known = [_parts(file) for file in files]
    depth, position = _by_tail(given, known)
    found = [position.get(parts[-depth:]) for parts in given]
    unknown = next((i for i, place in enumerate(found) if place is None), None)
    if unknown is not None:
        n_unknown = found.count(None)
        raise LabError(
            f"{where}: {n_unknown} of {len(rows)} rows name no training image; "
            f"{table.place(int(rows[unknown]))} says {quoted('/'.join(given[unknown]))}",
            f"paths such as {quoted(files[0])}",
            "mend the paths, leave these rows out, or mark them in a column is_valid",
        )
    positions = np.array(found, np.int64)
    _refuse_doubles(table, rows, positions, ["/".join(parts) for parts in given])
    return positions


def _by_tail(
    given: list[tuple[str, ...]], known: list[tuple[str, ...]]
) -> tuple[int, dict[tuple[str, ...], int]]:
    """How many last parts of a path to compare, and the image of each such tail.

    The deepest comparison by which most rows find an image; a shallower one only where its tails
    still tell the images apart.
    """
    deepest = max(map(len, known))
    best, best_found = (deepest, {parts: i for i, parts in enumerate(known)}), -1
    for depth in range(deepest, 0, -1):
        position = {parts[-depth:]: i for i, parts in enumerate(known)}
        if len(position) < len(known):
            break
        n_found = sum(parts[-depth:] in position for parts in given)
        if n_found > best_found:
            best, best_found = (depth, position), n_found
    return best


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))


def _refuse_doubles(
    table: FileTable, rows: Labels, positions: Labels, shown: Sequence[str]
) -> None:
    order = np.argsort(positions, kind="stable")
    twice = np.flatnonzero(np.diff(positions[order]) == 0)
    if len(twice):
        first, second = order[twice[0]], order[twice[0] + 1]
        raise LabError(
            f"{table.name} gives image {quoted(shown[second])} two labels, in "
            f"{table.place(int(rows[first]))} and {table.place(int(rows[second]))}",
            "one row per image",
            "keep one of the two rows",
        )
