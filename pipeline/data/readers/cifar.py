"""CIFAR-10 and CIFAR-100, from the official archive or from Parquet files."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.data_spec import DataSpec
from pipeline.data.readers import cifar_archive
from pipeline.data.readers.parquet_parts import find_parts, parquet_files
from pipeline.data.readers.parquet_table import ImageTable, column_names
from pipeline.data.source import ArrayImages, Source, Split, source_path
from pipeline.errors import LabError

_CIFAR10 = """
    airplane automobile bird cat deer dog frog horse ship truck
"""

_CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
    crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house
    kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
    mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
    plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
    shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table
    tank telephone television tiger tractor train trout tulip turtle wardrobe whale
    willow_tree wolf woman worm
"""

CIFAR10_NAMES = tuple(_CIFAR10.split())
CIFAR100_NAMES = tuple(_CIFAR100.split())
"""Class names by label, as in the `meta` files of the archives."""


@dataclass(frozen=True)
class Layout:
    """What is where in one of the two data sets.

    Args:
        archive: the official archive.
        folder: folder that it unpacks to.
        train_files: its files of training images, in order.
        test_files: its files of test images.
        label_key: key of the labels in these files.
        label_columns: names of the label column in Parquet files, the first found counts.
        class_names: names of the classes.
        n_train: number of training images.
        n_test: number of test images.
    """

    archive: str
    folder: str
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    label_key: str
    label_columns: tuple[str, ...]
    class_names: tuple[str, ...]
    n_train: int = 50_000
    n_test: int = 10_000


LAYOUTS = {
    "cifar10": Layout(
        archive="cifar-10-python.tar.gz",
        folder="cifar-10-batches-py",
        train_files=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test_files=("test_batch",),
        label_key="labels",
        label_columns=("label",),
        class_names=CIFAR10_NAMES,
    ),
    "cifar100": Layout(
        archive="cifar-100-python.tar.gz",
        folder="cifar-100-python",
        train_files=("train",),
        test_files=("test",),
        label_key="fine_labels",
        label_columns=("fine_label", "label"),
        class_names=CIFAR100_NAMES,
    ),
}

_IMAGE_COLUMNS = ("image", "img")
_ORDER_COLUMN = "index"
_SHAPE = (32, 32, 3)


def read_cifar(spec: DataSpec) -> Source:
    """Read a copy at `root`, or download the official archive.

    `root` is the archive (.tar.gz), the folder it unpacks to, a folder that holds one of the two,
    or a folder with `train*.parquet` and `test*.parquet`, maybe in sub-folders as image hubs have
    them (columns `image` or `img`, `label` or `fine_label`, and maybe `index`, the position in the
    official archive, to sort by). The data sets: A. Krizhevsky, Learning Multiple Layers of
    Features from Tiny Images, 2009.

    Args:
        spec: settings of kind "cifar10" or "cifar100".

    Returns:
        Images [N, 32, 32, 3] in the order of the official archive, fine labels.

    Raises:
        LabError: if there is neither network nor copy, or the copy is damaged or incomplete.
    """
    layout = LAYOUTS[spec.kind]
    if spec.root is None:
        with tempfile.TemporaryDirectory() as folder:
            archive = cifar_archive.download(spec.kind, Path(folder))
            return _from_archive(spec.kind, layout, archive)
    root = source_path(spec)
    if archives := [place for place in _archive_places(root, layout) if place.exists()]:
        return _from_archive(spec.kind, layout, archives[0])
    parts = find_parts(root)
    if parts.train and parts.test:
        return _from_parquet(layout, parts.train, parts.test)
    raise LabError(
        f"nothing of {spec.kind} in {root}",
        f"{layout.archive}, {layout.folder}, or train.parquet and test.parquet",
        "give root: in params.yaml or --root on the command line",
    )


def source_files(kind: str, root: Path) -> list[Path]:
    """What is read of a root: the archive, its folder, or Parquet files."""
    archives = [place for place in _archive_places(root, LAYOUTS[kind]) if place.exists()]
    return archives[:1] or list(parquet_files(root))


def _archive_places(root: Path, layout: Layout) -> list[Path]:
    """Where the archive or its folder may lie, as seen from the root that was given."""
    if root.is_file():
        return [root] if root.suffix != ".parquet" else []
    if root.name == layout.folder or (root / layout.test_files[0]).is_file():
        return [root]
    return [root / layout.folder, root / layout.archive]


def _from_archive(kind: str, layout: Layout, place: Path) -> Source:
    known = cifar_archive.official(kind)
    batches = cifar_archive.read_batches(
        place,
        (*layout.train_files, *layout.test_files),
        layout.label_key,
        checksums=dict((*known.train_list, *known.test_list)),
    )
    genuine = all(batch.genuine for batch in batches.values())
    return _source(
        layout,
        train=_joined([batches[name] for name in layout.train_files]),
        test=_joined([batches[name] for name in layout.test_files]),
        description="official python archive, checksums verified"
        if genuine
        else "python archive, checksums are not the official ones",
    )


def _joined(batches: list[cifar_archive.Batch]) -> Split:
    labels = np.concatenate([batch.labels for batch in batches])
    images = np.concatenate([batch.images for batch in batches])
    return Split(ArrayImages(images), np.arange(len(labels)), labels)


def _from_parquet(layout: Layout, train_files: list[Path], test_files: list[Path]) -> Source:
    return _source(
        layout,
        train=_table_split(train_files, layout.label_columns),
        test=_table_split(test_files, layout.label_columns),
        description="Parquet files of encoded images",
    )


def _table_split(files: list[Path], label_columns: tuple[str, ...]) -> Split:
    names = column_names(files[0])
    image_column = _first_of(_IMAGE_COLUMNS, names, files[0])
    table = ImageTable(files, image_column, own=False)
    labels = table.integers(_first_of(label_columns, names, files[0]))
    if _ORDER_COLUMN not in names:
        return Split(table, np.arange(len(labels)), labels)
    index = table.integers(_ORDER_COLUMN)
    rows = np.argsort(index, kind="stable")
    if not np.array_equal(index[rows], np.arange(len(index))):
        raise LabError(
            f"column {_ORDER_COLUMN!r} of {files[0]} does not number the images",
            f"0 to {len(index) - 1}, each once",
            "fetch the files again, or remove this column if their order is the official one",
        )
    return Split(table, rows, labels[rows])


def _first_of(wanted: tuple[str, ...], names: list[str], file: Path) -> str:
    for name in wanted:
        if name in names:
            return name
    raise LabError(
        f"{file} has columns {', '.join(names)}",
        f"a column {' or '.join(wanted)}",
        "take the files of this data set, or kind: parquet for images of your own",
    )


def _source(layout: Layout, train: Split, test: Split, description: str) -> Source:
    for part, split, n in (("train", train, layout.n_train), ("test", test, layout.n_test)):
        if len(split.rows) != n:
            raise LabError(
                f"{len(split.rows)} {part} images",
                f"{n}, the whole data set",
                "fetch the files again, or give kind: parquet for a part of them",
            )
    return Source(
        train=train,
        test=test,
        class_names=layout.class_names,
        image_shape=_SHAPE,
        labels="clean",
        description=description,
    )
