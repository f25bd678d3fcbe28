"""Data sets whose images stay in files of their own, as their published lists describe them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.source import Labels, located
from pipeline.errors import quoted

Paths = npt.NDArray[Any]
"""Text [N] in one block of memory: worker processes share it, as they would not share str."""

UNKNOWN = -1
"""Stands in arrays of labels for one that nobody knows."""


@dataclass(frozen=True)
class Bad:
    """A line of a list, or an image, that cannot be used.

    Args:
        split: the part of the data set it belongs to.
        reason: what is wrong.
        path: the image, below the root of its split; None for a line that names none.
        list_file: name of the list; None for an image.
        line: number of the line from 1; None for an image.
    """

    split: str
    reason: str
    path: str | None = None
    list_file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        """Where it is and what is wrong."""
        place = self.path if self.list_file is None else f"{self.list_file} line {self.line}"
        return f"{place}: {self.reason}"


@dataclass(frozen=True, eq=False)
class IndexedImages:
    """Images of one split in files of their own.

    Args:
        dataset: name of the data set.
        split: name of the split.
        folder: what the paths start at.
        paths: text [N].
    """

    dataset: str
    split: str
    folder: Path
    paths: Paths

    def __len__(self) -> int:
        return len(self.paths)

    def file(self, position: int) -> Path:
        """The file of one image."""
        return self.folder / str(self.paths[position])


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """A split beside `train` and `test`: its images and its true labels, int64 [N]."""

    images: IndexedImages
    labels: Labels


@dataclass(frozen=True, eq=False)
class ListedSplit:
    """Images of one split and their labels, in the order of its list.

    Args:
        root: folder that the paths start at; relative to the project root unless absolute.
        paths: text [N], with forward slashes.
        y_noisy: int64 [N], given labels, or UNKNOWN.
        y_clean: int64 [N], true labels, or UNKNOWN.
    """

    root: str
    paths: Paths
    y_noisy: Labels
    y_clean: Labels

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def folder(self) -> Path:
        """The root as a path of this machine."""
        return located(self.root)

    @property
    def labels(self) -> Labels:
        """The label that decides a sample's class: the given one, else the true one, int64 [N]."""
        return np.where(self.y_noisy == UNKNOWN, self.y_clean, self.y_noisy)

    def images(self, dataset: str, name: str) -> IndexedImages:
        """The images, where they lie on this machine; for messages with the names of both."""
        return IndexedImages(dataset, name, self.folder, self.paths)

    def without(self, positions: Sequence[int]) -> "ListedSplit":
        """The same split but for some positions."""
        kept = np.delete(np.arange(len(self)), np.asarray(positions, dtype=np.int64))
        return replace(
            self, paths=self.paths[kept], y_noisy=self.y_noisy[kept], y_clean=self.y_clean[kept]
        )


@dataclass(frozen=True, eq=False)
class ListedSource:
    """A data set as read from its lists.

    Args:
        splits: `train`, `test` and maybe others; all but `train` have true labels.
        class_names: name of every class, by label.
        mean: per channel, of pixels / 255, as the published systems use it.
        std: per channel, in the same way.
        transform: the usual one; a name in `transforms.TRANSFORMS`.
        description: how it was read, without paths.
        bad: lines that could not be used, and later images.
        counts: numbers of entries besides those of the splits, for the comparison with what was
            published.
        left_out: entries that say nothing about any image of the splits: numbers, by what they are.
    """

    splits: dict[str, ListedSplit]
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    transform: str
    description: str
    bad: list[Bad]
    counts: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


class SplitLines:
    """Collects the lines of one split; what cannot be used goes to `bad`.

    Args:
        split: its name.
        n_classes: number of classes.
        bad: takes the faulty lines.
        clean: whether the labels of the lists are the true ones.
    """

    def __init__(self, split: str, n_classes: int, bad: list[Bad], clean: bool) -> None:
        self._split, self._n_classes, self._bad, self._clean = split, n_classes, bad, clean
        self._line_of: dict[str, int] = {}
        self._labels: list[int] = []

    def __contains__(self, path: str) -> bool:
        return path in self._line_of

    def add(self, path: str, label: int, list_file: str, line: int) -> None:
        """Take an image with its label, unless label or path are wrong."""
        if not 0 <= label < self._n_classes:
            self.refuse(f"label {label}, not 0 to {self._n_classes - 1}", list_file, line, path)
        elif path.startswith("/") or ".." in path.split("/"):
            self.refuse(f"{quoted(path)} leads out of the root", list_file, line, path)
        elif path in self._line_of:
            reason = f"{path} again, after line {self._line_of[path]}"
            self.refuse(reason, list_file, line, path)
        else:
            self._line_of[path] = line
            self._labels.append(label)

    def refuse(self, reason: str, list_file: str, line: int, path: str | None = None) -> None:
        """Note a line that cannot be used."""
        self._bad.append(Bad(self._split, reason, path, list_file, line))

    def split(self, root: str, verified: dict[str, bool] | None = None) -> ListedSplit:
        """What was collected.

        Args:
            root: folder that the paths start at.
            verified: whether somebody found the given label of an image right, by path.
        """
        labels = np.array(self._labels, dtype=np.int64)
        unknown = np.full(len(labels), UNKNOWN)
        y_noisy, y_clean = (unknown, labels) if self._clean else (labels, unknown)
        if verified is not None:
            right = [verified.get(path, False) for path in self._line_of]
            y_clean = np.where(np.array(right, dtype=bool), labels, UNKNOWN)
        return ListedSplit(root, as_paths(list(self._line_of)), y_noisy, y_clean)


def as_paths(paths: list[str]) -> Paths:
    """Paths [N] as an array."""
    return np.array(paths, dtype=np.dtypes.StringDType())
