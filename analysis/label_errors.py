"""Label errors: which given labels are suspect, how well each detector finds the wrong ones.

    uv run python analysis/label_errors.py --grid digits
    uv run python analysis/label_errors.py --grid digits --detector margin aum --metric auprc
    uv run python analysis/label_errors.py --grid digits --compare margin confident
    uv run python analysis/label_errors.py --grid digits --noise symmetric-40 --where loss=ce \
        --detector margin --suspects suspects.parquet --gallery suspects.html --csv suspects.csv

Detectors read what the training pass told about each sample, so no run is computed for them. Tables
show fractions; `--format csv` gives a row per run and detector in full. A ranking is written for
one detector and for runs that differ in nothing but the seed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from analysis.evidence.two_rows import TwoRows
from analysis.file_names import file_names
from analysis.layouts.paired import pairs_csv
from analysis.layouts.rendering import Form, write
from analysis.selection import Filters
from analysis.suspects import tables
from analysis.suspects.gallery import write_gallery
from analysis.suspects.neighbours import Features, features_for
from analysis.suspects.quality import MEASURES
from analysis.suspects.ranking import Ranking, listed, rank
from analysis.suspects.rates import read_hoc
from analysis.suspects.scoring import chosen, runs_to_rank, score_runs
from analysis.suspects.two_detectors import PLACE, lay_out_two_detectors, two_detectors
from pipeline.command_line import Many, joined, read_flags
from pipeline.errors import LabError, program, quoted, suggest
from pipeline.files import replacing
from pipeline.noise.suspects import save_suspects
from pipeline.results.store import Store
from pipeline.results.view import results


@dataclass(frozen=True)
class Flags(Filters):
    """Which detectors, and what to write."""

    detector: Many[str] = ()
    """Detectors: margin, wrong-events, aum, mean-loss, last-loss, average-loss, confident; with
    features also knn-vote and encoder-knn. All of them unless given."""
    metric: str = "auroc"
    """Measure of the table of detectors beside methods, and of `--compare`: auroc, auprc,
    precision_at_true, fnr_at_true, precision_at_estimated, recall_at_estimated, precision_at_1,
    precision_at_5."""
    compare: tuple[str, str] | None = None
    """Two detectors to set against each other on the same runs, by `--metric`: difference,
    interval, p-value, seeds needed."""
    hoc: Many[Path] = ()
    """Estimates that `pipeline.noise estimate --out` wrote: the estimated rate of their label
    tables is theirs; confident learning estimates that of others."""
    features: Path | None = None
    """Features of the training images of the one data set, .npy, .npz or .pt, [N, D]."""
    k: int = 10
    """Neighbours that vote, by cosine of the features."""
    format: Form | Literal["csv"] = "terminal"
    """How to print the tables."""
    csv: Path | None = None
    """Write the ranking as a table into this file."""
    gallery: Path | None = None
    """Write the most suspect samples with their pictures into this HTML file."""
    top: int = 24
    """Pictures of each given class at most."""
    suspects: Path | None = None
    """Write the ranking into this file, from which labels of kind `cleaned` are made."""

    @property
    def detectors(self) -> Sequence[str]:
        """Those that are asked for by either flag."""
        named = joined(self.detector)
        if self.compare is None:
            return named
        if named:
            raise LabError("--detector with --compare", "one of them", "--compare alone")
        return self.compare

    @property
    def writes_ranking(self) -> bool:
        """Whether a ranking is asked for."""
        return any(path is not None for path in (self.csv, self.gallery, self.suspects))


@program
def main() -> None:
    """Print the tables, and write the ranking, that the command line asks for."""
    flags = read_flags(Flags, __doc__)
    if flags.metric not in MEASURES:
        raise LabError(
            f"metric {quoted(flags.metric)}", *suggest(flags.metric, MEASURES, "--metric auroc")
        )
    store = Store(flags.store)
    runs = runs_to_rank(results(flags.views(), store), flags.wanted)
    features = None
    if flags.features is not None:
        features = _features_of_one(runs["dataset"].unique().to_list(), flags.features, flags.k)
    detectors, hoc = chosen(flags.detectors, features), read_hoc(joined(flags.hoc))
    if flags.writes_ranking:
        if len(detectors) > 1:
            raise LabError(
                f"one ranking by {len(detectors)} detectors", "one detector", "--detector margin"
            )
        (detector,) = detectors
        _write(rank(store, runs, detector, hoc, features), flags)
    scored = score_runs(store, runs, detectors, hoc, features)
    for remark in scored.remarks:
        print(remark, file=sys.stderr)
    if flags.compare is not None:
        _print_two(two_detectors(scored.rows, runs, flags.metric, flags.compare), flags)
    else:
        _print(scored.rows, flags)


def _features_of_one(datasets: list[str], file: Path, k: int) -> Features:
    if len(datasets) > 1:
        raise LabError(
            f"features for runs on {', '.join(sorted(datasets))}",
            "runs on the one data set that they are of",
            "--dataset NAME",
        )
    return features_for(file, datasets[0], k)


def _write(ranking: Ranking, flags: Flags) -> None:
    """Write the ranking in the forms that are asked for."""
    lineage = ranking.suspects.lineage
    files = file_names(lineage.dataset, lineage.data_digest)
    if flags.csv is not None:
        with replacing(flags.csv.expanduser()) as temporary:
            listed(ranking, files).write_csv(temporary)
        print(f"written: {flags.csv}", file=sys.stderr)
    if flags.suspects is not None:
        save_suspects(ranking.suspects, flags.suspects.expanduser(), files)
        print(f"written: {flags.suspects}", file=sys.stderr)
    if flags.gallery is not None:
        n = write_gallery(ranking, flags.gallery.expanduser(), flags.top)
        print(f"written: {flags.gallery}, {n} pictures", file=sys.stderr)


def _print_two(rows: TwoRows, flags: Flags) -> None:
    """Print two detectors against each other in the form that is asked for."""
    if flags.format == "csv":
        sys.stdout.write(pairs_csv(rows, tuple(PLACE), metric=flags.metric))
    else:
        write(lay_out_two_detectors(rows, flags.metric), flags.format)


def _print(rows: pl.DataFrame, flags: Flags) -> None:
    """Print the tables in the form that is asked for."""
    if flags.format == "csv":
        sys.stdout.write(rows.write_csv())
    elif not rows.is_empty():
        for layout in (tables.details(rows), tables.joined(rows, flags.metric)):
            write(layout, flags.format)


if __name__ == "__main__":
    main()
