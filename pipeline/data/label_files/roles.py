"""Which columns of a label file say which image a row is about."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.label_files.class_ids import whole_or_none
from pipeline.data.label_files.table import FileTable
from pipeline.data.label_files.text import looks_like_image
from pipeline.data.source import Labels
from pipeline.errors import LabError, quoted

Parts = npt.NDArray[Any]
"""Words [n]."""

_INDEX = {"index", "idx", "ind", "sample_index", "image_index", "position", "", "unnamed: 0"}
_PATH = {
    "path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path",
    "img", "img_path", "image_name", "name", "key", "id", "image_id", "sample_id",
}  # fmt: skip
_HELD_OUT = {"is_valid", "is_val", "is_validation", "is_test"}
_SPLIT = {"split", "subset", "partition"}
_TRAIN = {"train", "training", "tr"}
_HELD_OUT_FOLDERS = {"val", "valid", "validation", "test"}
_YES, _NO = {"true", "1", "1.0", "yes"}, {"false", "0", "0.0", "no"}


@dataclass(frozen=True)
class Roles:
    """Columns with a meaning of their own.

    Args:
        index: column of positions of the images, or None.
        path: column of their paths, or None.
        held_out: column that is true for images outside the training split, or None.
        split: column that names the split, or None.
    """

    index: str | None = None
    path: str | None = None
    held_out: str | None = None
    split: str | None = None

    def names(self) -> set[str]:
        """The columns that hold no labels."""
        return {n for n in (self.index, self.path, self.held_out, self.split) if n is not None}

    def parts(self, table: FileTable, n: int) -> Parts | None:
        """Parts that n rows are about, in lower case [n], as far as a column or their paths tell.

        Returns:
            Words such as train and test, empty where a path names no part; None where nothing
            tells.
        """
        if self.held_out is not None:
            return np.where(_flags(table, self.held_out), "test", "train").astype(object)
        if self.split is not None:
            words = [str(value).strip().lower() for value in table.columns[self.split]]
            return np.array([word or "none" for word in words], dtype=object)
        if self.path is not None:
            tops = np.array([_top(str(path)) for path in table.columns[self.path]], dtype=object)
            if any(top in _TRAIN for top in tops):
                return tops
        return None

    def training_rows(self, table: FileTable, n: int) -> Labels:
        """Rows of n about training images, as far as a column or their paths tell: int64 [m]."""
        parts = self.parts(table, n)
        keep = np.ones(n, bool)
        if parts is not None:
            keep = np.array([part in _TRAIN or not part for part in parts], bool)
        return np.flatnonzero(keep).astype(np.int64)


def roles_of(table: FileTable, labels: str | None) -> Roles:
    """Tell the columns that name images from those that hold labels.

    Args:
        table: the file.
        labels: the column of labels, if it was named; it has no other role, and columns of another
            length say nothing about its rows.

    Returns:
        The roles.
    """
    n = None if labels not in table.columns else len(table.columns[labels])
    others = {
        name: values
        for name, values in table.columns.items()
        if name != labels and n in (None, len(values))
    }
    found: dict[str, str] = {}
    if table.headed:
        for name, values in others.items():
            _take(found, _role(name, values), name)
    for name, values in others.items():  # whatever its name, in any language
        if name not in found.values():
            _take(found, _role_by_content(values, table.headed), name)
    if len(found) == len(table.columns):
        return Roles()  # a vector that happens to be called after an index
    return Roles(**found)


def _take(found: dict[str, str], role: str | None, name: str) -> None:
    if role is not None:
        found.setdefault(role, name)


def _role(name: str, values: npt.NDArray[Any]) -> str | None:
    plain = name.strip().lower()
    if plain in _HELD_OUT:
        return "held_out"
    if plain in _SPLIT and any(str(value).lower() in _TRAIN for value in values):
        return "split"
    if plain in _INDEX and whole_or_none(values) is not None:
        return "index"
    if plain in _PATH and _mostly_different(values):
        return "path" if whole_or_none(values) is None else "index"
    return None


def _role_by_content(values: npt.NDArray[Any], headed: bool) -> str | None:
    """The role that values show: names of images, words for splits, numbers that never repeat."""
    if values.dtype == object and len(values):
        if all(looks_like_image(str(value)) for value in values):
            return "path"
        words = {str(value).lower() for value in values}
        if len(words) > 1 and words <= _TRAIN | _HELD_OUT_FOLDERS and words & _TRAIN:
            return "split"
    whole = whole_or_none(values)
    if whole is None or len(whole) < 3 or len(np.unique(whole)) < len(whole):
        return None
    # Numbers under a name of their own may mean anything, unless they are the positions themselves.
    positions = whole.min() == 0 and whole.max() == len(whole) - 1
    return "index" if positions or not headed else None


def _mostly_different(values: npt.NDArray[Any]) -> bool:
    return len(values) > 0 and len({str(value) for value in values}) > len(values) / 2


def _flags(table: FileTable, column: str) -> npt.NDArray[np.bool_]:
    cells = [str(value).lower() for value in table.columns[column]]
    bad = next((i for i, cell in enumerate(cells) if cell not in _YES | _NO), None)
    if bad is not None:
        raise LabError(
            f"{table.name} {table.place(bad)}: {column} is {quoted(cells[bad])}",
            "True or False",
            "mend that row",
        )
    return np.array([cell in _YES for cell in cells], bool)


def _top(path: str) -> str:
    """The first folder of a path that is called after a split, or nothing."""
    folders = path.replace("\\", "/").lower().split("/")[:-1]
    return next((f for f in folders if f in _TRAIN | _HELD_OUT_FOLDERS), "")
