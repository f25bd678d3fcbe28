"""Runs with a ledger of their samples that is known by construction, and rankings made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.data.dataset import Dataset
from pipeline.files import labels_folder
from pipeline.noise.generate import make
from pipeline.noise.label_table import LabelTable, save_table
from pipeline.noise.noise_spec import parse
from pipeline.noise.suspects import Lineage, Suspects
from pipeline.results.store import Store
from tests.support.noise_cases import lay_out, small_dataset, softmax_rows
from tests.support.results_builder import epoch_rows, run_row

EPOCHS = 20
DATASET = small_dataset(n=300, n_classes=3)
"""Prepared by `laid_out`."""


def laid_out(name: str = "sym", **spec: Any) -> LabelTable:
    """Prepare `DATASET` and a label table of it, 30 % wrong unless told otherwise."""
    lay_out(DATASET)
    made = make(DATASET, name, parse(spec or {"kind": "symmetric", "rate": 0.3}, name))
    save_table(made, labels_folder("small", name))
    return made


def ledger(
    key: str, table: LabelTable, rows: npt.NDArray[np.int64], sharpness: float, seed: int = 0
) -> pl.DataFrame:
    """Samples of a run that believes the true classes, the more so the sharper."""
    assert table.y_clean is not None
    given, clean = table.y_noisy[rows], table.y_clean[rows]
    p = softmax_rows(clean, table.card.n_classes, sharpness, seed)
    own = p[np.arange(len(rows)), given]
    others = p.copy()
    others[np.arange(len(rows)), given] = 0
    return pl.DataFrame(
        {
            "key": [key] * len(rows),
            "index": table.index[rows],
            "y_noisy": given,
            "y_clean": clean,
            "prediction": p.argmax(axis=1),
            "mean_loss": -np.log(own),
            # At the end all labels are memorised: the last loss knows little.
            "last_loss": np.random.default_rng(seed).random(len(rows)),
            "average_loss": -np.log(own),
            "mean_margin": np.log(own) - np.log(others.max(axis=1)),
            "wrong_events": np.round(EPOCHS * (1 - own)).astype(int),
            "seen": [EPOCHS] * len(rows),
            "mean_probabilities": p.tolist(),
        }
    )


def add_ranked_run(
    store: Store,
    table: LabelTable,
    seed: int = 0,
    *,
    variant: str = "ce",
    held_out: Sequence[int] = (),
    unseen: Sequence[int] = (),
    sharpness: float = 3.0,
    without: Sequence[str] = (),
    **columns: Any,
) -> str:
    """Write a finished run on a table.

    Held-out samples are not in its ledger, unseen ones are there and no epoch saw them; `without`
    are columns that it lacks.
    """
    card = table.card
    facts = {
        "dataset": card.dataset, "data_digest": card.data_digest, "noise": card.name,
        "noise_kind": card.generator, "labels_digest": card.labels_digest,
        "class_names": list(DATASET.card.class_names),
    }  # fmt: skip
    row = run_row(variant=variant, seed=seed, **facts | columns)
    rows = np.setdiff1d(np.arange(len(table.index)), held_out)
    never = pl.col("index").is_in(list(unseen))
    samples = ledger(row["key"], table, rows, sharpness, seed).with_columns(
        prediction=pl.when(never).then(-1).otherwise("prediction")
    )
    samples = samples.drop(without)
    store.write_finished(row, epoch_rows(row["key"], [0.5]), samples)
    return str(row["key"])


def suspects_of(dataset: Dataset, noise: str = "sym", **facts: Any) -> Suspects:
    """A ranking in which the first fifth of the samples is wrongly given the next class."""
    card, clean = dataset.card, dataset.train_labels
    n = len(clean)
    given = np.where(np.arange(n) < n // 5, (clean + 1) % card.n_classes, clean)
    described: dict[str, Any] = {
        "dataset": card.name, "noise": noise, "noise_kind": "symmetric",
        "data_digest": card.digest, "labels_digest": "0" * 16, "method": "ce", "runs": ("r1", "r2"),
        "detector": "margin", "details": {}, "estimate": "confident", "estimated_rate": 0.2,
    }  # fmt: skip
    arrays: dict[str, Any] = {
        "index": np.arange(n), "given": np.array(given, np.int64),
        "suggested": np.array(np.where(given == clean, (clean + 1) % card.n_classes, clean)),
        "score": np.linspace(1, -1, n),
    }  # fmt: skip
    own = {name: facts.pop(name) for name in tuple(facts) if name in arrays}
    return Suspects(**arrays | own, lineage=Lineage(**described | facts))
