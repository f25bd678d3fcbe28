"""Image files sorted into one folder per class."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.data_spec import DataSpec
from pipeline.data.images.decode import BATCH, ENDINGS_OF, Encoded, decode_all, portions
from pipeline.data.readers.parts import choose_parts, is_junk, is_part, speaks_of_parts
from pipeline.data.source import Labels, Pixels, Source, Split, hold_out, source_path
from pipeline.errors import LabError, quoted

_ENDINGS = frozenset(ending for endings in ENDINGS_OF.values() for ending in endings)
_LIST_ENDINGS = (".txt", ".csv", ".tsv", ".json", ".lst")
_LAYOUT = "ROOT/CLASS/*, or ROOT/train/CLASS/* and maybe ROOT/test/CLASS/*"


@dataclass(frozen=True, eq=False)
class FileImages:
    """Image files, decoded and resized when written.

    Args:
        root: what their names start at.
        files: the files.
        skip: leave out what cannot be decoded.
    """

    root: Path
    files: tuple[Path, ...]
    skip: bool

    def write(self, rows: Labels, out: Pixels, title: str) -> dict[int, str]:
        """Decode file `rows[i]` to `out[i]` [N, size, size, 3]; see `Images`."""
        images = (
            Encoded(place, str(self.files[row]), self.files[row]) for place, row in enumerate(rows)
        )
        return decode_all(portions(images, BATCH), out, own=True, skip=self.skip, title=title)

    def names(self, rows: Labels) -> list[str]:
        """Paths of the files below the root."""
        return [self.files[row].relative_to(self.root).as_posix() for row in rows]


def read_image_folder(spec: DataSpec) -> Source:
    """Read `root/train/<class>` and `root/test/<class>`, or `root/<class>` alone.

    A test part may also be called `val`, `valid` or `validation`, all in any case; without one,
    `test_rate` of the images are held out. Classes are numbered in the order of their sorted names.
    Images may lie in sub-folders of their class; they are ordered by class, then by path. Hidden
    files and those that systems leave behind are skipped.

    Args:
        spec: settings with `root` and `image_size`.

    Returns:
        RGB images of `image_size`.

    Raises:
        LabError: if a folder is missing, a class is empty, train and test differ in classes, or
            folders can be read as parts or as classes.
    """
    root = source_path(spec)
    if not root.is_dir():
        raise LabError(f"root {quoted(str(root))} is not a folder", _LAYOUT, "check root:")
    left_out: Counter[str] = Counter()
    folders = _folders(root)
    # A class may be called `train`, like the vehicle: a part is a folder of folders.
    deep = [name for name in folders if _folders(root / name)]
    names = [name for name in deep if is_part(name) or name == spec.test_part]
    parts = choose_parts(names, spec.test_part, str(root))
    if parts.train is None:
        _refuse_parts(root, folders)
        train_root = root
    else:
        train_root = root / parts.train
        if parts.test is None and spec.test_part is None:
            _refuse_other_parts(root, parts.train, deep)
        for name in set(folders) - set(parts):
            left_out[f"images in {name}"] += len(image_files(root / name, Counter()))
    class_names = _classes(train_root)
    train = _split(spec, root, train_root, class_names, left_out)
    if parts.train is not None and parts.test is not None:
        test_root = root / parts.test
        if (found := _classes(test_root)) != class_names:
            odd = min(set(found) ^ set(class_names))
            raise LabError(
                f"class {quoted(odd)} is in only one of {train_root} and {test_root}",
                "the same classes in both",
                "move the folder, or give test_part: none in params.yaml to hold out images",
            )
        test = _split(spec, root, test_root, class_names, left_out)
    else:
        train, test = hold_out(train, spec.test_rate)
    assert spec.image_size is not None  # the settings demand it for this kind
    return Source(
        train=train,
        test=test,
        class_names=class_names,
        image_shape=(spec.image_size, spec.image_size, 3),
        labels=spec.labels,
        description="folders of image files",
        left_out=dict(left_out),
    )


def _refuse_other_parts(root: Path, train: str, folders: list[str]) -> None:
    """Refuse to hold images out while a folder beside the training part holds its classes, too."""
    classes = set(_folders(root / train))
    for name in folders:
        if name != train and classes & set(_folders(root / name)):
            raise LabError(
                f"{quoted(name)} beside {train} in {root} holds classes, too",
                "the images to test on in a folder called test or val",
                f"test_part: {name} in params.yaml to test on them, or test_part: none to hold out "
                f"images of {train}",
            )


def _refuse_parts(root: Path, folders: list[str]) -> None:
    """Refuse folders that would be read as classes, and are parts or hold parts."""
    remedy = "name the folder of training images train, the one to test on test or val"
    odd = [name for name in folders if speaks_of_parts(name)]
    # One alone may be a class, like the vehicle `train`, if images lie in it.
    if len(odd) > 1 or any(_folders(root / name) for name in odd):
        given = f"{', '.join(odd)} in {root}, which are no train and test with class folders"
        raise LabError(given, _LAYOUT, remedy)
    for name in folders:
        if inner := [part for part in _folders(root / name) if is_part(part)]:
            inside = ", ".join(inner)
            raise LabError(f"{inside} inside {root / name}", _LAYOUT, f"check root; {remedy}")


def _folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not is_junk(entry.name))


def _classes(folder: Path) -> tuple[str, ...]:
    names = tuple(_folders(folder))
    if not names:
        raise LabError(
            f"no folders in {folder}",
            "one folder per class, named like the class",
            "sort the images into such folders, or check root:",
        )
    return names


def _split(
    spec: DataSpec, root: Path, folder: Path, class_names: tuple[str, ...], left_out: Counter[str]
) -> Split:
    """The images of one part; what lies between them is counted in `left_out`."""
    loose = [entry.name for entry in os.scandir(folder) if entry.is_file()]
    if any(map(_is_image, loose)):
        left_out["images outside the class folders"] += sum(map(_is_image, loose))
    if any(map(_is_split_list, loose)):
        left_out["lists of splits, which are not followed"] += sum(map(_is_split_list, loose))
    of_class = [_images(folder / name, left_out) for name in class_names]
    files = tuple(file for files in of_class for file in files)
    labels = np.repeat(np.arange(len(of_class)), [len(files) for files in of_class])
    images = FileImages(root, files, skip=spec.on_bad_image == "skip")
    return Split(images, np.arange(len(files)), labels)


def _images(folder: Path, left_out: Counter[str]) -> list[Path]:
    """The images in a class folder, sorted by path."""
    others: Counter[str] = Counter()
    files = image_files(folder, others)
    if not files:
        held = f" (it holds {', '.join(others)})" if others else ""
        raise LabError(
            f"no images in class folder {folder}{held}",
            f"files named *{', *'.join(sorted(_ENDINGS))}",
            "add images, or remove the folder",
        )
    left_out.update(others)
    return sorted(files)


def image_files(folder: Path, others: Counter[str]) -> list[Path]:
    """The image files at any depth of a folder, by their endings; `others` counts the rest."""
    files = []
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not is_junk(name)]
        others.update("links to folders" for name in inner if os.path.islink(f"{place}/{name}"))
        for name in names:
            if _is_image(name):
                files.append(Path(place, name))
            elif not is_junk(name):
                ending = os.path.splitext(name)[1].lower()
                others[f"files ending in {ending}" if ending else "files without ending"] += 1
    return files


def _is_split_list(name: str) -> bool:
    return name.lower().endswith(_LIST_ENDINGS) and (
        "split" in name.lower() or speaks_of_parts(name)
    )


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _ENDINGS and not is_junk(name)
