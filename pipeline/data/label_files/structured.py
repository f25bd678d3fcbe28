"""Label files in JSON: a list, a map from image to label, or columns by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.label_files.table import FileTable
from pipeline.errors import quoted


def columns_of_json(path: Path) -> FileTable:
    """The columns of a JSON file.

    Args:
        path: a list of labels (as DivideMix writes), a list of objects, an object of equally long
            lists, or one that maps an image's index or path to its label.

    Returns:
        Columns of numbers, booleans or text.

    Raises:
        ValueError: for text that is no JSON, a key given twice, or another form.
    """
    content = json.loads(path.read_bytes(), object_pairs_hook=_without_doubles)
    if isinstance(content, list):
        return FileTable(path.name, _columns_of_list(content, path.stem))
    if isinstance(content, dict):
        return _columns_of_object(content, path)
    raise ValueError("neither a list nor an object")


def _columns_of_object(content: dict[str, Any], path: Path) -> FileTable:
    values = list(content.values())
    if values and all(isinstance(value, list) for value in values):
        columns = {name: _vector(column) for name, column in content.items()}
        return FileTable(path.name, {k: v for k, v in columns.items() if v is not None})
    column = _vector(values)
    if column is None:
        raise ValueError("its values are neither labels nor lists of labels")
    keys = np.array(list(content), dtype=object)
    return FileTable(path.name, {"key": keys, path.stem: column})


def _columns_of_list(content: list[Any], name: str) -> dict[str, npt.NDArray[Any]]:
    if content and all(isinstance(row, dict) for row in content):
        names = content[0].keys()
        odd = next((i for i, row in enumerate(content) if row.keys() != names), None)
        if odd is not None:
            raise ValueError(f"row {odd} has other keys than row 0")
        found = {key: _vector([row[key] for row in content]) for key in names}
        return {key: column for key, column in found.items() if column is not None}
    column = _vector(content)
    if column is None:
        raise ValueError("a list that holds something else than labels")
    return {name: column}


def _vector(values: list[Any]) -> npt.NDArray[Any] | None:
    """Values as a vector: whole numbers, booleans, or anything mixed as text."""
    if any(isinstance(value, list | dict) for value in values):
        return None
    kinds = {type(value) for value in values}
    if kinds == {int}:
        try:
            return np.array(values, np.int64)
        except OverflowError:
            kinds = {str}
    if kinds in ({bool}, {float}, {int, float}):
        return np.array(values)
    return np.array(["" if value is None else str(value) for value in values], dtype=object)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"{quoted(key)} is given twice")
        content[key] = value
    return content
