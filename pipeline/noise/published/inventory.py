"""The label files in a folder, recognised by content."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.dataset import load_dataset
from pipeline.errors import LabError
from pipeline.noise.arrays import Labels
from pipeline.noise.published.finding import Finding
from pipeline.noise.published.registry import PUBLISHED, Published, content_of
from pipeline.noise.readers import ENDINGS, read_columns

MANIFEST = "manifest.csv"


@dataclass(frozen=True, eq=False)
class LabelFile:
    """One vector of labels found in a folder.

    Args:
        name: path within the folder, with the column where the file has several.
        labels: int64 [n].
        known: what was published with this content, if anything.
    """

    name: str
    labels: Labels
    known: Published | None


def collect(folder: Path) -> Iterator[LabelFile | Finding]:
    """Read every label file below a folder.

    Args:
        folder: where to look.

    Yields:
        One item per vector of labels, or a finding for a file that cannot be read.

    Raises:
        LabError: if the folder is missing or holds no label file.
    """
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix in ENDINGS and p.name != MANIFEST]
    if not paths:
        raise LabError(f"{folder} holds no label files", f"files ending in {', '.join(ENDINGS)}")
    for path in paths:
        name = str(path.relative_to(folder))
        try:
            columns = read_columns(path)
        except LabError as error:
            yield Finding(name, "differs", str(error))
            continue
        for column, labels in columns.items():
            shown = name if len(columns) == 1 else f"{name}:{column}"
            yield LabelFile(shown, labels, PUBLISHED.get(content_of(labels)))


def clean_labels(files: Iterable[LabelFile]) -> dict[str, Labels]:
    """Clean CIFAR training labels, from the files themselves or from a prepared data set.

    Args:
        files: label files.

    Returns:
        int64 [50000] by data set name, for the data sets of which they are known.
    """
    found = {f.known.dataset: f.labels for f in files if f.known and f.known.convention == "clean"}
    for name in {"cifar10", "cifar100"} - set(found):
        try:
            found[name] = load_dataset(name).train_labels
        except LabError:
            continue  # not prepared here; without its clean labels its files are skipped
    return found


def read_manifest(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of the folder's manifest.csv by file name; empty where there is none."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file) if "file" in row}
