"""A label table as a file for people and other programs: names of files and of classes."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pipeline.data.dataset import load_dataset
from pipeline.noise.label_table import load_table
from pipeline.written_frame import write_frame


def export_table(dataset: str, noise: str, path: Path) -> int:
    """Write the labels of a table.

    Args:
        dataset: name of the prepared data set.
        noise: name of the table.
        path: .csv or .parquet file to make or to replace. It gets the columns index, file (where
            images have names), noisy, noisy_name, and clean and clean_name where these are known.
            `import` reads it.

    Returns:
        Number of labels.

    Raises:
        LabError: for another ending, and a table that is missing, damaged or of other images.
    """
    table, images = load_table(dataset, noise), load_dataset(dataset)
    classes = pl.Series(images.card.class_names, dtype=pl.String)
    columns: dict[str, pl.Series] = {"index": pl.Series(table.index)}
    if images.train_files is not None:
        columns["file"] = pl.Series(images.train_files, dtype=pl.String).gather(table.index)
    for name, labels in (("noisy", table.y_noisy), ("clean", table.y_clean)):
        if labels is not None:
            columns |= {name: pl.Series(labels), f"{name}_name": classes.gather(labels)}
    frame = pl.DataFrame(columns)
    write_frame(frame, path)
    return len(frame)
