"""What every reader of a source hands over: images that write themselves, labels, class names."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.data.data_spec import DataSpec, LabelKind
from pipeline.errors import LabError, quoted
from pipeline.files import project_root
from pipeline.identity import seed_stream

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


class Images(Protocol):
    """Images of a source, decoded only when they are written to their place."""

    def write(self, rows: Labels, out: Pixels, title: str) -> dict[int, str]:
        """Write image `rows[i]` of the source to `out[i]` [N, H, W, C] for every i.

        Returns:
            Of images that could not be read and are to be left out, what is wrong, by i.
        """

    def names(self, rows: Labels) -> list[str] | None:
        """Paths of images below the root, with forward slashes; None where there are none."""


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images that are in memory already, uint8 [N, H, W, C]."""

    array: Pixels

    def write(self, rows: Labels, out: Pixels, title: str) -> dict[int, str]:
        """Copy the images; takes no time worth a progress bar with `title`."""
        # Any mode but "raise" spares a copy of the whole; rows are always valid.
        np.take(self.array, rows, axis=0, out=out, mode="clip")
        return {}

    def names(self, rows: Labels) -> None:
        """Images in one array have no names."""


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set: rows of `images` [N], their labels [N], the true ones if known."""

    images: Images
    rows: Labels
    labels: Labels
    clean: Labels | None = None

    def take(self, positions: Labels) -> "Split":
        """The part of this part at `positions`, in that order."""
        clean = None if self.clean is None else self.clean[positions]
        return replace(self, rows=self.rows[positions], labels=self.labels[positions], clean=clean)


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as read, before it is written in the laboratory's form.

    Args:
        train: images and labels to learn from.
        test: images and labels to evaluate on; its labels are the truest the source has.
        class_names: name of every class, by label.
        image_shape: (height, width, channels) of every image.
        labels: whether the training labels count as clean.
        description: how it was read, without paths.
        left_out: what the source holds besides: numbers, by what it is.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    labels: LabelKind
    description: str
    left_out: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse labels out of range and classes nothing could be learned about."""
        n_classes = len(self.class_names)
        if n_classes < 2:
            raise LabError(
                f"{n_classes} class in the source",
                "two classes or more",
                "check root: it names the folder just above the classes, or above train and test",
            )
        for part, split in (("train", self.train), ("test", self.test)):
            for labels in (split.labels, split.clean):
                if labels is not None:
                    _check_range(part, labels, self.class_names)
        absent = np.flatnonzero(np.bincount(self.train.labels, minlength=n_classes) == 0)
        if absent.size:
            raise LabError(
                f"class {quoted(self.class_names[absent[0]])} has no training image",
                f"an image or more of each of the {n_classes} classes, labels from 0 without a gap",
                "add images of this class, or number the labels anew without it",
            )


def _check_range(part: str, labels: Labels, class_names: tuple[str, ...]) -> None:
    if labels.size == 0:
        raise LabError(
            f"no {part} images in the source",
            "one image or more",
            "check root: in params.yaml or --root",
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if wrong.size:
        raise LabError(
            f"label {labels[wrong[0]]} of {part} row {wrong[0]}",
            f"labels 0 to {len(class_names) - 1}",
            "check the label column, and whether labels count from 0",
        )


def hold_out(whole: Split, test_rate: float) -> tuple[Split, Split]:
    """Split into a train and a test part with the class proportions of the whole.

    The draw is the same on every machine and in every run; both parts keep the order of the source.

    Args:
        whole: every labelled image of a source without a test part.
        test_rate: fraction of the images held out, rounded up.

    Returns:
        The train part and the test part.

    Raises:
        LabError: if a class has one image only, or a part would be too small for all classes.
    """
    # Imported here because it takes a second, which only sources without a test part should cost.
    from sklearn.model_selection import train_test_split

    counts = np.bincount(whole.labels)
    if (single := np.flatnonzero(counts == 1)).size:
        raise LabError(
            f"one image only with label {single[0]}",
            "two or more, to hold one out for testing",
            "add images of this class, or give a test part of its own",
        )
    try:
        train, test = train_test_split(
            np.arange(len(whole.labels)),
            test_size=test_rate,
            stratify=whole.labels,
            random_state=seed_stream(0, "hold out") % 2**32,
        )
    except ValueError as error:
        raise LabError(
            f"test_rate {test_rate} of {len(whole.labels)} images ({error})",
            "parts with an image of every class",
            "change test_rate in params.yaml",
        ) from error
    return whole.take(np.sort(train)), whole.take(np.sort(test))


def source_path(spec: DataSpec) -> Path:
    """The folder or file a source lies in.

    Args:
        spec: settings of the data set.

    Returns:
        `root`, seen from the project root if it is relative.

    Raises:
        LabError: if no root is given or nothing lies there.
    """
    expected = "the folder or file with the images"
    remedy = "give root: in params.yaml or --root on the command line"
    if spec.root is None:
        raise LabError(f"no root for kind {spec.kind}", expected, remedy)
    path = located(spec.root)
    # Not path.exists(), which raises for names that no system would take.
    if not os.path.exists(path):
        raise LabError(f"root {quoted(str(path))} does not exist", expected, remedy)
    return path


def located(root: str) -> Path:
    """A root as a path of this machine: relative ones start at the project root, `~` is expanded.

    Raises:
        LabError: for the home folder of a user that the machine does not know.
    """
    try:
        return project_root() / Path(root).expanduser()
    except RuntimeError as error:
        raise LabError(
            f"path {quoted(root)}: {error}", "a path on this machine", "write the folder out"
        ) from error
