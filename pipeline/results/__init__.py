"""Results store, provenance, selection protocols and views: what runs left behind, as tables."""

from __future__ import annotations

import polars as pl

from pipeline.results.store import Store


def runs() -> pl.LazyFrame:
    """All runs of the project's store, one row each; columns of `schema.RUNS`."""
    return Store().runs()


def epochs() -> pl.LazyFrame:
    """Epochs of all finished runs of the project's store; columns of `schema.EPOCHS`."""
    return Store().epochs()


def samples() -> pl.LazyFrame:
    """Samples of all finished runs of the project's store; columns of `schema.SAMPLES`."""
    return Store().samples()
