"""One ranking of all labels of a table, from runs that differ in nothing but the seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import polars as pl

from analysis.file_names import with_files
from analysis.suspects.detectors import DETECTORS, beliefs, suggestions
from analysis.suspects.evidence import Floats, Labels
from analysis.suspects.neighbours import Features
from analysis.suspects.quality import Wrong, ranked
from analysis.suspects.scoring import estimated, evidence_of
from pipeline.errors import LabError
from pipeline.files import drawn_name, labels_folder
from pipeline.noise.label_table import LabelTable, open_table, table_remedy
from pipeline.noise.suspects import NO_SUGGESTION, Lineage, Suspects, n_flagged
from pipeline.results.store import Store


class Ranking(NamedTuple):
    """The suspects of a table, and what is known beyond them."""

    suspects: Suspects
    class_names: tuple[str, ...]
    true: Labels | None
    """int64 [n], true labels in the order of the suspects; None where nobody knows them."""

    @property
    def n_flagged(self) -> int:
        """How many of the labels the estimated rate flags; 0 where nothing estimated it."""
        rate = self.suspects.lineage.estimated_rate or 0.0
        return min(n_flagged(rate, len(self.suspects.index)), self.suspects.n_scored)

    @property
    def wrong(self) -> Wrong | None:
        """Which labels are wrong, in the order of the suspects; None where nobody knows it."""
        return None if self.true is None else self.true != self.suspects.given


def rank(
    store: Store,
    runs: pl.DataFrame,
    detector: str,
    hoc: Mapping[str, float],
    features: Features | None = None,
) -> Ranking:
    """Rank the labels of a table by the mean score over runs.

    Runs hold out different samples for validation: each label is scored by those that saw it.
    Labels are suggested by what the same runs believe on average.

    Args:
        store: that has their samples.
        runs: from `scoring.runs_to_rank`; of one group.
        detector: one of `DETECTORS`.
        hoc: estimated rates by digest of the label table.
        features: for detectors of neighbours.

    Returns:
        The ranking.

    Raises:
        LabError: if the runs differ in more than the seeds or learned from several draws of the
            labels, one of them lacks what the detector
            needs, or the label table is not there as it was.
    """
    first = _one_group(runs)
    table = _table_of(first)
    how, n = DETECTORS[detector], len(table.index)
    scores, views = _Mean((n,)), _Mean((n, len(first["class_names"])))
    rates = []
    for run in runs.sort("key").iter_rows(named=True):
        found = evidence_of(store, run, features)
        lacking = found.lacking(how.needs)
        if lacking or found.unseen.all():
            raise LabError(
                f"run {run['key']} stored no {', '.join(lacking) or 'predictions of its samples'}",
                f"what detector {detector} needs",
                "compute it again with --force, or name another --detector",
            )
        at = np.searchsorted(table.index, found.index)
        scores.add(at, how.score(found))
        views.add(at, beliefs(found, how))
        rates.append(estimated(found, run, hoc))
    score = scores.mean()
    order = ranked(score)
    known = [rate for rate in rates if rate is not None]
    suspects = Suspects(
        index=table.index[order],
        given=table.y_noisy[order],
        suggested=suggestions(views.mean(), table.y_noisy)[order],
        score=score[order],
        lineage=Lineage(
            dataset=first["dataset"],
            noise=first["noise"],
            noise_kind=first["noise_kind"],
            data_digest=first["data_digest"],
            labels_digest=first["labels_digest"],
            method=first["label"],
            runs=tuple(sorted(runs["key"])),
            detector=detector,
            details=_details(features if how.by_neighbours else None),
            estimate=cast(Literal["confident", "hoc"], known[0].by) if known else None,
            estimated_rate=float(np.mean([rate.rate for rate in known])) if known else None,
        ),
    )
    true = None if table.y_clean is None else table.y_clean[order]
    return Ranking(suspects, tuple(first["class_names"]), true)


def listed(ranking: Ranking, files: tuple[str, ...] | None = None) -> pl.DataFrame:
    """A ranking as a table, the most suspect label first.

    Args:
        ranking: of all labels of a table.
        files: paths of all training images, where they have some.

    Returns:
        rank from 1, index, file where there are paths, given and suggested label with the names of
        the classes, score, flagged (at the estimated rate), true (null where nobody knows it).
    """
    suspects, names = ranking.suspects, pl.Series(ranking.class_names)
    n = len(suspects.index)
    found = pl.DataFrame(
        {
            "rank": np.arange(1, n + 1),
            "index": suspects.index,
            "given": suspects.given,
            "suggested": pl.Series(suspects.suggested).replace(NO_SUGGESTION, None),
            "score": pl.Series(suspects.score).fill_nan(None),
            "flagged": np.arange(n) < ranking.n_flagged,
            "true": pl.Series([None] * n if ranking.true is None else ranking.true, dtype=pl.Int64),
        }
    )
    return with_files(found, files).with_columns(
        given_name=names.gather(found["given"]), suggested_name=names.gather(found["suggested"])
    )


class _Mean:
    """Mean over runs of values per sample, each of the runs that have one."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._total, self._count = np.zeros(shape), np.zeros(shape[0])

    def add(self, at: Labels, values: Floats) -> None:
        """Add the values [m, ...] of samples; rows with NaN count for nothing."""
        known = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        self._total[at[known]] += values[known]
        self._count[at[known]] += 1

    def mean(self) -> Floats:
        """The mean; NaN where there was no value."""
        count = self._count.reshape(-1, *[1] * (self._total.ndim - 1))
        with np.errstate(invalid="ignore"):
            return np.asarray(self._total / count, np.float64)


def _one_group(runs: pl.DataFrame) -> dict[str, Any]:
    groups = runs.unique("group", maintain_order=True)
    if groups.height > 1:
        names = [f"{d} {n} {m}" for d, n, m in groups.select("dataset", "noise", "label").rows()]
        raise LabError(
            f"one ranking of {groups.height} groups of runs: {', '.join(names[:6])}",
            "runs that differ in nothing but the seeds",
            "name one by --dataset, --noise, --method and --where",
        )
    draws = runs["labels_digest"].n_unique()
    if draws > 1:
        raise LabError(
            f"one ranking of {draws} draws of the labels {groups['noise'].item()}",
            "runs that learned from the same labels",
            "name one draw, such as --where seed_noise=1",
        )
    return groups.row(0, named=True)


def _table_of(run: Mapping[str, Any]) -> LabelTable:
    """The label table of a run, as it was when the run learned from it."""
    dataset, noise = run["dataset"], drawn_name(run["noise"], run["seed_noise"])
    table = open_table(labels_folder(dataset, run["noise"], run["seed_noise"]))
    if table.card.labels_digest != run["labels_digest"]:
        raise LabError(
            f"label table {noise} of {dataset} has digest {table.card.labels_digest}",
            f"digest {run['labels_digest']}, as the runs learned from",
            f"{table_remedy(dataset, noise)}, with the entry that it had",
        )
    return table


def _details(features: Features | None) -> dict[str, Any]:
    return {} if features is None else {"features": features.digest, "k": features.k}
