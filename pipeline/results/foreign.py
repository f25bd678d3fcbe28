"""Logs of other programs as rows of the store that nothing takes for runs of this laboratory.

Such a row has the method `foreign` and is called `foreign/NAME`; its key begins with `x`, where
those of runs begin with `r`, so that no cell of a grid can have it. What it is said to be (method,
settings, source) stands in its settings. It has epochs and no samples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, Field

from pipeline.config import STRICT, read_yaml, validated
from pipeline.csv_rows import CsvRow, read_csv
from pipeline.errors import LabError, quoted
from pipeline.identity import digest
from pipeline.results.schema import CURVES, EPOCHS, SAMPLES
from pipeline.results.store import Store

FOREIGN = "foreign"
"""The method of such rows; no method script has this name."""
UNKNOWN = "unknown"
"""What a text column holds where the card does not say."""
_EXAMPLE = "name, dataset, noise, noise_kind, seed and source; docs/published.md has an example"
_REAL = tuple(name for name in CURVES if EPOCHS[name].is_float())
_WORD = Field(min_length=1, max_length=200)


class Card(BaseModel):
    """What somebody says about a log."""

    model_config = STRICT

    name: str = _WORD
    """What tables call it, after `foreign/`."""
    source: str = _WORD
    """Where it comes from: a repository with commit and path, a paper, a person."""
    dataset: str = _WORD
    noise: str = _WORD
    """Name of its labels, as that of a label table: the column of tables that it stands in."""
    noise_kind: str = _WORD
    """symmetric, symmetric-inclusive, pair, ..., or unknown."""
    seed: int
    convention: str | None = None
    """As noise cards have it, such as asymmetric/cifar10."""
    rate: float | None = Field(None, ge=0, le=1)
    """Nominal rate of the noise."""
    method: str | None = None
    """The same method here: what tables call it, such as elr+."""
    settings: dict[str, bool | int | float | str | None] = Field(default_factory=dict)
    """Settings in the words of this laboratory, as far as they are known."""
    backbone: str = UNKNOWN
    n_train: int | None = Field(None, ge=1)
    batch_size: int | None = Field(None, ge=1)
    lr: float | None = Field(None, ge=0)
    weight_decay: float | None = Field(None, ge=0)


def import_foreign(card_file: Path, log: Path, store: Store) -> str:
    """Make a log of another program a row of the store.

    Args:
        card_file: YAML or JSON, the fields of `Card`.
        log: CSV with a row per epoch: epoch, from 0, and columns of the epochs table as fractions.
        store: where it goes.

    Returns:
        Its key; the same card and log have the same key.

    Raises:
        LabError: for a file that is missing or malformed, a value that a column does not take,
            epochs out of order, and another log under the same card.
    """
    values = read_yaml(card_file, what="the card of a log: " + _EXAMPLE, remedy="write one")
    card = validated(Card, values, str(card_file))
    epochs = _epochs(log)
    said = card.model_dump(mode="json")
    key = "x" + digest([said, epochs.to_dicts()])
    _refuse_another(store, said, key)
    rows = epochs.with_columns(pl.lit(key).alias("key"))
    store.write_finished(_row(card, said, key, epochs.height), rows, pl.DataFrame(schema=SAMPLES))
    return key


def told_method(settings: Mapping[str, Any]) -> str:
    """The method here that a foreign row is said to be, by its settings; empty if none."""
    return str(settings.get("method") or "")


def _row(card: Card, said: Mapping[str, object], key: str, n_epochs: int) -> dict[str, object]:
    labels = {"convention": card.convention} if card.convention else {}
    same = ("dataset", "noise", "noise_kind", "seed", "backbone", "n_train", "batch_size", "lr",
            "weight_decay")  # fmt: skip
    return {
        "key": key,
        "group": _group(said),
        "method": FOREIGN,
        "variant": f"{FOREIGN}/{card.name}",
        "version": 0,
        **{name: getattr(card, name) for name in same},
        "nominal_rate": card.rate,
        "epochs": n_epochs,
        "precision": UNKNOWN,
        "determinism": UNKNOWN,
        "settings": json.dumps(
            {**card.settings, "method": card.method, "source": card.source}, sort_keys=True
        ),
        "data_digest": UNKNOWN,
        "labels_digest": digest([FOREIGN, card.dataset, card.noise]),
        "noise_card": json.dumps(labels) if labels else None,
        "knows": [],
        "class_names": [],
        "status": "done",
    }


def _group(said: Mapping[str, object]) -> str:
    return digest({name: value for name, value in said.items() if name != "seed"})


def _refuse_another(store: Store, said: Mapping[str, Any], key: str) -> None:
    same = (pl.col("group") == _group(said)) & (pl.col("seed") == said["seed"])
    known = store.runs().filter(same & (pl.col("key") != key)).select("key").collect()
    if known.height:
        raise LabError(
            f"another log of {said['name']} with seed {said['seed']} is in the store",
            "a seed or a name of its own for each log",
            "another seed or name on the card",
        )


def _epochs(path: Path) -> pl.DataFrame:
    what = "a log: the column epoch, from 0, and columns of the epochs table as fractions"
    rows = read_csv(path, what, ["epoch", *_REAL], ["epoch", "test_accuracy"])
    if not rows:
        raise LabError(f"{path} has no epochs", what, "a row for each epoch")
    numbers = [_numbers(row) for row in rows]
    for count, (row, found) in enumerate(zip(rows, numbers, strict=True)):
        if found["epoch"] != count:
            raise LabError(
                f"{row.place}: epoch {row.cells['epoch']}",
                f"{count}: every epoch once, in order, from 0",
                "number them so",
            )
    names = [name for name in EPOCHS if name in numbers[0]]
    return pl.DataFrame(numbers).select(pl.col(name).cast(EPOCHS[name]) for name in names)


def _numbers(row: CsvRow) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, cell in row.cells.items():
        try:
            found[name] = float(cell) if cell.strip() else None
        except ValueError:
            given = f"{row.place}: {name} = {quoted(cell)}"
            raise LabError(given, "a number, or nothing", "mend that cell") from None
    return found
