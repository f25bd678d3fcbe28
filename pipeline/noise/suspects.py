"""Suspects: the labels of a table in the order in which they are suspected, as an artefact.

A ranking is made from runs (`analysis/label_errors.py`); label tables of kind `cleaned` are made
from it. The file holds the given labels as well, so it says by itself what is mended.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import TypeAdapter

from pipeline.errors import LabError, quoted
from pipeline.files import replacing
from pipeline.noise.arrays import Floats, Labels
from pipeline.noise.noise_spec import Repair

NO_SUGGESTION = -1
"""Stands in arrays of suggested labels where there is none."""
_LINEAGE = "lineage"
_SCHEMA = pl.Schema(
    {"index": pl.Int64, "given": pl.Int64, "suggested": pl.Int64, "score": pl.Float64}
)
_REMEDY = "uv run python analysis/label_errors.py --suspects FILE, which writes it anew"


@dataclass(frozen=True)
class Lineage:
    """Where a ranking comes from.

    Args:
        dataset: name of the data set.
        noise: name of the label table whose labels are ranked.
        noise_kind: kind of noise that made it.
        data_digest: digest of the data set.
        labels_digest: digest of that label table.
        method: what the runs are called.
        runs: their keys, ascending.
        detector: name of the detector.
        details: what else the detector was told, such as the digest of a file of features.
        estimate: what estimated the rate: confident or hoc; None where nothing did.
        estimated_rate: estimated share of wrong labels; None where nothing estimated it.
    """

    dataset: str
    noise: str
    noise_kind: str
    data_digest: str
    labels_digest: str
    method: str
    runs: tuple[str, ...]
    detector: str
    details: dict[str, Any]
    estimate: Literal["confident", "hoc"] | None
    estimated_rate: float | None


@dataclass(frozen=True, eq=False)
class Suspects:
    """All labels of a table, the most suspect first; those that no run saw come last.

    Args:
        index: int64 [n], positions in the training split.
        given: int64 [n], labels of the table.
        suggested: int64 [n], labels to put in their place, or NO_SUGGESTION.
        score: float64 [n], falling; NaN where no run saw the sample.
        lineage: where it comes from.
    """

    index: Labels
    given: Labels
    suggested: Labels
    score: Floats
    lineage: Lineage

    @property
    def n_scored(self) -> int:
        """How many labels have a score."""
        return int(np.isfinite(self.score).sum())


def n_flagged(rate: float, n: int) -> int:
    """How many of n ranked labels a rate flags: the nearest whole number."""
    return round(rate * n)


def save_suspects(suspects: Suspects, path: Path, files: tuple[str, ...] | None = None) -> None:
    """Write a ranking; the file appears complete or not at all, and the same bytes each time.

    Args:
        suspects: the ranking.
        path: Parquet file to make or to replace: index, given, suggested and score (null where
            there is none), and file where there are paths, with the lineage as metadata.
        files: paths of all training images, where they have some.
    """
    columns = {name: getattr(suspects, name) for name in _SCHEMA}
    frame = pl.DataFrame(columns, schema=_SCHEMA).with_columns(
        pl.col("suggested").replace(NO_SUGGESTION, None), pl.col("score").fill_nan(None)
    )
    if files is not None:
        frame = frame.with_columns(file=pl.Series(files, dtype=pl.String).gather(frame["index"]))
    lineage = TypeAdapter(Lineage).dump_json(suspects.lineage).decode()
    with replacing(path) as temporary:
        frame.write_parquet(temporary, compression="zstd", metadata={_LINEAGE: lineage})


def read_suspects(path: Path, name: str) -> Suspects:
    """Read what `save_suspects` wrote.

    Args:
        path: the file.
        name: what it is called, for the error.

    Returns:
        The ranking.

    Raises:
        LabError: if it is missing, or no such file.
    """
    expected = "a ranking of label errors"
    if not path.is_file():
        raise LabError(f"no suspects at {quoted(name)}", expected, _REMEDY)
    try:
        content = path.read_bytes()
        lineage = pl.read_parquet_metadata(io.BytesIO(content))[_LINEAGE]
        frame = pl.read_parquet(io.BytesIO(content)).select(list(_SCHEMA)).cast(_SCHEMA)
        return _checked(frame, TypeAdapter(Lineage).validate_json(lineage))
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LabError(f"{quoted(name)} holds no suspects ({line})", expected, _REMEDY) from error


def _checked(frame: pl.DataFrame, lineage: Lineage) -> Suspects:
    if frame["index"].n_unique() < frame.height or frame.height == 0:
        raise ValueError("a sample twice, or none")
    return Suspects(
        index=frame["index"].to_numpy(writable=True),
        given=frame["given"].to_numpy(writable=True),
        suggested=frame["suggested"].fill_null(NO_SUGGESTION).to_numpy(writable=True),
        score=frame["score"].fill_null(np.nan).to_numpy(writable=True),
        lineage=lineage,
    )


@dataclass(frozen=True, eq=False)
class Mended:
    """Labels after a repair.

    Args:
        index: int64 [m], positions in the training split, ascending.
        labels: int64 [m].
        n_flagged: labels that were flagged.
        rate: share of all labels that was to be flagged.
        rule: where the rate comes from.
    """

    index: Labels
    labels: Labels
    n_flagged: int
    rate: float
    rule: str


def mended(suspects: Suspects, rate: float | None, repair: Repair, name: str) -> Mended:
    """Relabel or leave out the most suspect labels.

    Args:
        suspects: the ranking.
        rate: share of all labels to flag; None for the estimated one.
        repair: relabel gives them the suggested label, drop leaves them out.
        name: what the file is called, for the error.

    Returns:
        The labels that remain.

    Raises:
        LabError: if no rate is given or estimated, fewer labels are scored than are to be flagged,
            a flagged one has no suggestion, or nothing would remain.
    """
    rule = "as asked for" if rate is not None else f"estimated ({suspects.lineage.estimate})"
    rate = suspects.lineage.estimated_rate if rate is None else rate
    if rate is None:
        raise LabError(
            f"{quoted(name)} estimates no share of wrong labels",
            "the share to flag",
            "rate: 0.2 in the entry (--rate 0.2)",
        )
    n = n_flagged(rate, len(suspects.index))
    if n > suspects.n_scored or (n == len(suspects.index) and repair == "drop"):
        raise LabError(
            f"rate {rate:g} flags {n} labels of {quoted(name)}, which scores {suspects.n_scored} "
            f"of {len(suspects.index)}",
            "fewer labels than are scored",
            "a smaller rate, or a ranking from more seeds, which hold out other samples",
        )
    labels, kept = suspects.given.copy(), np.ones(len(suspects.given), bool)
    if repair == "drop":
        kept[:n] = False
    else:
        labels[:n] = suspects.suggested[:n]
        if (labels[:n] == NO_SUGGESTION).any():
            raise LabError(
                f"{quoted(name)} suggests no label for {(labels[:n] == NO_SUGGESTION).sum()} of "
                f"{n} flagged samples",
                "a suggestion for each flagged one",
                "repair: drop (--repair drop)",
            )
    order = np.argsort(suspects.index[kept], kind="stable")
    return Mended(suspects.index[kept][order], labels[kept][order], n, rate, rule)
