"""Image files sorted into one folder per class."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.data_spec import DataSpec
from pipeline.data.decode import BATCH, Encoded, decode_all, portions
from pipeline.data.source import Labels, Pixels, Source, Split, hold_out, source_path
from pipeline.errors import LabError

_ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
_TEST_FOLDERS = ("test", "val")


@dataclass(frozen=True, eq=False)
class FileImages:
    """Image files, decoded and resized when written."""

    files: tuple[Path, ...]

    def write(self, rows: Labels, out: Pixels, title: str) -> None:
        """Decode file `rows[i]` to `out[i]` [N, size, size, 3]."""
        images = (
            Encoded(place, str(self.files[row]), self.files[row]) for place, row in enumerate(rows)
        )
        decode_all(portions(images, BATCH), out, resize=True, title=title)


def read_image_folder(spec: DataSpec) -> Source:
    """Read `root/train/<class>` and `root/test/<class>` (or `val`), or `root/<class>` alone.

    Classes are numbered in the order of their sorted names; images are ordered by class, then by
    file name. Without a test folder, `test_rate` of the images are held out.

    Args:
        spec: settings with `root` and `image_size`.

    Returns:
        RGB images of `image_size`.

    Raises:
        LabError: if a folder is missing, a class is empty, or train and test differ in classes.
    """
    root = source_path(spec)
    if not root.is_dir():
        raise LabError(f"root {root} is not a folder", "a folder with one folder per class")
    has_train = (root / "train").is_dir()
    train_root = root / "train" if has_train else root
    test_root = next((root / name for name in _TEST_FOLDERS if (root / name).is_dir()), None)
    class_names = _classes(train_root)
    train = _split(train_root, class_names)
    if has_train and test_root is not None:
        if (found := _classes(test_root)) != class_names:
            odd = sorted(set(found) ^ set(class_names))[0]
            raise LabError(
                f"class {odd!r} is in only one of {train_root} and {test_root}",
                "the same classes in both",
            )
        test = _split(test_root, class_names)
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
    )


def _classes(folder: Path) -> tuple[str, ...]:
    found = (entry for entry in folder.iterdir() if entry.is_dir())
    names = tuple(sorted(entry.name for entry in found if not entry.name.startswith(".")))
    if not names:
        raise LabError(f"no folders in {folder}", "one folder per class, named like the class")
    return names


def _split(folder: Path, class_names: tuple[str, ...]) -> Split:
    of_class = [list(_images(folder / name)) for name in class_names]
    files = tuple(file for files in of_class for file in files)
    labels = np.repeat(np.arange(len(of_class)), [len(files) for files in of_class])
    return Split(FileImages(files), np.arange(len(files)), labels)


def _images(folder: Path) -> Iterator[Path]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _ENDINGS)
    if not files:
        raise LabError(
            f"no images in class folder {folder}", f"files named *{', *'.join(_ENDINGS)}"
        )
    yield from files
