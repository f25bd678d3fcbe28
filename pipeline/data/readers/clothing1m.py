"""Clothing1M: a million web images of clothes with noisy labels, some with true ones."""

from pathlib import Path

from pipeline.data.data_spec import DataSpec
from pipeline.data.listed import Bad, ListedSource, ListedSplit, SplitLines
from pipeline.data.readers.list_files import (
    aligned_lines,
    is_label,
    labelled_lines,
    read_lines,
    require,
)
from pipeline.data.source import source_path
from pipeline.errors import quoted

CLASS_NAMES = (
    "T-Shirt",
    "Shirt",
    "Knitwear",
    "Chiffon",
    "Sweater",
    "Hoodie",
    "Windbreaker",
    "Jacket",
    "Downcoat",
    "Suit",
    "Shawl",
    "Dress",
    "Vest",
    "UnderWear",
)
_MEAN, _STD = (0.6959, 0.6537, 0.6371), (0.3113, 0.3192, 0.3214)

# A split is one file of paths with labels, or a list of paths joined with a table of labels.
_JOINED = {
    "noisy_train": "noisy_label_kv.txt",
    "clean_test": "clean_label_kv.txt",
    "clean_val": "clean_label_kv.txt",
    "clean_train": "clean_label_kv.txt",
}
_LIST_OF_SPLIT = {
    "train": "noisy_train",
    "test": "clean_test",
    "val": "clean_val",
    "clean_train": "clean_train",
}
_SELECTED_PATHS, _SELECTED_LABELS = "cc_select_img.txt", "cc_select_label.txt"


def read_clothing1m(spec: DataSpec) -> ListedSource:
    """Read `root/annotations`; the paths in it start at `root`.

    A split is `NAME.txt` (`path label` per line) where there is one, else `NAME_key_list.txt` (one
    path per line) joined with the table of labels `noisy_label_kv.txt` or `clean_label_kv.txt`.
    Data set: T. Xiao et al., Learning from Massive Noisy Labeled Data for Image Classification,
    CVPR 2015.

    Args:
        spec: settings of kind "clothing1m".

    Returns:
        Splits `train` (noisy labels) and `test`, `val`, `clean_train` (true labels).

    Raises:
        LabError: naming the lists that are missing.
    """
    root = source_path(spec)
    assert spec.root is not None  # source_path demands it
    folder = root / "annotations"
    names = dict(_LIST_OF_SPLIT)
    needed = []
    if spec.selection == "cc":
        del names["train"]
        needed += [folder / _SELECTED_PATHS, folder / _SELECTED_LABELS]
    needed += [file for name in names.values() for file in _files(folder, name)]
    require(dict.fromkeys(needed))
    bad: list[Bad] = []
    tables: dict[Path, dict[str, int]] = {}
    splits: dict[str, ListedSplit] = {}
    for split in _LIST_OF_SPLIT:
        lines = SplitLines(split, len(CLASS_NAMES), bad, clean=split != "train")
        if split in names:
            _read_split(_files(folder, names[split]), lines, tables)
        else:
            _read_selection(folder, lines)
        splits[split] = lines.split(spec.root)
    selected = "" if spec.selection == "all" else f", training images of the {spec.selection} lists"
    return ListedSource(
        splits=splits,
        class_names=CLASS_NAMES,
        mean=_MEAN,
        std=_STD,
        transform="clothing1m",
        description=f"published lists{selected}",
        bad=bad,
    )


def _files(folder: Path, name: str) -> list[Path]:
    """The one file of a split, or its list of paths and its table of labels."""
    whole = folder / f"{name}.txt"
    if whole.is_file():
        return [whole]
    return [folder / f"{name}_key_list.txt", folder / _JOINED[name]]


def _read_split(files: list[Path], lines: SplitLines, tables: dict[Path, dict[str, int]]) -> None:
    listed, *table = files
    if not table:
        for number, path, label in labelled_lines(listed, lines):
            lines.add(path, label, listed.name, number)
        return
    if table[0] not in tables:
        pairs = labelled_lines(table[0], lines)
        tables[table[0]] = {path: label for _, path, label in pairs}
    labels = tables[table[0]]
    for number, path in read_lines(listed):
        if path in labels:
            lines.add(path, labels[path], listed.name, number)
        else:
            lines.refuse(f"{path} has no label in {table[0].name}", listed.name, number, path)


def _read_selection(folder: Path, lines: SplitLines) -> None:
    for path, label in aligned_lines(folder / _SELECTED_PATHS, folder / _SELECTED_LABELS):
        if is_label(label.text):
            lines.add(path.text, int(label.text), _SELECTED_LABELS, label.number)
        else:
            lines.refuse(f"label {quoted(label.text)}", _SELECTED_LABELS, label.number, path.text)
