"""What tables and titles call the labels of a run: those of one's own data read `as given`.

The table `clean` adds no noise. Where nobody knows the true labels, or some of the given ones are
wrong, its name would say too much; keys, folders and filters keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

AS_GIVEN = "as given"
_CLEAN = "clean"


def shown_noise(row: Mapping[str, Any]) -> str:
    """What people read as the label table of a run.

    Args:
        row: of the runs table.

    Returns:
        Its name, or `AS_GIVEN`.
    """
    is_clean = row["noise"] == _CLEAN and row.get("noise_kind") == _CLEAN
    return AS_GIVEN if is_clean and row.get("realised_rate") != 0 else str(row["noise"])


def noise_as_shown() -> pl.Expr:
    """The column noise as `shown_noise` has it, from noise, noise_kind and realised_rate."""
    is_clean = (pl.col("noise") == _CLEAN) & (pl.col("noise_kind") == _CLEAN)
    is_given = is_clean & pl.col("realised_rate").ne_missing(0)
    return pl.when(is_given).then(pl.lit(AS_GIVEN)).otherwise("noise").alias("noise")
