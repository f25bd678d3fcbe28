"""Results, leaderboard and suspect labels from Python, as frames of polars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from analysis.comparison import Models
    from analysis.selection import Wanted
    from pipeline.results.protocols import Name
    from pipeline.results.view import Results


def results(*, grid: str | Sequence[str] = (), store: str | None = None, **where: Any) -> Results:
    """Stored runs and their epochs.

    Args:
        grid: names of grids whose runs are wanted, by their views; every stored run without.
        store: folder or s3://bucket/prefix; LNL_STORE or results/store unless given.
        where: allowed values, one or several, by column of the runs table or setting:
            `noise="pair-40", seed=[0, 1]`.

    Returns:
        runs, a row each, and epochs, a row per epoch: LazyFrames with the columns of docs/store.md.

    Raises:
        LabError: for an unknown name, and a value that no run has.
    """
    from analysis.selection import matching
    from pipeline.results.view import Results

    found, wanted = _read(grid, store), _wanted(where)
    if not wanted:
        return found
    runs = matching(found.runs.collect(), wanted).lazy()
    return Results(runs, found.epochs.join(runs.select("key").unique(), on="key", how="semi"))


def leaderboard(
    protocol: Name = "last",
    metric: str = "test_accuracy",
    *,
    by: str | Sequence[str] = (),
    averaged: Models = "both",
    grid: str | Sequence[str] = (),
    store: str | None = None,
    **where: Any,
) -> pl.DataFrame:
    """Compare methods: mean and spread of one metric over seeds, different settings kept apart.

    Args:
        protocol: which epoch counts: last, last10, best-noisy-val, best-clean-val, fewest-changes
            or, optimistic, oracle.
        metric: column of the epochs table.
        by: columns of the runs table that separate rows, such as backbone.
        averaged: rows of averaged weights: beside the others (`both`), `only` them, or `no`.
        grid: as in `results`.
        store: as in `results`.
        where: as in `results`.

    Returns:
        A row per data set, noise and method: label, mean, std (ddof 1) and n, fractions; the counts
        and conditions that `--format csv` of the leaderboard gives, too.

    Raises:
        LabError: for an unknown name, and if no run matches.
    """
    from analysis.comparison import compare
    from analysis.leaderboard import listed

    return listed(
        compare(
            _read(grid, store),
            protocol,
            metric,
            where=_wanted(where),
            by=_several(by),
            averaged=averaged,
        )
    )


def label_errors(
    detector: str = "margin",
    *,
    features: Path | str | None = None,
    k: int = 10,
    grid: str | Sequence[str] = (),
    store: str | None = None,
    **where: Any,
) -> pl.DataFrame:
    """Rank the given labels of one label table, the most suspect first.

    Args:
        detector: margin, wrong-events, aum, mean-loss, last-loss, average-loss or confident; with
            features also knn-vote and encoder-knn.
        features: .npy, .npz or .pt file of the training images, [N, D], for the detectors of
            neighbours.
        k: neighbours that vote.
        grid: as in `results`.
        store: as in `results`.
        where: as in `results`; the runs may differ in nothing but the seed.

    Returns:
        rank from 1, index of the training sample, its file where images have names, given and
        suggested label, score, flagged (at the estimated rate), true (null where nobody knows it),
        and the names of the classes.

    Raises:
        LabError: for an unknown name, if no run matches, and for runs of several methods, settings
            or label tables.
    """
    from pathlib import Path

    from analysis.file_names import file_names
    from analysis.suspects.neighbours import features_for
    from analysis.suspects.ranking import listed, rank
    from analysis.suspects.scoring import chosen, runs_to_rank
    from pipeline.results.store import Store

    runs = runs_to_rank(_read(grid, store), _wanted(where))
    given = None if features is None else features_for(Path(features), runs["dataset"][0], k)
    (name,) = chosen([detector], given)
    ranking = rank(Store(store), runs, name, {}, given)
    lineage = ranking.suspects.lineage
    return listed(ranking, file_names(lineage.dataset, lineage.data_digest))


def _read(grid: str | Sequence[str], store: str | None) -> Results:
    """Results of the store, or of the views of grids."""
    from analysis.selection import views_of
    from pipeline.results.store import Store
    from pipeline.results.view import results as read

    return read(views_of(_several(grid)), Store(store))


def _wanted(where: dict[str, Any]) -> Wanted:
    """Allowed values by column; truth values as the store writes them."""
    return {
        name: [str(one).lower() if isinstance(one, bool) else one for one in _several(values)]
        for name, values in where.items()
    }


def _several(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple, set, range)) else [values]
