"""WebVision 1.0, its first classes (Mini-WebVision), and the validation part of ILSVRC2012."""

from pathlib import Path

from pipeline.data.data_spec import DataSpec
from pipeline.data.listed import Bad, ListedSource, ListedSplit, SplitLines
from pipeline.data.readers.list_files import is_label, labelled_lines, read_lines, require
from pipeline.data.source import located, source_path
from pipeline.data.views import CONSTANTS
from pipeline.errors import LabError

N_CLASSES = 1000
_VALIDATION_FOLDER, _ILSVRC_FOLDER = "val_images_256", "ILSVRC2012_img_val"
_ILSVRC_LABELS, _SYNSETS = "ILSVRC2012_val_label.txt", "synsets.txt"


def read_webvision(spec: DataSpec) -> ListedSource:
    """Read the lists in `root/info`; the paths of the training lists start at `root`.

    With `n_classes` only the Google part is read, as Mini-WebVision is defined; else both parts.
    Data sets: W. Li et al., WebVision Database, 2017; O. Russakovsky et al., ImageNet Large Scale
    Visual Recognition Challenge, IJCV 2015.

    Args:
        spec: settings of kind "webvision".

    Returns:
        Splits `train` (web labels), `test` (WebVision's validation part) and, if its folder is
        there, `ilsvrc` (ILSVRC2012's validation part), all of the first `n_classes` classes.

    Raises:
        LabError: naming the lists that are missing, or if their numbers of classes disagree.
    """
    root = source_path(spec)
    assert spec.root is not None  # source_path demands it
    info = root / "info"
    parts = ("google",) if spec.n_classes else ("google", "flickr")
    train_lists = [info / f"train_filelist_{part}.txt" for part in parts]
    # A copy of this list in circulation lies one folder higher.
    higher = root / "val_filelist.txt"
    validation = higher if higher.is_file() else info / "val_filelist.txt"
    needed = [*train_lists, validation, info / _SYNSETS]
    ilsvrc_root = spec.ilsvrc_root or f"{spec.root}/ILSVRC2012"
    ilsvrc = located(ilsvrc_root)
    has_ilsvrc = spec.ilsvrc_root is not None or ilsvrc.is_dir()
    if has_ilsvrc:
        needed += [ilsvrc / _ILSVRC_LABELS, ilsvrc / _SYNSETS]
    require(needed)
    synsets = _synsets(info / _SYNSETS)
    bad: list[Bad] = []
    n_classes = spec.n_classes or N_CLASSES
    splits = {
        "train": _read(train_lists, "", SplitLines("train", N_CLASSES, bad, False), spec.root),
        "test": _read(
            [validation],
            f"{_VALIDATION_FOLDER}/",
            SplitLines("test", N_CLASSES, bad, True),
            spec.root,
        ),
    }
    if has_ilsvrc:
        if list(_synsets(ilsvrc / _SYNSETS)) != list(synsets):
            raise LabError(
                f"{ilsvrc / _SYNSETS} and {info / _SYNSETS} disagree",
                "the same ids in one order",
                "take both lists as they were published",
            )
        lines = SplitLines("ilsvrc", N_CLASSES, bad, True)
        splits["ilsvrc"] = _read_ilsvrc(ilsvrc, list(synsets), lines, ilsvrc_root)
    imagenet_mean, imagenet_std = CONSTANTS["imagenet"]
    return ListedSource(
        splits={name: _first_classes(split, n_classes) for name, split in splits.items()},
        class_names=tuple(f"{wnid} {names}" for wnid, names in synsets.items())[:n_classes],
        mean=imagenet_mean,
        std=imagenet_std,
        transform="webvision-dal",
        description=f"published lists, training images of {' and '.join(parts)}",
        bad=bad,
    )


def _synsets(file: Path) -> dict[str, str]:
    """First name of every class by WordNet id; names occur twice, ids do not.

    Raises:
        LabError: unless it lists 1,000 different ids in sorted order.
    """
    split = (line.text.partition(" ") for line in read_lines(file))
    names = {wnid: all_names.split(",")[0].strip() for wnid, _, all_names in split}
    if len(names) != N_CLASSES or list(names) != sorted(names):
        raise LabError(
            f"{file} names {len(names)} different classes, or they are not in sorted order",
            f"{N_CLASSES} lines 'wnid name, name', sorted by wnid",
            f"fetch {file.name} again",
        )
    return names


def _read(files: list[Path], prefix: str, lines: SplitLines, root: str) -> ListedSplit:
    for file in files:
        for number, path, label in labelled_lines(file, lines):
            lines.add(prefix + path, label, file.name, number)
    return lines.split(root)


def _read_ilsvrc(folder: Path, wnids: list[str], lines: SplitLines, root: str) -> ListedSplit:
    """Read lines `file label wnid`; the wnid decides whether the label counts as WebVision's do."""
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    for number, text in read_lines(folder / _ILSVRC_LABELS):
        match text.split():
            case [name, label, wnid] if is_label(label):
                if label_of.get(wnid) == int(label):
                    lines.add(f"{_ILSVRC_FOLDER}/{name}", int(label), _ILSVRC_LABELS, number)
                else:
                    reason = f"label {label} for {wnid}, {label_of.get(wnid)} by {_SYNSETS}"
                    lines.refuse(reason, _ILSVRC_LABELS, number, f"{_ILSVRC_FOLDER}/{name}")
            case _:
                lines.refuse("not of the form 'file label wnid'", _ILSVRC_LABELS, number)
    return lines.split(root)


def _first_classes(split: ListedSplit, n_classes: int) -> ListedSplit:
    return split.without((split.labels >= n_classes).nonzero()[0].tolist())
