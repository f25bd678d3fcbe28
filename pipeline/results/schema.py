"""The three tables of the results store: every column, its type, its meaning and where it is shown.

Names of columns are written here only; a column has the same name in files, views and MLflow.
Rates and accuracies are fractions in [0, 1]; times are seconds; epochs count from 0. A column added
later must be nullable, so that files written before stay readable: they show null there. What the
log of another program may not tell is nullable, too.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import polars as pl

from pipeline.config import Seeds

Status = Literal["running", "done", "failed", "diverged"]
"""running: started, not ended (or killed); failed: ended by an error; diverged: loss not finite."""

STATUSES: tuple[str, ...] = get_args(Status)
FINISHED: tuple[str, ...] = tuple(status for status in STATUSES if status != "running")


class Column(NamedTuple):
    """One column of a table."""

    dtype: pl.DataType
    """Type in the file."""
    meaning: str
    """What the column holds, its unit or formula; shown in the documentation."""
    nullable: bool = False
    """Whether the value may be missing; a row may leave such a column out."""
    fraction: bool = False
    """Whether values outside [0, 1] are refused."""
    cost: bool = False
    """Whether it tells how the run was carried out; such a column is no part of a view."""
    tag: bool = False
    """Whether MLflow shows it as a tag of the run, under the same name."""
    legend: str = ""
    """What figures and tables call it; of the epochs table, a curve with one is drawn."""
    metric: str = ""
    """What MLflow calls the curve, as SECTION/NAME: its pages draw a section at a time."""


_TEXT, _TEXTS = pl.String(), pl.List(pl.String())
_COUNT, _LABEL, _SMALL = pl.Int64(), pl.Int32(), pl.Int16()
_REAL, _STATISTIC, _FLAG = pl.Float64(), pl.Float32(), pl.Boolean()
_TIMES, _PROBABILITIES = pl.UInt16(), pl.List(pl.Float16())
_TIME = pl.Datetime("us", "UTC")

SEED_COLUMNS = {
    f"seed_{stream}": "seed of the draw of the labels; null for that of the table's entry"
    if stream == "noise"
    else f"seed of the random stream {stream}; null where it follows the root seed"
    for stream in Seeds.model_fields
}
"""Columns of `runs` for streams that may have a seed of their own -> their meaning."""

RUN_COLUMNS: dict[str, Column] = {
    "key": Column(
        _TEXT, "`r` and 16 hex digits over everything that can change the numbers", tag=True
    ),
    "group": Column(_TEXT, "digest of the same without the seeds: runs to average over", tag=True),
    "method": Column(_TEXT, "name of the method script; foreign for an imported log", tag=True),
    "variant": Column(
        _TEXT, "what the method script was asked to be, such as the loss", True, tag=True
    ),
    "version": Column(_COUNT, "VERSION of the method"),
    "n_networks": Column(
        _COUNT, "networks whose predictions are joined; null, as one, where stored before", True
    ),
    "dataset": Column(_TEXT, "name of the data set", tag=True),
    "noise": Column(_TEXT, "name of the label table", tag=True),
    "noise_kind": Column(_TEXT, "kind of label noise: symmetric, pair, instance, ..."),
    "nominal_rate": Column(_REAL, "noise rate that was asked for", True, fraction=True),
    "realised_rate": Column(
        _REAL, "share of training labels that differ from the clean ones", True, fraction=True
    ),
    "seed": Column(_COUNT, "root seed of the run", tag=True),
    **{name: Column(_COUNT, meaning, True, tag=True) for name, meaning in SEED_COLUMNS.items()},
    "recipe": Column(_TEXT, "named set of settings the run started from", True, tag=True),
    "recipe_status": Column(_TEXT, "published, unchecked, own or extrapolated", True, tag=True),
    "n_trials": Column(
        _COUNT,
        "settings that a search compared by noisy validation before it chose those of the run; "
        "null where none did",
        True,
    ),
    "backbone": Column(_TEXT, "name of the network"),
    "epochs": Column(_COUNT, "number of epochs asked for"),
    "batch_size": Column(_COUNT, "global batch size over all processes", True),
    "lr": Column(_REAL, "learning rate at the start", True),
    "weight_decay": Column(_REAL, "weight decay", True),
    "precision": Column(_TEXT, "arithmetic of the forward pass: fp32, bf16 or fp16"),
    "determinism": Column(_TEXT, "what happens to operations without a deterministic form"),
    "settings": Column(_TEXT, "all settings, fully resolved, as JSON"),
    "data_digest": Column(_TEXT, "digest of the images and their order"),
    "labels_digest": Column(_TEXT, "digest of the label table"),
    "entry_labels_digest": Column(
        _TEXT, "of the same as its entry draws it, where seed_noise draws other labels", True
    ),
    "encoder_digest": Column(
        _TEXT, "what identifies the weights it starts from or the encoder it queries", True
    ),
    "encoders": Column(_TEXTS, "names of the encoders the run starts from or queries", True),
    "noise_card": Column(_TEXT, "how the label table was made, as JSON", True),
    "knows": Column(_TEXTS, "knowledge the method declares beyond images and given labels"),
    "class_names": Column(_TEXTS, "names of the classes, in label order"),
    "status": Column(_TEXT, "running, done, failed or diverged", tag=True),
    "status_detail": Column(_TEXT, "why the run failed or diverged", True),
    "n_train": Column(_COUNT, "training samples", True),
    "n_val": Column(_COUNT, "validation samples", True),
    "n_test": Column(_COUNT, "test samples", True),
    "confusion": Column(
        pl.List(pl.Int64()),
        "test counts of the last epoch, K*K row by row: true class, then predicted class",
        True,
    ),
    "also_named": Column(
        _TEXTS,
        "data set and label table, as DATASET/NOISE, by which the run was asked for as well: their "
        "content is the same",
        True,
    ),
    "grid": Column(_TEXT, "name of the grid it was first computed for", True, cost=True, tag=True),
    "seconds": Column(_REAL, "wall time of the run, all sittings together", True, cost=True),
    "seconds_tracking": Column(_REAL, "part of it spent in store and tracker", True, cost=True),
    "images_per_second": Column(
        _REAL,
        "training images a second, median over the epochs, without evaluation",
        True,
        cost=True,
    ),
    "share_of_peak": Column(
        _REAL,
        "share of the device's dense bf16 peak that one pass of the network over these images, "
        "forward and backward, takes; further views and networks of a method are not counted",
        True,
        cost=True,
    ),
    "compiled": Column(
        _TEXT, "how networks were to be compiled: off, default or reduce-overhead", True, cost=True
    ),
    "peak_memory_bytes": Column(_COUNT, "largest memory in use on a device", True, cost=True),
    "started_at": Column(_TIME, "time of the first start", True, cost=True),
    "finished_at": Column(_TIME, "time of the end", True, cost=True),
    "host": Column(_TEXT, "name of the machine", True, cost=True),
    "user": Column(_TEXT, "who started it, by the name the system knows", True, cost=True),
    "n_processes": Column(_COUNT, "number of processes", True, cost=True),
    "device": Column(_TEXT, "training device", True, cost=True, tag=True),
    "git_commit": Column(_TEXT, "commit of the code", True, cost=True, tag=True),
    "git_dirty": Column(
        _FLAG,
        "whether Python code in use differed from the commit; settings do not count",
        True,
        cost=True,
    ),
    "code_digest": Column(
        _TEXT,
        "digest of the Python files behind the numbers, without comments and docstrings",
        True,
        cost=True,
    ),
    "image_digest": Column(_TEXT, "digest of the container image", True, cost=True, tag=True),
    "command": Column(_TEXT, "command line", True, cost=True),
    "python_version": Column(_TEXT, "version of Python", True, cost=True),
    "torch_version": Column(_TEXT, "version of torch", True, cost=True),
    "resumed": Column(_COUNT, "how often the run was continued from a checkpoint", True, cost=True),
}
"""One row per run. All that identifies it, how it ended, what it cost."""

AVERAGED = "averaged_"
"""How the names of columns begin that tell of the averaged weights."""

_EVALUATED: dict[str, Column] = {
    "test_loss": Column(_REAL, "mean cross-entropy on the test split", True, metric="test/loss"),
    "test_accuracy": Column(
        _REAL,
        "accuracy on the test split",
        True,
        fraction=True,
        legend="test accuracy",
        metric="test/accuracy",
    ),
    "test_top5": Column(
        _REAL, "top-5 accuracy on the test split", True, fraction=True, metric="test/top5"
    ),
    "test_calibration_error": Column(
        _REAL,
        "expected calibration error on the test split: gap between accuracy and mean largest "
        "probability in each of 15 bins of equal width, averaged over the images",
        True,
        fraction=True,
        metric="test/calibration_error",
    ),
    "val_noisy_accuracy": Column(
        _REAL,
        "validation accuracy against the given labels; null where these are clean",
        True,
        fraction=True,
        legend="validation accuracy (given labels)",
        metric="validation/noisy_accuracy",
    ),
    "val_clean_accuracy": Column(
        _REAL,
        "accuracy on the validation split against its clean labels",
        True,
        fraction=True,
        metric="validation/clean_accuracy",
    ),
}
"""What is measured after an epoch, once for the weights and once for their average, if kept."""


def _of_average(name: str, column: Column) -> Column:
    legend = "averaged weights: test accuracy" if name == "test_accuracy" else ""
    meaning, metric = f"{name} of the averaged weights", f"averaged/{name}"
    return column._replace(meaning=meaning, legend=legend, metric=metric)


EPOCH_COLUMNS: dict[str, Column] = {
    "key": Column(_TEXT, "key of the run"),
    "epoch": Column(_COUNT, "number of the epoch, from 0"),
    "lr": Column(_REAL, "learning rate at the start of the epoch", True, metric="train/lr"),
    "train_loss": Column(
        _REAL, "mean training loss; null where it was not finite", True, metric="train/loss"
    ),
    "train_accuracy": Column(
        _REAL,
        "accuracy on the training pass against the given labels",
        True,
        fraction=True,
        legend="agreement with the given labels",
        metric="train/accuracy",
    ),
    **_EVALUATED,
    "memorised": Column(
        _REAL,
        "share of mislabelled training samples predicted as their wrong given label",
        True,
        fraction=True,
        legend="memorised",
        metric="labels/memorised",
    ),
    "corrected": Column(
        _REAL,
        "share of mislabelled training samples predicted as their true class",
        True,
        fraction=True,
        legend="corrected",
        metric="labels/corrected",
    ),
    "clean_fitted": Column(
        _REAL,
        "share of correctly labelled training samples predicted right",
        True,
        fraction=True,
        metric="labels/clean_fitted",
    ),
    "prediction_changes": Column(
        _COUNT,
        "training samples predicted otherwise than in the last epoch that saw them; null in the "
        "first epoch",
        True,
        metric="labels/prediction_changes",
    ),
    **{AVERAGED + name: _of_average(name, column) for name, column in _EVALUATED.items()},
    "scalars": Column(_TEXT, "named scalars of the method, as JSON", True),
    "seconds": Column(_REAL, "wall time of the epoch", True, cost=True),
}
"""One row per run and epoch."""

SAMPLE_COLUMNS: dict[str, Column] = {
    "key": Column(_TEXT, "key of the run"),
    "index": Column(_LABEL, "position in the training split of the data set"),
    "y_noisy": Column(_LABEL, "given label"),
    "y_clean": Column(_LABEL, "true class, where known", True),
    "prediction": Column(_LABEL, "predicted class in the last training pass", True),
    "mean_loss": Column(_STATISTIC, "cross-entropy of the given label, mean over the epochs", True),
    "last_loss": Column(_STATISTIC, "the same in the last epoch", True),
    "mean_margin": Column(
        _STATISTIC, "logit of the given label less the largest other one, mean over epochs", True
    ),
    "forgetting": Column(_SMALL, "how often the given label went from fitted to not fitted", True),
    "first_fitted": Column(_SMALL, "first epoch that predicted the given label; -1 never", True),
    "seen": Column(_TIMES, "epochs in which the training pass saw the sample", True),
    "wrong_events": Column(
        _TIMES, "epochs that saw it and predicted another class than the given label", True
    ),
    "prediction_changes": Column(
        _TIMES, "epochs that saw it and predicted another class than the last before", True
    ),
    "mean_probability": Column(
        _STATISTIC, "probability of the given label, mean over the epochs", True, fraction=True
    ),
    "std_probability": Column(
        _STATISTIC, "its standard deviation over the epochs (ddof 0)", True, fraction=True
    ),
    "average_loss": Column(
        _STATISTIC,
        "moving average of the loss: 0.9 of it and 0.1 of the loss of each epoch, from the first "
        "loss",
        True,
    ),
    "mean_probabilities": Column(
        _PROBABILITIES, "probability of every class, mean over the epochs", True
    ),
    "corrected_label": Column(_LABEL, "label the method itself settled on, if it does", True),
}
"""One row per run and training sample: statistics of the training dynamics."""

Table = Literal["runs", "epochs", "samples"]
"""Name of a table, and of its folder in the store."""

TABLES: dict[Table, dict[str, Column]] = {
    "runs": RUN_COLUMNS,
    "epochs": EPOCH_COLUMNS,
    "samples": SAMPLE_COLUMNS,
}


def dtypes(columns: dict[str, Column]) -> dict[str, pl.DataType]:
    """The polars schema of a table: column name -> type, in the order of the file."""
    return {name: column.dtype for name, column in columns.items()}


RUNS = dtypes(RUN_COLUMNS)
EPOCHS = dtypes(EPOCH_COLUMNS)
SAMPLES = dtypes(SAMPLE_COLUMNS)

TAGS = tuple(name for name, column in RUN_COLUMNS.items() if column.tag)
"""Columns of `runs` by which runs are grouped and found in MLflow."""
CURVES = tuple(
    name
    for name, column in EPOCH_COLUMNS.items()
    if column.dtype.is_numeric() and not column.cost and name != "epoch"
)
"""Columns of `epochs` that are curves: all numbers but costs."""
METRICS = {name: EPOCH_COLUMNS[name].metric for name in CURVES}
"""What MLflow calls each curve."""
DRAWN = {name: EPOCH_COLUMNS[name].legend for name in CURVES if EPOCH_COLUMNS[name].legend}
"""Curves that the picture of a run shows -> their legends."""
