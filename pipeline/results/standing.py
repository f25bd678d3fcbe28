"""How a run stands, in words: the store calls `running` whatever has begun and not ended.

Whether a program computes it is known by its claim. Without one it was stopped, or killed; the same
command continues it.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from pipeline.errors import LabError
from pipeline.results.claims import claims
from pipeline.results.claims.generations import entries, key_of
from pipeline.storage.place import Place

STOPPED = "stopped"
"""Status in words of a run that has begun and that no program computes."""


def computed_now(place: Place) -> frozenset[str]:
    """Keys of the runs that programs compute at this moment.

    Args:
        place: of the store. Where it cannot be written, its clock is not known: every claim in it
            counts then.
    """
    try:
        return frozenset(one.key for one in claims(place) if one.alive)
    except LabError:
        return frozenset(key_of(entry) for entry in entries(place))


def in_words(held: Collection[str]) -> pl.Expr:
    """Status of runs, `stopped` for those that have begun and that no program computes.

    Args:
        held: `computed_now`.
    """
    is_stopped = (pl.col("status") == "running") & ~pl.col("key").is_in(list(held))
    return pl.when(is_stopped).then(pl.lit(STOPPED)).otherwise("status").alias("status")
