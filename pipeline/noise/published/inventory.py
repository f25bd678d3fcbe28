"""The label files in a folder, recognised by content."""

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from pipeline.data.dataset import load_dataset
from pipeline.data.label_files.formats import ENDINGS
from pipeline.errors import LabError, quoted
from pipeline.noise.arrays import Labels
from pipeline.noise.file_labels import whole_columns
from pipeline.noise.published.registry import PUBLISHED, Published, content_of

MANIFEST = "manifest.csv"
_NOTES = (".txt", ".json")
"""Endings of label files that notes beside them have, too."""
_MOST_ENTRIES = 100_000
"""Of a folder of label files; more are a whole disk, whose walk would take minutes."""

Verdict = Literal["ok", "near", "differs", "unknown", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: what was looked at, how it came out, and the figures.

    Args:
        subject: file or recipe.
        verdict: ok; near (as close as these inputs allow); differs; unknown (nothing published to
            compare with, figures only); skipped (an input is not here).
        text: figures, and for `skipped` what is needed.
    """

    subject: str
    verdict: Verdict
    text: str

    def __str__(self) -> str:
        return f"{self.verdict:8s} {self.subject}: {self.text}"


@dataclass(frozen=True, eq=False)
class LabelFile:
    """One vector of labels found in a folder.

    Args:
        name: path within the folder, with the column where the file has several.
        labels: int64 [n].
        known: what was published with this content, if anything.
        sha256: of the file.
    """

    name: str
    labels: Labels
    known: Published | None
    sha256: str = ""


def collect(folder: Path) -> Iterator[LabelFile | Finding]:
    """Read every label file below a folder.

    Args:
        folder: where to look.

    Yields:
        One item per vector of labels, or a finding for a file that cannot be read.

    Raises:
        LabError: if the folder is missing, holds no label file, or far too much else.
    """
    entries = list(islice(folder.rglob("*"), _MOST_ENTRIES + 1))
    if len(entries) > _MOST_ENTRIES:
        raise LabError(
            f"{quoted(str(folder))} holds more than {_MOST_ENTRIES:,} entries",
            "the folder of the label files",
            "a folder further down",
        )
    paths = [p for p in sorted(entries) if p.suffix in ENDINGS and p.name != MANIFEST]
    if not paths:
        raise LabError(
            f"{quoted(str(folder))} holds no label files",
            f"files ending in {', '.join(ENDINGS)}",
            "check the path of the folder",
        )
    for path in paths:
        name = str(path.relative_to(folder))
        try:
            columns = whole_columns(path)
        except LabError as error:
            yield Finding(name, "skipped" if path.suffix in _NOTES else "differs", str(error))
            continue
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        for column, labels in columns.items():
            shown = name if len(columns) == 1 else f"{name}:{column}"
            yield LabelFile(shown, labels, PUBLISHED.get(content_of(labels)), sha256)


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
    """Rows of the folder's manifest.csv by file name; empty where there is none.

    Raises:
        LabError: if it is no CSV file with a column called file.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [{k: v or "" for k, v in row.items() if k} for row in csv.DictReader(file)]
        return {row["file"]: row for row in rows}
    except (ValueError, KeyError, csv.Error) as error:
        raise LabError(
            f"{quoted(str(path))} cannot be read ({type(error).__name__}: {error})",
            "a CSV file with a column called file",
            "mend or remove it",
        ) from error
