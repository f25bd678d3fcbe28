"""Compare the label tables of a data set: agreement, overlap of flips, dependence on the images.

    python analysis/noise_report.py cifar10 worst dependent40 --posterior softmax.npy

Reads labels/DATASET/NAME (labels.parquet, card.json) and, without a posterior, the training images
of the prepared data set. Feature dependence asks whether the image says which labels are wrong:
scores come from a posterior of a network that saw clean labels, or from a linear model of the
pixels fitted on one half and tried on the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import tyro
from scipy.stats import rankdata

from pipeline.command_line import run_function
from pipeline.errors import LabError, program, suggest
from pipeline.files import data_folder, labels_folder

Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

_SIDE = 16
"""Images are averaged down to about this many pixels a side before the linear model sees them."""
_RIDGE = 1e-2
"""Ridge penalty as a share of the mean feature variance."""


@dataclass(frozen=True, eq=False)
class Table:
    """A label table as this report needs it.

    Args:
        name: name of the table.
        card: its noise card.
        clean: int64 [n].
        noisy: int64 [n], for the first n training images.
    """

    name: str
    card: dict[str, Any]
    clean: Labels
    noisy: Labels

    @property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Which labels differ from the clean ones: [n]."""
        return np.asarray(self.clean != self.noisy)


def read_labels(dataset: str, name: str) -> Table:
    """Read a label table with clean labels.

    Args:
        dataset: name of the data set.
        name: name of the table.

    Returns:
        The table.

    Raises:
        LabError: if it is not made, or its clean labels are not known.
    """
    folder = labels_folder(dataset, name)
    if not (folder / "card.json").is_file():
        made = [card.parent.name for card in folder.parent.glob("[!.]*/card.json")]
        raise LabError(
            f"no label table {name!r} of {dataset!r}",
            *suggest(name, made, f"uv run python -m pipeline.stages.noise {dataset} {name}"),
        )
    frame = pl.read_parquet(folder / "labels.parquet").sort("index")
    if frame["clean"].null_count():
        raise LabError(
            f"label table {name!r} of {dataset!r} has no clean labels",
            "tables of a data set whose clean labels are known",
        )
    clean, noisy = (frame[column].to_numpy() for column in ("clean", "noisy"))
    return Table(name, json.loads((folder / "card.json").read_bytes()), clean, noisy)


def overview(tables: list[Table]) -> pl.DataFrame:
    """One row per table: convention, nominal and realised rate, spread over the clean classes."""
    rates = [[r for r in t.card["per_class_rates"] if r is not None] for t in tables]
    return pl.DataFrame(
        {
            "table": [t.name for t in tables],
            "convention": [t.card["convention"] for t in tables],
            "n": [len(t.clean) for t in tables],
            "nominal_rate": pl.Series([t.card["nominal_rate"] for t in tables], dtype=pl.Float64),
            "realised_rate": [t.card["realised_rate"] for t in tables],
            "lowest_class_rate": [min(r) for r in rates],
            "highest_class_rate": [max(r) for r in rates],
        }
    )


def compare(first: Table, second: Table) -> dict[str, Any]:
    """How alike two tables are on the samples that both cover.

    Args:
        first: a table.
        second: another one of the same data set.

    Returns:
        agreement: share of equal labels; overlap: Jaccard index of the wrong labels; by_chance:
        what independent flips of these rates would overlap; same_target: share of equal labels
        among those wrong in both (None if there are none).
    """
    n = min(len(first.clean), len(second.clean))
    a, b = first.wrong[:n], second.wrong[:n]
    both, either = a & b, a | b
    equal = first.noisy[:n] == second.noisy[:n]
    independent = a.mean() * b.mean()
    union = a.mean() + b.mean() - independent
    return {
        "tables": f"{first.name} / {second.name}",
        "n": n,
        "agreement": float(equal.mean()),
        "overlap": float(both.sum() / max(either.sum(), 1)),
        "by_chance": float(independent / union) if union else 0.0,
        "same_target": float(equal[both].mean()) if both.any() else None,
    }


def linear_scores(images: npt.NDArray[np.uint8], clean: Labels, n_classes: int) -> Scores:
    """Class scores of a ridge regression on averaged pixels, fitted on the other half.

    Args:
        images: uint8 [n, H, W, C].
        clean: int64 [n].
        n_classes: K.

    Returns:
        float64 [n, K]; even samples are scored by the fit on odd ones and the reverse.
    """
    step = max(1, images.shape[1] // _SIDE)
    height, width = (side // step * step for side in images.shape[1:3])
    cut = images[:, :height, :width]
    blocks = cut.reshape(len(cut), height // step, step, width // step, step, -1)
    x = blocks.mean(axis=(2, 4), dtype=np.float32).reshape(len(cut), -1) / 255.0
    x -= x.mean(axis=0)
    one_hot = np.eye(n_classes, dtype=np.float32)[clean]
    scores = np.empty((len(x), n_classes))
    for fitted in (0, 1):
        train = x[fitted::2]
        gram = train.T @ train
        gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram) + 1e-6
        weights = np.linalg.solve(gram, train.T @ (one_hot[fitted::2] - one_hot.mean(axis=0)))
        scores[1 - fitted :: 2] = x[1 - fitted :: 2] @ weights + one_hot.mean(axis=0)
    return scores


def dependence(table: Table, scores: Scores, n_permutations: int = 199) -> dict[str, Any]:
    """Whether the images say which labels are wrong, and which class they get.

    Args:
        table: the labels.
        scores: float64 [n, K], larger for the likelier class.
        n_permutations: of the noisy labels within each clean class, for z and p.

    Returns:
        auc: probability that a wrong label's best wrong class scores higher than a right one's (0.5
        without dependence); best_wrong: share of flips to the best wrong class; z and p: mean
        score of the noisy labels beside its permutations (p at least 1 / (permutations + 1)).
    """
    n, n_classes = len(table.clean), scores.shape[1]
    own = np.arange(n)
    rivals = scores[:n].copy()
    rivals[own, table.clean] = -np.inf
    wrong, n_wrong = table.wrong, int(table.wrong.sum())
    row = {"table": table.name, "auc": None, "best_wrong": None, "chance": 1 / (n_classes - 1)}
    if n_wrong in (0, n):
        return row | {"z": None, "p": None}
    ranks = rankdata(rivals.max(axis=1))[wrong].sum()
    auc = (ranks - n_wrong * (n_wrong + 1) / 2) / (n_wrong * (n - n_wrong))

    rng = np.random.Generator(np.random.PCG64(0))
    groups = np.argsort(table.clean, kind="stable")

    def statistic(noisy: Labels) -> float:
        return float(scores[own, noisy].mean())

    permuted = table.noisy.copy()
    null = []
    for _ in range(n_permutations):
        shuffled = np.lexsort((rng.random(n), table.clean))
        permuted[groups] = table.noisy[shuffled]
        null.append(statistic(permuted))
    observed, spread = statistic(table.noisy), float(np.std(null, ddof=1))
    return row | {
        "auc": float(auc),
        "best_wrong": float((rivals.argmax(axis=1) == table.noisy)[wrong].mean()),
        "z": (observed - float(np.mean(null))) / spread if spread else 0.0,
        "p": (1 + sum(value >= observed for value in null)) / (1 + n_permutations),
    }


def _scores(dataset: str, tables: list[Table], posterior: Path | None) -> Scores:
    longest = max(tables, key=lambda table: len(table.clean))
    n_classes = longest.card["n_classes"]
    if posterior is not None:
        given = np.load(posterior, allow_pickle=False)
        if given.shape != (len(longest.clean), n_classes):
            raise LabError(
                f"{posterior} holds {list(given.shape)}",
                f"[{len(longest.clean)}, {n_classes}], a row per label",
            )
        return np.asarray(given, np.float64)
    path = data_folder(dataset) / "train_images.npy"
    if not path.is_file():
        raise LabError(
            f"data set {dataset!r} is not prepared",
            "its images, or --posterior FILE",
            f"uv run python -m pipeline.stages.data {dataset}",
        )
    images = np.load(path, mmap_mode="r")[: len(longest.clean)]
    return linear_scores(images, longest.clean, n_classes)


def compare_tables(
    dataset: Annotated[str, tyro.conf.Positional],
    names: Annotated[tuple[str, ...], tyro.conf.Positional],
    /,
    posterior: Path | None = None,
) -> None:
    """Compare label tables of one data set.

    Args:
        dataset: name of the data set.
        names: names of the tables.
        posterior: .npy file [n, K] of class probabilities, instead of a linear model of the pixels.
    """
    tables = [read_labels(dataset, name) for name in names]
    if not tables:
        raise LabError(
            "no tables named",
            "one or more label tables",
            f"uv run python analysis/noise_report.py {dataset} NAME NAME",
        )
    scores = _scores(dataset, tables, posterior)
    pairs = [compare(a, b) for a, b in combinations(tables, 2)]
    with pl.Config(
        tbl_formatting="MARKDOWN",
        tbl_hide_dataframe_shape=True,
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_hide_column_data_types=True,
        fmt_str_lengths=80,
        tbl_width_chars=200,
        float_precision=4,
    ):
        print(overview(tables))
        if pairs:
            print(f"\nPairs\n{pl.DataFrame(pairs)}")
        print("\nDependence on the images")
        print(pl.DataFrame([dependence(table, scores) for table in tables]))


@program
def main() -> None:
    """Compare the label tables that the command line names."""
    run_function(compare_tables)


if __name__ == "__main__":
    main()
