"""The label table: clean and noisy labels by position, bound by digest to their images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.data.dataset import load_dataset
from pipeline.errors import LabError, quoted, suggest
from pipeline.files import labels_folder, replacing_folder, split_name
from pipeline.fingerprints import content_digest
from pipeline.noise.arrays import Labels
from pipeline.noise.models.open_set import Replacement
from pipeline.noise.noise_card import NoiseCard, labels_digest

CARD, LABELS = "card.json", "labels.parquet"


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Noisy labels of a training split, or of its first samples.

    Args:
        index: int64 [N], positions in the training split, ascending.
        y_clean: int64 [N], or None where nobody knows the true labels.
        y_noisy: int64 [N], labels to train on.
        card: their description.
        openset: images that are replaced by those of another data set, or None.
    """

    index: Labels
    y_clean: Labels | None
    y_noisy: Labels
    card: NoiseCard
    openset: Replacement | None = None


def save_table(table: LabelTable, folder: Path) -> None:
    """Write a table; the folder appears complete or not at all.

    Args:
        table: the table.
        folder: where `labels.parquet` (index, clean, noisy, and replacement if images are replaced)
            and `card.json` go; replaces an earlier table.
    """
    clean = table.y_clean if table.y_clean is not None else [None] * len(table.index)
    frame = pl.DataFrame(
        {"index": table.index, "clean": clean, "noisy": table.y_noisy},
        schema={"index": pl.Int64, "clean": pl.Int64, "noisy": pl.Int64},
    )
    if table.openset is not None:
        replaced = pl.DataFrame(
            {"index": table.openset.index, "replacement": table.openset.source_index}
        )
        frame = frame.join(replaced, on="index", how="left", maintain_order="left")
    with replacing_folder(folder) as new:
        frame.write_parquet(new / LABELS, compression="zstd")
        card = table.card.to_file(content_digest(new / LABELS) or "")
        (new / CARD).write_text(card + "\n", encoding="utf-8")


def load_table(dataset: str, noise: str) -> LabelTable:
    """Read a table and verify that it is intact and belongs to the prepared data set.

    Args:
        dataset: name of the data set.
        noise: name of the table, or of a draw of it (`files.drawn_name`).

    Returns:
        The table.

    Raises:
        LabError: if it is missing, damaged, or made for other images or another order.
    """
    table = open_table(labels_folder(dataset, *split_name(noise)))
    found, expected = table.card.data_digest, load_dataset(dataset).card.digest
    if found != expected:
        raise LabError(
            f"label table {quoted(noise)} was made for images with digest {found}",
            f"one for digest {expected}, which data set {quoted(dataset)} has",
            table_remedy(dataset, noise),
        )
    if table.openset is not None:
        _verify_source(table, table.openset)
    return table


def open_table(folder: Path) -> LabelTable:
    """Read a table and verify its own digest, whatever data set is prepared here.

    Args:
        folder: the table's folder, named after data set and table.

    Returns:
        The table.

    Raises:
        LabError: if it is missing or damaged.
    """
    dataset, noise = folder.parent.name, folder.name
    if not (folder / CARD).exists():
        raise LabError(
            f"label table {quoted(noise)} of {quoted(dataset)} is not made",
            *suggest(noise, made_tables(dataset), table_remedy(dataset, noise)),
        )
    try:
        card, labels_file = NoiseCard.from_file((folder / CARD).read_bytes())
        if content_digest(folder / LABELS) != labels_file:
            raise ValueError(f"{LABELS} is not the file that its card says")
        # An open file, as a path with [ in it would be taken for a pattern.
        with (folder / LABELS).open("rb") as file:
            table = _table(pl.read_parquet(file), card)
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
        raise LabError(
            f"label table {quoted(noise)} of {quoted(dataset)} is damaged ({error})",
            f"{LABELS} and {CARD} as they were written",
            table_remedy(dataset, noise),
        ) from error
    found = labels_digest(table.index, table.y_clean, table.y_noisy, table.openset)
    if found != card.labels_digest:
        raise LabError(
            f"label table {quoted(noise)} of {quoted(dataset)} has digest {found}",
            f"digest {card.labels_digest}, as its card says",
            table_remedy(dataset, noise),
        )
    return table


def made_tables(dataset: str) -> list[str]:
    """Names of the tables of a data set that lie on disk."""
    cards = labels_folder(dataset, "any").parent.glob(f"[!.]*/{CARD}")
    return sorted({split_name(card.parent.name)[0] for card in cards})


def table_remedy(dataset: str, noise: str) -> str:
    """What to type to make a table, or one of its draws, anew."""
    name, draw = split_name(noise)
    which = "" if draw is None else f" --draws {draw}"
    return f"uv run python -m pipeline.stages.noise {dataset} {name}{which}"


def sealed(table: LabelTable) -> LabelTable:
    """The same table with the digest of its labels written into its card."""
    found = labels_digest(table.index, table.y_clean, table.y_noisy, table.openset)
    return replace(table, card=replace(table.card, labels_digest=found))


def _table(frame: pl.DataFrame, card: NoiseCard) -> LabelTable:
    columns = {name: frame[name] for name in ("index", "clean", "noisy")}
    known = columns["clean"].null_count() == 0
    openset = None
    if "replacement" in frame.columns:
        replaced = frame.filter(pl.col("replacement").is_not_null())
        openset = Replacement(
            card.details["source"],
            card.details["source_digest"],
            _int64(replaced["index"]),
            _int64(replaced["replacement"]),
        )
    return LabelTable(
        index=_int64(columns["index"]),
        y_clean=_int64(columns["clean"]) if known else None,
        y_noisy=_int64(columns["noisy"]),
        card=card,
        openset=openset,
    )


def _int64(column: pl.Series) -> Labels:
    return np.array(column.to_numpy(), dtype=np.int64)


def _verify_source(table: LabelTable, openset: Replacement) -> None:
    found, expected = openset.source_digest, load_dataset(openset.source).card.digest
    if found != expected:
        raise LabError(
            f"label table {quoted(table.card.name)} takes images with digest {found}",
            f"one from digest {expected}, which data set {quoted(openset.source)} has",
            table_remedy(table.card.dataset, table.card.name),
        )
