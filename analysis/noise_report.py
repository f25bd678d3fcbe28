"""Compare the label tables of a data set: agreement, overlap of flips, dependence on the images.

    uv run python analysis/noise_report.py cifar10 worst dependent40 --posterior softmax.npy

Reads labels/DATASET/NAME (labels.parquet, card.json) and, without a posterior, the training images
of the prepared data set. Feature dependence asks whether the image says which labels are wrong:
scores come from a posterior of a network that saw clean labels, or from a linear model of the
pixels fitted on one half and tried on the other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import tyro
from scipy.stats import rankdata

from pipeline.command_line import run_function
from pipeline.data.dataset import load_dataset
from pipeline.errors import LabError, program, quoted
from pipeline.files import labels_folder, split_name
from pipeline.noise.label_table import open_table

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
        index: int64 [n], positions of the training images, ascending.
        clean: int64 [n].
        noisy: int64 [n].
    """

    name: str
    card: dict[str, Any]
    index: Labels
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
        LabError: if it is not made, is damaged, or its clean labels are not known.
    """
    table = open_table(labels_folder(dataset, *split_name(name)))
    if table.y_clean is None:
        raise LabError(
            f"label table {quoted(name)} of {quoted(dataset)} has no clean labels",
            "tables of a data set whose clean labels are known",
            "leave it out",
        )
    return Table(name, asdict(table.card), table.index, table.y_clean, table.y_noisy)


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
    shared, ours, theirs = np.intersect1d(first.index, second.index, return_indices=True)
    n = len(shared)
    if not n:
        raise LabError(
            f"tables {first.name} and {second.name}, which have no image in common",
            "tables that label the same images",
            "compare them apart",
        )
    a, b = first.wrong[ours], second.wrong[theirs]
    both, either = a & b, a | b
    equal = first.noisy[ours] == second.noisy[theirs]
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
        scores: float64 [N, K] by position of the image, larger for the likelier class.
        n_permutations: of the noisy labels within each clean class, for z and p.

    Returns:
        auc: probability that a wrong label's best wrong class scores higher than a right one's (0.5
        without dependence); best_wrong: share of flips to the best wrong class; z and p: mean
        score of the noisy labels beside its permutations (p at least 1 / (permutations + 1)).
    """
    scores = scores[table.index]
    n, n_classes = len(table.clean), scores.shape[1]
    own = np.arange(n)
    rivals = scores.copy()
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
    """Class scores by position of the image, as far as the tables go: float64 [N, K]."""
    n_classes = tables[0].card["n_classes"]
    n = 1 + max(int(table.index[-1]) for table in tables)
    if posterior is not None:
        given = _read_posterior(posterior.expanduser())
        if given.ndim != 2 or len(given) < n or given.shape[1] != n_classes:
            raise LabError(
                f"{quoted(str(posterior))} holds {given.dtype} {list(given.shape)}",
                f"a table of at least [{n}, {n_classes}], a row per image",
                "write softmax outputs with numpy.save",
            )
        return np.asarray(given[:n], np.float64)
    images = load_dataset(dataset).train_images
    if len(images) < n:
        raise LabError(
            f"data set {quoted(dataset)} has {len(images)} images, and labels for {n}",
            "tables made from the data set as it is now",
            f"uv run python -m pipeline.stages.noise {dataset} {tables[0].name}",
        )
    clean = np.zeros(n, np.int64)
    for table in tables:
        clean[table.index] = table.clean
    labelled = np.unique(np.concatenate([table.index for table in tables]))
    scores = np.zeros((n, n_classes))
    scores[labelled] = linear_scores(images[labelled], clean[labelled], n_classes)
    return scores


def _read_posterior(path: Path) -> npt.NDArray[Any]:
    """The one array of a .npy or .npz file of numbers."""
    expected = "a .npy or .npz file with one table of class probabilities"
    remedy = "write it with numpy.save; a .pt file by numpy.save(FILE, tensor.numpy())"
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.lib.npyio.NpzFile):
            with content:
                if len(content.files) != 1:
                    raise ValueError(f"it holds {len(content.files)} arrays")
                content = content[content.files[0]]
        array = np.asarray(content)
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError("it holds something else than finite numbers")
    except Exception as error:  # damage of each format has exceptions of its own
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LabError(f"{quoted(str(path))} cannot be read ({line})", expected, remedy) from error
    return array


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
        posterior: .npy or .npz file [N, K] of class probabilities, instead of a linear model of the
            pixels.
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
